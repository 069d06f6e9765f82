"""apprunner.yaml and airflow-ec2.yaml: what comes out of them beside what is there already."""

from __future__ import annotations

import base64
import subprocess

import pytest
from conftest import IMAGE, template
from emulator import recorded
from test_rights import TASKS, is_allowed, secret, statements
from test_stacks import rules


@pytest.fixture(scope="module")
def before(aws):
    """What each stands on, apart from the stacks of other tests."""
    stacks = {}
    for name in ("runner", "flow"):
        stacks[name] = aws.create("base", name)
        aws.create("night", name, Image=IMAGE)
    return stacks


@pytest.fixture(scope="module")
def apprunner(aws, before):
    return aws.create("apprunner", "runner", Image=IMAGE)


@pytest.fixture(scope="module")
def airflow(aws, before):
    image = aws.ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    aws.ssm.put_parameter(Name="/test/image", Value=image, Type="String")
    return aws.create("airflow-ec2", "flow", Ami="/test/image", TimeZone="Europe/Madrid", FirstNight="2026-11-01")


def test_app_runner_says_whom_it_is_for():
    assert "closed to new customers since" in template("apprunner")["Description"]


def test_app_runner_reaches_the_database_as_the_api_does_and_may_do_no_more(aws, before, apprunner):
    connector = recorded["AWS::AppRunner::VpcConnector", apprunner["Connector"]]
    assert connector["SecurityGroups"] == [before["runner"]["ApiSecurityGroup"]]
    service = recorded["AWS::AppRunner::Service", apprunner["Service"]]
    assert service["NetworkConfiguration"]["EgressConfiguration"]["EgressType"] == "VPC"
    assert service["HealthCheckConfiguration"]["Path"] == "/health/ready"
    of_role = statements(aws, apprunner["ApiRole"])
    assert is_allowed(of_role, "secretsmanager:GetSecretValue", secret(aws, "runner"), {})
    assert not is_allowed(of_role, "s3:GetObject", "arn:aws:s3:::runner-123456789012-us-east-1/lake/x", {})
    # Its way to Secrets Manager stays within the network.
    groups = [before["runner"][name] for name in ("ApiSecurityGroup", "NightSecurityGroup")]
    assert rules(aws, apprunner["SecretsEndpointSecurityGroup"]) == sorted((443, 443, group) for group in groups)


def test_nobody_comes_in_to_airflow_and_it_reaches_the_database(aws, before, airflow):
    assert rules(aws, airflow["SecurityGroup"]) == []
    base = before["flow"]
    expected = [base["ApiSecurityGroup"], base["NightSecurityGroup"], airflow["SecurityGroup"]]
    assert [of[2] for of in rules(aws, base["DatabaseSecurityGroup"])] == sorted(expected)
    # No key pair, and tokens for the instance's metadata.
    (reservation,) = aws.ec2.describe_instances(InstanceIds=[airflow["Airflow"]])["Reservations"]
    assert not reservation["Instances"][0].get("KeyName")
    data = template("airflow-ec2")["Resources"]["Template"]["Properties"]["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpTokens"] == "required"


RIGHTS = [
    ("ecs:RunTask", "arn:aws:ecs:us-east-1:123456789012:task-definition/flow-night:3", {"ecs:cluster": "arn:aws:ecs:us-east-1:123456789012:cluster/flow"}, True),
    ("ecs:RunTask", "arn:aws:ecs:us-east-1:123456789012:task-definition/flow-hand:3", {"ecs:cluster": "arn:aws:ecs:us-east-1:123456789012:cluster/flow"}, False),
    ("ecs:StopTask", "arn:aws:ecs:us-east-1:123456789012:task/flow/1", {}, True),
    ("ecs:StopTask", "arn:aws:ecs:us-east-1:123456789012:task/other/1", {}, False),
    ("iam:PassRole", "arn:aws:iam::123456789012:role/admin", TASKS, False),
    ("s3:GetObject", "arn:aws:s3:::flow-123456789012-us-east-1/airflow/topshelf.py", {}, True),
    ("s3:PutObject", "arn:aws:s3:::flow-123456789012-us-east-1/airflow/topshelf.py", {}, False),
    ("s3:GetObject", "arn:aws:s3:::flow-123456789012-us-east-1/logs/ads_views.csv", {}, False),
    ("logs:GetLogEvents", "arn:aws:logs:us-east-1:123456789012:log-group:/flow/night:log-stream:1", {}, True),
    ("logs:GetLogEvents", "arn:aws:logs:us-east-1:123456789012:log-group:/flow/hand:log-stream:1", {}, False),
    ("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:us-east-1:123456789012:secret:other", {}, False),
]


@pytest.mark.parametrize(("action", "resource", "context", "expected"), RIGHTS)
def test_airflow_may_run_nights_and_nothing_else(action, resource, context, expected, aws, airflow):
    assert is_allowed(statements(aws, airflow["Role"]), action, resource, context) is expected


def test_what_the_instance_runs_is_a_script(aws, airflow, tmp_path):
    """Of its words nothing is left to fill in; bash reads it, and what it writes is what the DAG's page says."""
    told = aws.ec2.describe_instance_attribute(InstanceId=airflow["Airflow"], Attribute="userData")["UserData"]["Value"]
    text = base64.b64decode(told).decode()
    if not text.startswith("#!"):
        text = base64.b64decode(text).decode()
    script = tmp_path / "user-data.sh"
    script.write_text(text)
    assert text.startswith("#!/bin/bash\n")
    assert "${" not in text
    assert subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True).stderr == ""
    assert "AIRFLOW__TOPSHELF__TIMEZONE=Europe/Madrid" in text
    assert "AIRFLOW__TOPSHELF__START_DATE=2026-11-01" in text
    assert "AIRFLOW__TOPSHELF__ECS_TASK_DEFINITION=flow-night" in text
