"""What comes out of the templates in an emulator: who may reach whom, what is public, what is kept."""

from __future__ import annotations

import json
import re

import pytest
from conftest import FOLDER, template
from emulator import LACKING, recorded


def rules(aws, group: str) -> list[tuple]:
    """Who is let in: (from port, to port, from where), where is a security group or addresses."""
    (found,) = aws.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return sorted(
        (rule["FromPort"], rule["ToPort"], where)
        for rule in found["IpPermissions"]
        for where in [pair["GroupId"] for pair in rule["UserIdGroupPairs"]]
        + [block["CidrIp"] for block in rule["IpRanges"]]
        + [block["CidrIpv6"] for block in rule["Ipv6Ranges"]]
    )


@pytest.mark.parametrize("stack", ["base", "night", "api"])
def test_all_that_the_templates_name_came_out(stack, installed):
    parts = template(stack)
    absent = {"HasCertificate", "HasHostedZone"}
    expected = {name for name, of in parts["Resources"].items() if of.get("Condition") not in absent}
    assert set(installed[stack]) == expected


@pytest.mark.parametrize("stacks", ["installed", "with_certificate"])
def test_the_api_and_the_night_reach_the_database_and_nobody_else(stacks, aws, request):
    base = request.getfixturevalue(stacks)["base"]
    expected = sorted([(5432, 5432, base["ApiSecurityGroup"]), (5432, 5432, base["NightSecurityGroup"])])
    assert rules(aws, base["DatabaseSecurityGroup"]) == expected
    # The database has that group alone, and no way to it from outside.
    (database,) = aws.rds.describe_db_instances(DBInstanceIdentifier=base["Database"])["DBInstances"]
    assert [group["VpcSecurityGroupId"] for group in database["VpcSecurityGroups"]] == [base["DatabaseSecurityGroup"]]
    assert database["PubliclyAccessible"] is False
    private = {base["PrivateSubnetA"], base["PrivateSubnetB"]}
    assert {subnet["SubnetIdentifier"] for subnet in database["DBSubnetGroup"]["Subnets"]} == private
    for association in ("PrivateSubnetARoutes", "PrivateSubnetBRoutes"):
        # moto calls an association by its table.
        (table,) = aws.ec2.describe_route_tables(RouteTableIds=[base[association]])["RouteTables"]
        assert [route.get("GatewayId") for route in table["Routes"]] == ["local"]


def test_where_express_mode_has_its_own_balancer_its_subnets_alone_are_let_in(aws, installed):
    base = installed["base"]
    subnets = aws.ec2.describe_subnets(SubnetIds=[base["PublicSubnetA"], base["PublicSubnetB"]])["Subnets"]
    assert rules(aws, base["ApiSecurityGroup"]) == sorted((8080, 8080, subnet["CidrBlock"]) for subnet in subnets)
    assert rules(aws, base["NightSecurityGroup"]) == []


def test_the_internet_reaches_443_of_the_balancer_and_nothing_else(aws, with_certificate):
    base, api = with_certificate["base"], with_certificate["api"]
    (vpc,) = aws.ec2.describe_vpcs(VpcIds=[base["Vpc"]])["Vpcs"]
    groups = aws.ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["SecurityGroups"]
    ours = [group["GroupId"] for group in groups if group["GroupName"] != "default"]
    assert len(ours) == 4
    from_anywhere = {
        (group, rule[0], rule[1]) for group in ours for rule in rules(aws, group) if not rule[2].startswith("sg-")
    }
    assert from_anywhere == {(api["BalancerSecurityGroup"], 443, 443)}
    # The tasks are reached by the balancer alone.
    assert rules(aws, base["ApiSecurityGroup"]) == [(8080, 8080, api["BalancerSecurityGroup"])]
    assert rules(aws, base["NightSecurityGroup"]) == []
    (balancer,) = aws.elbv2.describe_load_balancers(LoadBalancerArns=[api["Balancer"]])["LoadBalancers"]
    assert balancer["SecurityGroups"] == [api["BalancerSecurityGroup"]]
    listeners = aws.elbv2.describe_listeners(LoadBalancerArn=api["Balancer"])["Listeners"]
    assert [(listener["Port"], listener["Protocol"]) for listener in listeners] == [(443, "HTTPS")]


