"""What each role may do: its policies as they came out, asked action by action."""

from __future__ import annotations

import ast
from fnmatch import fnmatchcase

import pytest
from conftest import IMAGE, template
from emulator import recorded

BUCKET = "arn:aws:s3:::topshelf-123456789012-us-east-1"
CLUSTER = "arn:aws:ecs:us-east-1:123456789012:cluster/topshelf"


def of_list(value) -> list:
    return value if isinstance(value, list) else [value]


def matches(pattern: str, text: str) -> bool:
    # IAM's wildcards are these two alone.
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def is_met(condition: dict, context: dict[str, str]) -> bool:
    """Whether conditions are met; a key that is not there meets none of those used here."""
    operators = {
        "StringEquals": lambda wanted, given: wanted == given,
        "StringLike": matches,
        "ArnEquals": matches,
    }
    return all(
        key in context and any(operators[operator](wanted, context[key]) for wanted in of_list(values))
        for operator, keys in condition.items()
        for key, values in keys.items()
    )


def is_allowed(statements: list[dict], action: str, resource: str, context: dict[str, str]) -> bool:
    applying = [
        statement["Effect"]
        for statement in statements
        if any(matches(pattern.lower(), action.lower()) for pattern in of_list(statement["Action"]))
        and any(matches(pattern, resource) for pattern in of_list(statement["Resource"]))
        and is_met(statement.get("Condition", {}), context)
    ]
    return "Allow" in applying and "Deny" not in applying


