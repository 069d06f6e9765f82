"""cluster.yaml: who reaches whom, what its roles may do, when there is a cluster, and that a night is told of it."""

from __future__ import annotations

import re

import pytest
from conftest import FOLDER, IMAGE, template
from emulator import recorded
from test_rights import TASKS, is_allowed, of_list, secret, statements
from test_stacks import definition, rules, variables

URL = "df://scheduler.flock.internal:50050"
SCHEDULER_PORT, EXECUTOR_PORT = 50050, 50051


@pytest.fixture(scope="module")
def base(aws):
    return aws.create("base", "flock")


@pytest.fixture(scope="module")
def cluster(aws, base):
    """On Spot, apart from the stacks of other tests; what came out of it, by its name in the template."""
    return aws.create("cluster", "flock", Image=IMAGE, TimeZone="Europe/Madrid", Executors="5", Slots="8", Capacity="FARGATE_SPOT", MemoryLimit="10GiB")


@pytest.fixture(scope="module")
def night(aws, cluster):
    return aws.create("night", "flock", Image=IMAGE, TimeZone="Europe/Madrid", ClusterUrl=URL)


def test_all_that_the_template_names_came_out(cluster):
    assert set(cluster) == set(template("cluster")["Resources"])


def ways_out(group: str) -> list[tuple]:
    """Ports of other groups that a group is let out to by rules beside it."""
    found = [of for (kind, _), of in recorded.items() if kind == "AWS::EC2::SecurityGroupEgress" and of["GroupId"] == group]
    return sorted((int(of["FromPort"]), int(of["ToPort"]), of["DestinationSecurityGroupId"]) for of in found)


def test_the_scheduler_is_reached_by_executors_and_the_night_and_nobody_else(aws, base, cluster):
    expected = [(SCHEDULER_PORT, SCHEDULER_PORT, of) for of in (base["NightSecurityGroup"], cluster["ExecutorSecurityGroup"])]
    assert rules(aws, cluster["SchedulerSecurityGroup"]) == sorted(expected)


def test_executors_are_reached_by_each_other_and_the_night_and_nobody_else(aws, base, cluster):
    expected = [(EXECUTOR_PORT, EXECUTOR_PORT, of) for of in (base["NightSecurityGroup"], cluster["ExecutorSecurityGroup"])]
    assert rules(aws, cluster["ExecutorSecurityGroup"]) == sorted(expected)


def test_each_is_let_out_to_what_it_calls_and_nowhere_else(aws, base, cluster):
    scheduler, executor = cluster["SchedulerSecurityGroup"], cluster["ExecutorSecurityGroup"]
    to_scheduler, to_executors = (SCHEDULER_PORT, SCHEDULER_PORT, scheduler), (EXECUTOR_PORT, EXECUTOR_PORT, executor)
    assert ways_out(base["NightSecurityGroup"]) == ways_out(executor) == sorted([to_scheduler, to_executors])
    assert ways_out(scheduler) == []
    # Beside these, AWS by 443.
    for name in ("SchedulerSecurityGroup", "ExecutorSecurityGroup"):
        (of_template,) = template("cluster")["Resources"][name]["Properties"]["SecurityGroupEgress"]
        assert (of_template["FromPort"], of_template["ToPort"]) == (443, 443)


def test_nobody_is_let_in_to_the_night_the_api_or_the_database_by_it(aws, base, cluster):
    assert rules(aws, base["NightSecurityGroup"]) == rules(aws, base["ApiSecurityGroup"]) == []
    ours = {cluster["SchedulerSecurityGroup"], cluster["ExecutorSecurityGroup"]}
    assert not ours & {rule[2] for rule in rules(aws, base["DatabaseSecurityGroup"])}


BUCKET = "arn:aws:s3:::flock-123456789012-us-east-1"
REPOSITORIES = "arn:aws:ecr:us-east-1:123456789012:repository"
GROUPS = "arn:aws:logs:us-east-1:123456789012:log-group:"
SECRET = "the secret of the database"
LIST_LOGS, LIST_LAKE, LIST_ALL = ({"s3:prefix": prefix} for prefix in ("logs/ads_views", "lake/counts", ""))