def test_the_database_is_encrypted_kept_and_has_no_password_of_ours(aws, installed):
    (database,) = aws.rds.describe_db_instances(DBInstanceIdentifier=installed["base"]["Database"])["DBInstances"]
    told = {name: database[name] for name in ("StorageEncrypted", "DeletionProtection", "BackupRetentionPeriod", "EngineVersion")}
    assert told == {"StorageEncrypted": True, "DeletionProtection": True, "BackupRetentionPeriod": 7, "EngineVersion": "17.11"}
    assert database["IAMDatabaseAuthenticationEnabled"] is True
    secret = aws.secretsmanager.describe_secret(SecretId=database["MasterUserSecret"]["SecretArn"])
    assert secret["Name"].startswith("rds!")
    parameters = template("base")["Resources"]["DatabaseParameters"]["Properties"]["Parameters"]
    assert parameters["rds.force_ssl"] == "1"


def zones(aws, base: dict[str, str]) -> dict[str, str]:
    names = ("PublicSubnetA", "PublicSubnetB", "PrivateSubnetA", "PrivateSubnetB")
    found = {of["SubnetId"]: of["AvailabilityZone"] for of in aws.ec2.describe_subnets(SubnetIds=[base[name] for name in names])["Subnets"]}
    return {name: found[base[name]] for name in names}


def test_zones_and_the_databases_version_may_be_chosen(aws, installed):
    a, b = "us-east-1a", "us-east-1b"
    assert zones(aws, installed["base"]) == {"PublicSubnetA": a, "PrivateSubnetA": a, "PublicSubnetB": b, "PrivateSubnetB": b}
    a, b = "us-east-1c", "us-east-1f"
    chosen = aws.create("base", "zoned", ZoneA=a, ZoneB=b, DatabaseVersion="17.9")
    assert zones(aws, chosen) == {"PublicSubnetA": a, "PrivateSubnetA": a, "PublicSubnetB": b, "PrivateSubnetB": b}
    (database,) = aws.rds.describe_db_instances(DBInstanceIdentifier="zoned")["DBInstances"]
    assert database["EngineVersion"] == "17.9"
    # A default that a newer template raises is not taken by a stack that is there: RDS, whose newer version runs, could refuse it.
    of_template = template("base")
    assert of_template["Resources"]["Database"]["Properties"]["EngineVersion"] == {"Ref": "DatabaseVersion"}
    assert of_template["Resources"]["Database"]["Properties"]["AutoMinorVersionUpgrade"] is True
    # moto knows no rules.
    (assertion,) = of_template["Rules"]["ZonesAreTwo"]["Assertions"]
    assert {"Fn::Not": [{"Fn::Equals": [{"Ref": "ZoneA"}, {"Ref": "ZoneB"}]}]} in assertion["Assert"]["Fn::And"]


def test_the_bucket_is_private_encrypted_and_versioned(aws, installed):
    bucket = installed["base"]["Bucket"]
    assert bucket == "topshelf-123456789012-us-east-1"
    (rule,) = aws.s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    # moto's CloudFormation does not make these.
    of_template = template("base")["Resources"]["Bucket"]["Properties"]
    assert set(of_template["PublicAccessBlockConfiguration"].values()) == {True}
    assert of_template["VersioningConfiguration"] == {"Status": "Enabled"}
    assert of_template["LifecycleConfiguration"]["Rules"][0]["NoncurrentVersionExpiration"]["NoncurrentDays"] == {"Ref": "NoncurrentDays"}
    (policy,) = (of for (kind, _), of in recorded.items() if kind == "AWS::S3::BucketPolicy" and of["Bucket"] == bucket)
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Resource"] == [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_images_are_scanned_and_their_tags_never_move(aws, installed):
    (repository,) = aws.ecr.describe_repositories(repositoryNames=["topshelf"])["repositories"]
    assert repository["imageTagMutability"] == "IMMUTABLE"
    # moto's CloudFormation does not make these.
    of_template = template("base")["Resources"]["Repository"]["Properties"]
    assert of_template["ImageScanningConfiguration"] == {"ScanOnPush": True}
    assert of_template["EmptyOnDelete"] is True
    text = of_template["LifecyclePolicy"]["LifecyclePolicyText"]["Fn::Sub"]
    (rule,) = json.loads(text.replace("${ImagesKept}", "20"))["rules"]
    assert rule["selection"]["countNumber"] == 20