def statements(aws, role: str) -> list[dict]:
    names = aws.iam.list_role_policies(RoleName=role)["PolicyNames"]
    documents = [aws.iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
    # moto gives what came from CloudFormation as Python writes it.
    documents = [document if isinstance(document, dict) else ast.literal_eval(document) for document in documents]
    return [statement for document in documents for statement in of_list(document["Statement"])]


def secret(aws, name: str = "topshelf") -> str:
    (database,) = aws.rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
    return database["MasterUserSecret"]["SecretArn"]


SECRET = "the secret of the database"
OTHER_SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:other-AbCdEf"
LIST_LOGS, LIST_LAKE, LIST_ALL = ({"s3:prefix": prefix} for prefix in ("logs/ads_views", "lake/counts", ""))
TASKS = {"iam:PassedToService": "ecs-tasks.amazonaws.com"}

# role, action, resource, context, whether it is allowed
TABLE = [
    ("night", "s3:ListBucket", BUCKET, LIST_LOGS, True),
    ("night", "s3:ListBucket", BUCKET, LIST_LAKE, True),
    ("night", "s3:ListBucket", BUCKET, LIST_ALL, False),
    ("night", "s3:ListBucket", BUCKET, {"s3:prefix": "logs-of-others/"}, False),
    ("night", "s3:GetObject", f"{BUCKET}/logs/ads_views.csv", {}, True),
    ("night", "s3:PutObject", f"{BUCKET}/logs/ads_views.csv", {}, False),
    ("night", "s3:DeleteObject", f"{BUCKET}/logs/ads_views.csv", {}, False),
    ("night", "s3:GetObject", f"{BUCKET}/lake/counts/day=2026-11-20/manifest.json", {}, True),
    ("night", "s3:PutObject", f"{BUCKET}/lake/counts/day=2026-11-20/manifest.json", {}, True),
    ("night", "s3:DeleteObject", f"{BUCKET}/lake/counts/day=2026-11-20/manifest.json", {}, True),
    ("night", "s3:GetObject", f"{BUCKET}/private/payroll.csv", {}, False),
    ("night", "s3:DeleteObjectVersion", f"{BUCKET}/lake/counts/x", {}, False),
    ("night", "s3:PutBucketPolicy", BUCKET, {}, False),
    ("night", "s3:DeleteBucket", BUCKET, {}, False),
    ("night", "s3:GetObject", "arn:aws:s3:::another/logs/ads_views.csv", {}, False),
    ("night", "secretsmanager:GetSecretValue", SECRET, {}, True),
    ("night", "secretsmanager:PutSecretValue", SECRET, {}, False),
    ("night", "secretsmanager:GetSecretValue", OTHER_SECRET, {}, False),
    ("night", "iam:PassRole", "arn:aws:iam::123456789012:role/admin", TASKS, False),
    ("night", "ecs:RunTask", f"{CLUSTER}", {}, False),
    ("hand", "s3:ListBucket", BUCKET, LIST_LOGS, True),
    ("hand", "s3:GetObject", f"{BUCKET}/logs/ads_views.csv", {}, True),
    ("hand", "s3:PutObject", f"{BUCKET}/logs/ads_views.csv", {}, False),
    ("hand", "s3:PutObject", f"{BUCKET}/lake/counts/day=2026-11-20/manifest.json", {}, True),
    ("hand", "s3:GetObject", f"{BUCKET}/private/payroll.csv", {}, False),
    ("hand", "secretsmanager:GetSecretValue", SECRET, {}, True),
    ("hand", "secretsmanager:PutSecretValue", SECRET, {}, False),
    ("hand", "secretsmanager:GetSecretValue", OTHER_SECRET, {}, False),
    ("hand", "rds-db:connect", "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-X/topshelf", {}, False),
    ("hand", "ecs:RunTask", f"{CLUSTER}", {}, False),
    ("api", "secretsmanager:GetSecretValue", SECRET, {}, True),
    ("api", "secretsmanager:GetSecretValue", OTHER_SECRET, {}, False),
    ("api", "s3:GetObject", f"{BUCKET}/logs/ads_views.csv", {}, False),
    ("api", "s3:GetObject", f"{BUCKET}/lake/counts/x", {}, False),
    ("api", "s3:ListBucket", BUCKET, LIST_LAKE, False),
    ("api", "rds-db:connect", "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-X/topshelf", {}, False),
    ("execution", "ecr:GetAuthorizationToken", "*", {}, True),
    ("execution", "ecr:BatchGetImage", "arn:aws:ecr:us-east-1:123456789012:repository/topshelf", {}, True),
    ("execution", "ecr:BatchGetImage", "arn:aws:ecr:us-east-1:123456789012:repository/other", {}, False),
    ("execution", "ecr:PutImage", "arn:aws:ecr:us-east-1:123456789012:repository/topshelf", {}, False),
    ("execution", "logs:PutLogEvents", "arn:aws:logs:us-east-1:123456789012:log-group:/topshelf/api:log-stream:api/topshelf/1", {}, True),
    ("execution", "logs:PutLogEvents", "arn:aws:logs:us-east-1:123456789012:log-group:/other:log-stream:1", {}, False),
    ("execution", "secretsmanager:GetSecretValue", SECRET, {}, False),
    ("execution", "s3:GetObject", f"{BUCKET}/logs/ads_views.csv", {}, False),
    ("schedule", "ecs:RunTask", "arn:aws:ecs:us-east-1:123456789012:task-definition/topshelf-night:7", {"ecs:cluster": CLUSTER}, True),
    ("schedule", "ecs:RunTask", "arn:aws:ecs:us-east-1:123456789012:task-definition/topshelf-night:7", {"ecs:cluster": "arn:aws:ecs:us-east-1:123456789012:cluster/other"}, False),
    ("schedule", "ecs:RunTask", "arn:aws:ecs:us-east-1:123456789012:task-definition/other:1", {"ecs:cluster": CLUSTER}, False),
    ("schedule", "iam:PassRole", "the role of the night", TASKS, True),
    ("schedule", "iam:PassRole", "the role of the night", {"iam:PassedToService": "lambda.amazonaws.com"}, False),
    ("schedule", "iam:PassRole", "the role of commands by hand", TASKS, False),
    ("schedule", "iam:PassRole", "arn:aws:iam::123456789012:role/admin", TASKS, False),
    ("schedule", "sqs:SendMessage", "arn:aws:sqs:us-east-1:123456789012:topshelf-nights-not-started", {}, True),
    ("schedule", "sqs:SendMessage", "arn:aws:sqs:us-east-1:123456789012:other", {}, False),
    ("schedule", "s3:GetObject", f"{BUCKET}/logs/ads_views.csv", {}, False),
]


@pytest.mark.parametrize(("role", "action", "resource", "context", "expected"), TABLE)
def test_each_role_may_do_its_work_and_nothing_else(role, action, resource, context, expected, aws, installed):
    roles = {
        "night": installed["night"]["NightRole"],
        "hand": installed["night"]["HandRole"],
        "schedule": installed["night"]["ScheduleRole"],
        "api": installed["api"]["ApiRole"],
        "execution": installed["base"]["ExecutionRole"],
    }
    resource = {
        SECRET: secret(aws),
        "the role of the night": f"arn:aws:iam::123456789012:role/{roles['night']}",
        "the role of commands by hand": f"arn:aws:iam::123456789012:role/{roles['hand']}",
    }.get(resource, resource)
    assert is_allowed(statements(aws, roles[role]), action, resource, context) is expected


def test_by_iam_each_connects_as_its_own_user_and_reads_no_secret(aws, with_certificate):
    outputs = aws.cloudformation.describe_stacks(StackName="second-base")["Stacks"][0]["Outputs"]
    (database,) = (output["OutputValue"] for output in outputs if output["OutputKey"] == "DatabaseResource")
    users = f"arn:aws:rds-db:us-east-1:123456789012:dbuser:{database}"
    for role, user, other in (
        (with_certificate["night"]["NightRole"], "nights", "reader"),
        (with_certificate["api"]["ApiRole"], "reader", "nights"),
    ):
        of_role = statements(aws, role)
        assert is_allowed(of_role, "rds-db:connect", f"{users}/{user}", {})
        assert not is_allowed(of_role, "rds-db:connect", f"{users}/{other}", {})
        assert not is_allowed(of_role, "secretsmanager:GetSecretValue", secret(aws, "second"), {})
    # Whoever migrates and grants is the owner, whoever the nights are.
    of_role = statements(aws, with_certificate["night"]["HandRole"])
    assert is_allowed(of_role, "secretsmanager:GetSecretValue", secret(aws, "second"), {})
    assert not is_allowed(of_role, "rds-db:connect", f"{users}/nights", {})


def test_after_a_restore_the_roles_name_the_database_that_is_there(aws, installed):
    """What deploy.sh finds comes before what base.yaml exports."""
    there = {"DatabaseResource": "db-RESTORED", "OwnerSecret": "arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!db-restored-AbCdEf"}
    aws.create("base", "third")
    night = aws.create("night", "third", Image=IMAGE, DatabaseLogin="iam", DatabaseUser="nights", **there)
    api = aws.create("api", "third", Image=IMAGE, DatabaseLogin="iam", DatabaseUser="reader", **there)
    users = "arn:aws:rds-db:us-east-1:123456789012:dbuser"
    for role, user in ((night["NightRole"], "nights"), (api["ApiRole"], "reader")):
        assert is_allowed(statements(aws, role), "rds-db:connect", f"{users}:db-RESTORED/{user}", {})
    # Nothing else that the API is told changes, and its tasks must be replaced.
    container = recorded["AWS::ECS::ExpressGatewayService", api["Express"]]["PrimaryContainer"]
    assert {"Name": "DATABASE_RESOURCE", "Value": "db-RESTORED"} in container["Environment"]
    of_role = statements(aws, night["HandRole"])
    assert is_allowed(of_role, "secretsmanager:GetSecretValue", there["OwnerSecret"], {})
    assert not is_allowed(of_role, "secretsmanager:GetSecretValue", secret(aws, "third"), {})


def test_by_hand_logs_and_lake_are_what_they_are_to_the_night():
    """They stand on the roles themselves: a policy beside them is made after an update has taken them from the night that runs."""
    resources = template("night")["Resources"]
    assert "AWS::IAM::Policy" not in {of["Type"] for of in resources.values()}
    parts = []
    for name in ("NightRole", "HandRole"):
        (policy,) = resources[name]["Properties"]["Policies"]
        parts.append([of for of in policy["PolicyDocument"]["Statement"] if of.get("Sid", "LogIn") != "LogIn"])
    assert parts[0] == parts[1] and [of["Sid"] for of in parts[0]] == ["ListLogs", "ReadLogs", "ListLake", "KeepLake"]


def test_logs_in_another_bucket_are_read_and_the_lake_stays_in_ours(aws, with_certificate):
    of_role = statements(aws, with_certificate["night"]["NightRole"])
    ours = "arn:aws:s3:::second-123456789012-us-east-1"
    assert is_allowed(of_role, "s3:GetObject", "arn:aws:s3:::partner-logs/logs/ads_views.csv", {})
    assert not is_allowed(of_role, "s3:PutObject", "arn:aws:s3:::partner-logs/logs/ads_views.csv", {})
    assert not is_allowed(of_role, "s3:GetObject", f"{ours}/logs/ads_views.csv", {})
    assert is_allowed(of_role, "s3:PutObject", f"{ours}/lake/counts/x", {})


def test_each_role_is_taken_by_one_service_of_this_account(aws, installed):
    taken_by = {"NightRole": "ecs-tasks", "HandRole": "ecs-tasks", "ApiRole": "ecs-tasks", "ExecutionRole": "ecs-tasks", "ScheduleRole": "scheduler", "ExpressRole": "ecs"}
    found = {}
    for stack in installed.values():
        for name, role in stack.items():
            if name.endswith("Role"):
                (statement,) = aws.iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]["Statement"]
                found[name] = statement["Principal"]["Service"].removesuffix(".amazonaws.com")
                # Express Mode's own policy is AWS's, who says nothing of source accounts for it.
                if name != "ExpressRole":
                    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    assert found == taken_by


def test_what_is_open_to_all_resources_is_one_action():
    """No role of ours may do anything to everything but ask ECR for a token."""
    everywhere = []
    for name in ("base", "night", "api"):
        for resource in template(name)["Resources"].values():
            if resource["Type"] != "AWS::IAM::Role":
                continue
            for policy in resource["Properties"].get("Policies", []):
                for statement in policy["PolicyDocument"]["Statement"]:
                    if statement.get("Resource") == "*":
                        everywhere += of_list(statement["Action"])
    assert everywhere == ["ecr:GetAuthorizationToken"]