# role, action, resource, context, whether it is allowed
RIGHTS = [
    ("ExecutorRole", "s3:GetObject", f"{BUCKET}/logs/ads_views.csv", {}, True),
    ("ExecutorRole", "s3:ListBucket", BUCKET, LIST_LOGS, True),
    ("ExecutorRole", "s3:ListBucket", BUCKET, LIST_LAKE, False),
    ("ExecutorRole", "s3:ListBucket", BUCKET, LIST_ALL, False),
    ("ExecutorRole", "s3:GetObject", f"{BUCKET}/lake/counts/day=2026-11-20/manifest.json", {}, False),
    ("ExecutorRole", "s3:GetObject", f"{BUCKET}/private/payroll.csv", {}, False),
    ("ExecutorRole", "s3:PutObject", f"{BUCKET}/logs/ads_views.csv", {}, False),
    ("ExecutorRole", "s3:PutObject", f"{BUCKET}/lake/counts/day=2026-11-20/counts-0123456789abcdef.parquet", {}, True),
    ("ExecutorRole", "s3:PutObject", f"{BUCKET}/lake/counts/day=2026-11-20/manifest.json", {}, False),
    ("ExecutorRole", "s3:PutObject", f"{BUCKET}/lake/rankings/day=2026-11-20/counts-0123456789abcdef.parquet", {}, False),
    ("ExecutorRole", "s3:DeleteObject", f"{BUCKET}/lake/counts/day=2026-11-20/counts-0123456789abcdef.parquet", {}, False),
    ("ExecutorRole", "s3:DeleteObject", f"{BUCKET}/logs/ads_views.csv", {}, False),
    ("ExecutorRole", "s3:GetObject", "arn:aws:s3:::another/logs/ads_views.csv", {}, False),
    ("ExecutorRole", "secretsmanager:GetSecretValue", SECRET, {}, False),
    ("ExecutorRole", "rds-db:connect", "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-X/topshelf", {}, False),
    ("ExecutorRole", "ecs:RunTask", "arn:aws:ecs:us-east-1:123456789012:task-definition/flock-night:1", {}, False),
    ("ExecutorRole", "iam:PassRole", "arn:aws:iam::123456789012:role/admin", TASKS, False),
    ("BeginRole", "ecr:GetAuthorizationToken", "*", {}, True),
    ("BeginRole", "ecr:BatchGetImage", f"{REPOSITORIES}/flock", {}, True),
    ("BeginRole", "ecr:BatchGetImage", f"{REPOSITORIES}/other", {}, False),
    ("BeginRole", "ecr:PutImage", f"{REPOSITORIES}/flock", {}, False),
    ("BeginRole", "logs:PutLogEvents", f"{GROUPS}/flock/cluster:log-stream:executor/topshelf/1", {}, True),
    ("BeginRole", "logs:PutLogEvents", f"{GROUPS}/flock/night:log-stream:1", {}, False),
    ("BeginRole", "s3:GetObject", f"{BUCKET}/logs/ads_views.csv", {}, False),
    ("BeginRole", "secretsmanager:GetSecretValue", SECRET, {}, False),
]


@pytest.mark.parametrize(("role", "action", "resource", "context", "expected"), RIGHTS)
def test_executors_read_logs_put_counts_and_do_nothing_else(role, action, resource, context, expected, aws, cluster):
    resource = secret(aws, "flock") if resource == SECRET else resource
    assert is_allowed(statements(aws, cluster[role]), action, resource, context) is expected


def test_logs_in_another_bucket_are_read_there_alone(aws):
    aws.create("base", "partner")
    made = aws.create("cluster", "partner", Image=IMAGE, InputBucket="partner-logs", InputPrefix="ads")
    of_role = statements(aws, made["ExecutorRole"])
    assert is_allowed(of_role, "s3:GetObject", "arn:aws:s3:::partner-logs/ads/ads_views.csv", {})
    assert not is_allowed(of_role, "s3:GetObject", "arn:aws:s3:::partner-logs/logs/ads_views.csv", {})
    assert not is_allowed(of_role, "s3:GetObject", "arn:aws:s3:::partner-123456789012-us-east-1/ads/ads_views.csv", {})