def test_every_log_ends(aws, installed):
    groups = aws.logs.describe_log_groups()["logGroups"]
    kept = {group["logGroupName"]: group.get("retentionInDays") for group in groups if "/topshelf/" in group["logGroupName"]}
    assert kept == {"/topshelf/api": 30, "/topshelf/night": 30, "/topshelf/hand": 1, "/aws/rds/instance/topshelf/postgresql": 30}


def definition(aws, name: str) -> dict:
    return aws.ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]


def variables(container: dict) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container["environment"]}


def test_a_night_is_told_where_everything_is(aws, installed):
    (container,) = definition(aws, "topshelf-night")["containerDefinitions"]
    outputs = aws.cloudformation.describe_stacks(StackName="topshelf-base")["Stacks"][0]["Outputs"]
    (secret,) = (output["OutputValue"] for output in outputs if output["OutputKey"] == "DatabaseSecret")
    assert container["command"] == ["run", "--log-format", "json"]
    assert variables(container) == {
        "AWS_REGION": "us-east-1",
        "TOPSHELF_LOG": "info",
        "TOPSHELF_SCHEDULE__TIMEZONE": "UTC",
        "TOPSHELF_SCHEDULE__CRON": "30 2 * * *",
        "TOPSHELF_INPUT__URL": "s3://topshelf-123456789012-us-east-1/logs",
        "TOPSHELF_LAKE__URL": "s3://topshelf-123456789012-us-east-1/lake",
        "TOPSHELF_STORE__URL": "postgres://topshelf@topshelf.aaaaaaaaaa.us-east-1.rds.amazonaws.com:5432/topshelf?sslmode=verify-full",
        "TOPSHELF_STORE__SECRET": secret,
    }


def test_by_iam_there_is_no_secret(aws, with_certificate):
    (container,) = definition(aws, "second-night")["containerDefinitions"]
    told = variables(container)
    assert told["TOPSHELF_STORE__URL"].startswith("postgres://nights@") and told["TOPSHELF_STORE__URL"].endswith("&auth=iam")
    assert told["TOPSHELF_STORE__SECRET"] == ""
    assert told["TOPSHELF_INPUT__URL"] == "s3://partner-logs/logs"


@pytest.mark.parametrize("name", ["topshelf", "second"])
def test_commands_by_hand_are_nights_of_the_owner_with_another_log(name, aws, installed, with_certificate):
    outputs = aws.cloudformation.describe_stacks(StackName=f"{name}-base")["Stacks"][0]["Outputs"]
    told = {output["OutputKey"]: output["OutputValue"] for output in outputs}
    night, hand = definition(aws, f"{name}-night"), definition(aws, f"{name}-hand")
    store = ("TOPSHELF_STORE__URL", "TOPSHELF_STORE__SECRET")
    (container,) = hand["containerDefinitions"]
    assert [variables(container)[of] for of in store] == [
        f"postgres://topshelf@{told['DatabaseHost']}:5432/topshelf?sslmode=verify-full",
        told["DatabaseSecret"],
    ]
    for of in (night, hand):
        (container,) = of["containerDefinitions"]
        container.pop("command")
        container["logConfiguration"]["options"] = {}
        container["environment"] = [variable for variable in container["environment"] if variable["name"] not in store]
        for name in ("taskDefinitionArn", "family", "registeredAt"):
            of.pop(name, None)
    assert night == hand
    # moto's CloudFormation drops the role.
    of_template = template("night")["Resources"]
    roles = {of: of_template[of]["Properties"]["TaskRoleArn"]["Fn::GetAtt"] for of in ("Night", "Hand")}
    assert roles == {"Night": ["NightRole", "Arn"], "Hand": ["HandRole", "Arn"]}


def test_tasks_write_to_tmp_alone_and_have_no_capabilities(aws, installed, with_certificate):
    for name in ("topshelf-night", "topshelf-hand", "second-night", "second-hand", "second-api"):
        (container,) = definition(aws, name)["containerDefinitions"]
        assert container["readonlyRootFilesystem"] is True
        assert [(mount["sourceVolume"], mount["containerPath"]) for mount in container["mountPoints"]] == [("tmp", "/tmp")]
        assert container["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}


def test_both_ways_to_run_the_api_tell_it_the_same(aws, installed, with_certificate):
    express = recorded["AWS::ECS::ExpressGatewayService", installed["api"]["Express"]]["PrimaryContainer"]
    (plain,) = definition(aws, "second-api")["containerDefinitions"]
    on_express = {variable["Name"]: variable["Value"] for variable in express["Environment"]}
    behind_balancer = variables(plain)
    assert express["Command"] == plain["command"] == ["serve", "--log-format", "json"]
    differ = {"TOPSHELF_STORE__URL", "TOPSHELF_STORE__SECRET"}
    assert {name: str(value) for name, value in on_express.items() if name not in differ} == {
        name: str(value) for name, value in behind_balancer.items() if name not in differ
    }
    assert json.loads(on_express["TOPSHELF_SERVE__TRUSTED_PROXIES"]) == ["10.20.0.0/20", "10.20.16.0/20"]
    outputs = aws.cloudformation.describe_stacks(StackName="topshelf-base")["Stacks"][0]["Outputs"]
    (resource,) = (output["OutputValue"] for output in outputs if output["OutputKey"] == "DatabaseResource")
    assert on_express["DATABASE_RESOURCE"] == behind_balancer["DATABASE_RESOURCE"] == resource
    # Nothing turns keys off: it listens for the world, so it asks for them.
    assert "TOPSHELF_SERVE__KEYS" not in on_express


def test_the_express_service_is_checked_scaled_and_has_our_roles(installed):
    express = recorded["AWS::ECS::ExpressGatewayService", installed["api"]["Express"]]
    assert express["HealthCheckPath"] == "/health/ready"
    assert express["Cluster"] == "topshelf"
    assert express["NetworkConfiguration"]["SecurityGroups"] == [installed["base"]["ApiSecurityGroup"]]
    assert express["NetworkConfiguration"]["Subnets"] == [installed["base"]["PublicSubnetA"], installed["base"]["PublicSubnetB"]]
    scaling = {name: str(value) for name, value in express["ScalingTarget"].items()}
    assert scaling == {"AutoScalingMetric": "AVERAGE_CPU", "AutoScalingTargetValue": "60", "MinTaskCount": "2", "MaxTaskCount": "6"}
    assert installed["api"]["ApiRole"] in express["TaskRoleArn"]


def test_the_service_behind_a_balancer_rolls_and_turns_back(aws, with_certificate):
    api = with_certificate["api"]
    (service,) = aws.ecs.describe_services(cluster="second", services=["second-api-balanced"])["services"]
    assert service["status"] == "ACTIVE"
    (targets,) = aws.elbv2.describe_target_groups(TargetGroupArns=[api["Targets"]])["TargetGroups"]
    assert (targets["HealthCheckPath"], targets["Matcher"]["HttpCode"]) == ("/health/ready", "200")
    # moto's CloudFormation does not make these.
    of_template = template("api")["Resources"]["Service"]["Properties"]
    assert of_template["LoadBalancers"] == [{"TargetGroupArn": {"Ref": "Targets"}, "ContainerName": "topshelf", "ContainerPort": 8080}]
    # How many there are, the scaling says alone.
    assert "DesiredCount" not in of_template
    of_template = of_template["DeploymentConfiguration"]
    assert of_template["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    assert (of_template["MinimumHealthyPercent"], of_template["MaximumPercent"]) == (100, 200)
    (target,) = (of for (kind, _), of in recorded.items() if kind == "AWS::ApplicationAutoScaling::ScalableTarget")
    assert target["ResourceId"] == "service/second/second-api-balanced"


def test_nights_are_scheduled_with_a_second_chance_and_a_dead_letter_queue(aws, installed):
    night, deadline = (
        recorded["AWS::Scheduler::Schedule", installed["night"][name]] for name in ("NightSchedule", "DeadlineSchedule")
    )
    assert (night["ScheduleExpression"], deadline["ScheduleExpression"]) == ("cron(30 2 * * ? *)", "cron(0 6 * * ? *)")
    queue = aws.sqs.get_queue_attributes(QueueUrl=installed["night"]["NotStarted"], AttributeNames=["All"])["Attributes"]
    for schedule, group in ((night, "topshelf-night"), (deadline, "topshelf-deadline")):
        target = schedule["Target"]
        assert schedule["ScheduleExpressionTimezone"] == "UTC"
        assert target["Arn"] == "arn:aws:ecs:us-east-1:123456789012:cluster/topshelf"
        assert target["EcsParameters"]["TaskDefinitionArn"] == installed["night"]["Night"]
        assert target["EcsParameters"]["Group"] == group
        assert target["DeadLetterConfig"]["Arn"] == queue["QueueArn"]
        assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0
        network = target["EcsParameters"]["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert network["SecurityGroups"] == [installed["base"]["NightSecurityGroup"]]


ALARMS = {
    "database-storage-low",
    "nothing-published",
    "night-not-started",
    "night-failed-untold",
    "not-published-untold",
    "api-failed-untold",
    "errors",
    "balancer-errors",
    "snapshot-old",
    "trouble",
}


def test_every_alarm_goes_to_the_topic(aws, installed):
    topic = installed["base"]["Alarms"]
    alarms = {name: of for (kind, name), of in recorded.items() if kind == "AWS::CloudWatch::Alarm" and name.startswith("topshelf-")}
    assert set(alarms) == {f"topshelf-{name}" for name in ALARMS}
    assert {name: of["AlarmActions"] for name, of in alarms.items()} == {name: [topic] for name in alarms}
    for rule in ("topshelf-night-failed", "topshelf-not-published", "topshelf-api-failed"):
        # EventBridge drops in silence what it cannot deliver.
        untold = alarms[f"{rule}-untold"]
        assert (untold["Namespace"], untold["MetricName"]) == ("AWS/Events", "FailedInvocations")
        assert untold["Dimensions"] == [{"Name": "RuleName", "Value": rule}]
        assert [target["Arn"] for target in aws.events.list_targets_by_rule(Rule=rule)["Targets"]] == [topic]
    (policy,) = (of for (kind, _), of in recorded.items() if kind == "AWS::SNS::TopicPolicy" and of["Topics"] == [topic])
    of_alarms, of_rules = policy["PolicyDocument"]["Statement"]
    assert of_alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert of_alarms["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    # With a condition nothing of EventBridge's would arrive.
    assert of_rules["Principal"] == {"Service": "events.amazonaws.com"} and "Condition" not in of_rules
    assert {statement["Action"] for statement in (of_alarms, of_rules)} == {"sns:Publish"}
    subscriptions = [of for (kind, _), of in recorded.items() if kind == "AWS::SNS::Subscription"]
    assert [(of["Protocol"], of["Endpoint"]) for of in subscriptions] == [("email", "night@example.com")]


def test_each_metric_of_ours_has_its_filter(installed):
    made = {
        (transformation["MetricNamespace"], transformation["MetricName"])
        for (kind, _), of in recorded.items()
        if kind == "AWS::Logs::MetricFilter"
        for transformation in of["MetricTransformations"]
    }
    asked = {
        (of["Namespace"], of["MetricName"])
        for (kind, _), of in recorded.items()
        if kind == "AWS::CloudWatch::Alarm" and of["Namespace"].startswith("Topshelf/")
    }
    assert asked and asked == made


@pytest.mark.parametrize("stack", ["api", "apprunner", "airflow-ec2"])
def test_nothing_is_imported_that_a_deployment_changes(stack):
    """CloudFormation refuses to change an export that another stack imports."""
    text = (FOLDER / f"{stack}.yaml").read_text()
    imported = set(re.findall(r'ImportValue \{"Fn::Sub": "\$\{Name\}-(\w+)"\}', text))
    exported = {name for name, of in template("night")["Outputs"].items() if "Export" in of}
    assert imported & set(template("night")["Outputs"]) <= {"NightRole"}
    assert exported == {"NightRole"}


def test_what_moto_lacks_is_what_it_is_said_to_lack():
    """A type that moto comes to know should be asked about there."""
    from moto.core.common_models import CloudFormationModel

    known = [kind for kind in CloudFormationModel.__subclasses__() if not kind.__module__.startswith("recorded")]
    assert not {kind.cloudformation_type() for kind in known} & set(LACKING)