def test_its_roles_are_taken_by_tasks_of_this_account_and_the_scheduler_has_none(aws, cluster):
    for name in ("ExecutorRole", "BeginRole"):
        (statement,) = aws.iam.get_role(RoleName=cluster[name])["Role"]["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
        assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
        everywhere = [action for of in statements(aws, cluster[name]) if of["Resource"] == "*" for action in of_list(of["Action"])]
        assert everywhere == (["ecr:GetAuthorizationToken"] if name == "BeginRole" else [])
    # moto's CloudFormation drops the role.
    of_template = template("cluster")["Resources"]
    assert "TaskRoleArn" not in of_template["SchedulerTask"]["Properties"]
    assert of_template["ExecutorTask"]["Properties"]["TaskRoleArn"] == {"Fn::GetAtt": ["ExecutorRole", "Arn"]}


def test_it_is_there_around_the_night_and_not_by_day(cluster):
    for name, service, count in (("SchedulerScaling", "flock-scheduler", 1), ("ExecutorScaling", "flock-executor", 5)):
        target = recorded["AWS::ApplicationAutoScaling::ScalableTarget", cluster[name]]
        assert target["ResourceId"] == f"service/flock/{service}"
        assert (int(target["MinCapacity"]), int(target["MaxCapacity"])) == (0, 0)
        up, down = target["ScheduledActions"]
        assert (up["Schedule"], down["Schedule"]) == ("cron(20 2 * * ? *)", "cron(0 8 * * ? *)")
        assert up["Timezone"] == down["Timezone"] == "Europe/Madrid"
        for action, expected in ((up, count), (down, 0)):
            assert {int(of) for of in action["ScalableTargetAction"].values()} == {expected}
            assert set(action["ScalableTargetAction"]) == {"MinCapacity", "MaxCapacity"}
    # A number in the service would bring tasks back at each deployment.
    for name in ("SchedulerService", "ExecutorService"):
        assert "DesiredCount" not in template("cluster")["Resources"][name]["Properties"]


def test_by_its_defaults_it_is_there_before_the_night_and_after_the_deadline():
    default = lambda stack, name: template(stack)["Parameters"][name]["Default"]  # noqa: E731
    up, down = ((default("cluster", f"{of}Hour"), default("cluster", f"{of}Minute")) for of in ("Up", "Down"))
    night = (default("night", "NightHour"), default("night", "NightMinute"))
    assert up < night < (default("night", "DeadlineHour"), 0) < down


def test_somebody_is_told_when_it_is_there_all_day(base, cluster):
    alarm = recorded["AWS::CloudWatch::Alarm", cluster["LeftOn"]]
    assert alarm["Dimensions"] == [{"Name": "ClusterName", "Value": "flock"}, {"Name": "ServiceName", "Value": "flock-executor"}]
    assert int(alarm["Period"]) * int(alarm["EvaluationPeriods"]) == 24 * 60 * 60
    # Without tasks there are no samples.
    assert alarm["Statistic"] == "SampleCount" and alarm["TreatMissingData"] == "notBreaching"
    assert alarm["AlarmActions"] == [base["Alarms"]]


def test_there_is_one_scheduler_at_a_time_and_never_on_spot(aws, cluster):
    of_template = template("cluster")["Resources"]
    scheduler = of_template["SchedulerService"]["Properties"]
    assert (scheduler["DeploymentConfiguration"]["MinimumHealthyPercent"], scheduler["DeploymentConfiguration"]["MaximumPercent"]) == (0, 100)
    assert scheduler["CapacityProviderStrategy"] == [{"CapacityProvider": "FARGATE", "Weight": 1}]
    assert of_template["ExecutorService"]["Properties"]["CapacityProviderStrategy"] == [{"CapacityProvider": {"Ref": "Capacity"}, "Weight": 1}]
    providers = recorded["AWS::ECS::ClusterCapacityProviderAssociations", cluster["Providers"]]
    assert providers["CapacityProviders"] == ["FARGATE", "FARGATE_SPOT"]
    # Tasks that name no provider, nights and commands by hand, stay where they are.
    assert providers["DefaultCapacityProviderStrategy"] == []
    for service in ("SchedulerService", "ExecutorService"):
        assert of_template[service]["Properties"]["AvailabilityZoneRebalancing"] == "DISABLED"
    services = aws.ecs.list_services(cluster="flock")["serviceArns"]
    assert len(services) == 2


def test_the_schedulers_name_is_known_in_the_network_and_is_what_all_are_told(aws, base, cluster, night):
    names = recorded["AWS::ServiceDiscovery::PrivateDnsNamespace", cluster["Names"]]
    assert (names["Name"], names["Vpc"]) == ("flock.internal", base["Vpc"])
    assert recorded["AWS::ServiceDiscovery::Service", cluster["SchedulerName"]]["Name"] == "scheduler"
    assert template("cluster")["Resources"]["SchedulerService"]["Properties"]["ServiceRegistries"] == [{"RegistryArn": {"Fn::GetAtt": ["SchedulerName", "Arn"]}}]
    outputs = aws.cloudformation.describe_stacks(StackName="flock-cluster")["Stacks"][0]["Outputs"]
    assert {output["OutputKey"]: output["OutputValue"] for output in outputs}["Url"] == URL
    (scheduler,) = definition(aws, "flock-scheduler")["containerDefinitions"]
    (executor,) = definition(aws, "flock-executor")["containerDefinitions"]
    assert scheduler["command"][:6] == ["cluster", "scheduler", "--bind", f"0.0.0.0:{SCHEDULER_PORT}", "--host", "scheduler.flock.internal"]
    assert executor["command"][:6] == ["cluster", "executor", "--scheduler", URL.removeprefix("df://"), "--bind", f"0.0.0.0:{EXECUTOR_PORT}"]


def test_executors_are_told_their_size_and_no_secret(aws, cluster):
    (container,) = definition(aws, "flock-executor")["containerDefinitions"]
    flags = dict(zip(container["command"][2::2], container["command"][3::2]))
    assert (flags["--slots"], flags["--memory"], flags["--work-dir"]) == ("8", "10GiB", "/tmp/executor")
    # No database; the plan says which logs and which lake, and the role may read the one and put into the other.
    assert variables(container) == {"AWS_REGION": "us-east-1"}
    assert template("cluster")["Resources"]["ExecutorTask"]["Properties"]["EphemeralStorage"] == {"SizeInGiB": {"Ref": "DiskGib"}}


def test_tasks_write_to_tmp_alone_have_no_capabilities_and_keep_their_log(aws, cluster):
    for name in ("scheduler", "executor"):
        (container,) = definition(aws, f"flock-{name}")["containerDefinitions"]
        assert container["readonlyRootFilesystem"] is True
        assert [(mount["sourceVolume"], mount["containerPath"]) for mount in container["mountPoints"]] == [("tmp", "/tmp")]
        assert container["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}
        assert container["logConfiguration"]["options"]["awslogs-group"] == "/flock/cluster"
    (group,) = aws.logs.describe_log_groups(logGroupNamePrefix="/flock/cluster")["logGroups"]
    assert group["retentionInDays"] == 30


def test_nights_and_commands_by_hand_count_on_the_cluster_that_is_named(aws, night):
    for name in ("flock-night", "flock-hand"):
        (container,) = definition(aws, name)["containerDefinitions"]
        told = {name: value for name, value in variables(container).items() if name.startswith("TOPSHELF_CLUSTER__")}
        assert told == {
            "TOPSHELF_CLUSTER__URL": URL,
            "TOPSHELF_CLUSTER__TASK_MIB": "256",
            "TOPSHELF_CLUSTER__ADDERS": "0",
            "TOPSHELF_CLUSTER__DEADLINE_SECONDS": "5400",
            "TOPSHELF_CLUSTER__RETRIES": "1",
        }


def test_jobs_of_a_night_that_hang_are_given_up_before_its_deadline():
    night = {name: of["Default"] for name, of in template("night")["Parameters"].items() if "Default" in of}
    begins, ends = night["NightHour"] * 60 + night["NightMinute"], night["DeadlineHour"] * 60
    jobs = night["ClusterRetries"] + 1
    assert jobs * night["ClusterDeadline"] / 60 < ends - begins


def test_nothing_is_imported_that_a_deployment_changes():
    """The night's stack may change, and go, while this one is there."""
    imported = set(re.findall(r'ImportValue \{"Fn::Sub": "\$\{Name\}-(\w+)"\}', (FOLDER / "cluster.yaml").read_text()))
    assert imported <= set(template("base")["Outputs"])
    parameter = template("night")["Parameters"]["ClusterUrl"]
    assert re.fullmatch(parameter["AllowedPattern"], URL) and re.fullmatch(parameter["AllowedPattern"], "")
    assert not re.fullmatch(parameter["AllowedPattern"], "http://scheduler:50050")
