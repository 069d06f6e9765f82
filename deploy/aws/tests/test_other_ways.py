"""apprunner.yaml and airflow-ec2.yaml: what comes out of them beside what is there already."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import IMAGE, template
from emulator import recorded
from test_rights import TASKS, is_allowed, secret, statements
from test_stacks import rules


@pytest.fixture(scope="module")
def before(aws):
    """What each stands on, apart from the stacks of other tests."""
    stacks = {}
    for name in ("runner", "flow", "again"):
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


@pytest.fixture(scope="module")
def restored(aws, airflow):
    other = "arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!db-restored-AbCdEf"
    return aws.create("airflow-ec2", "again", Ami="/test/image", OwnerSecret=other)


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
    # Its way to Secrets Manager stays within the network, of which it is everybody's: nights and Airflow are in these subnets.
    subnets = [before["runner"][name] for name in ("PublicSubnetA", "PublicSubnetB")]
    blocks = [subnet["CidrBlock"] for subnet in aws.ec2.describe_subnets(SubnetIds=subnets)["Subnets"]]
    assert rules(aws, apprunner["SecretsEndpointSecurityGroup"]) == sorted((443, 443, block) for block in blocks)


def test_app_runner_runs_the_api_and_believes_its_proxy(apprunner):
    service = recorded["AWS::AppRunner::Service", apprunner["Service"]]
    configuration = service["SourceConfiguration"]["ImageRepository"]["ImageConfiguration"]
    told = {variable["Name"]: variable["Value"] for variable in configuration["RuntimeEnvironmentVariables"]}
    assert configuration["StartCommand"] == "serve --log-format json"
    assert json.loads(told["TOPSHELF_SERVE__TRUSTED_PROXIES"]) == ["169.254.172.0/22"]
    assert told["TOPSHELF_STORE__URL"].startswith("postgres://topshelf@") and told["TOPSHELF_STORE__URL"].endswith("?sslmode=verify-full")
    assert "TOPSHELF_SERVE__KEYS" not in told
    # Groups of logs that are not there yet have no filters.
    assert not {"SnapshotsLoaded", "SnapshotOld", "Troubles", "Trouble"} & set(apprunner)


def test_app_runner_may_log_in_by_iam_and_tells_of_its_log_once_there_is_one(aws, before):
    made = aws.create("apprunner", "again", Image=IMAGE, DatabaseLogin="iam", DatabaseUser="reader", DatabaseResource="db-RESTORED", LogAlarms="true")
    of_role = statements(aws, made["ApiRole"])
    users = "arn:aws:rds-db:us-east-1:123456789012:dbuser"
    assert is_allowed(of_role, "rds-db:connect", f"{users}:db-RESTORED/reader", {})
    assert not is_allowed(of_role, "rds-db:connect", f"{users}:db-RESTORED/topshelf", {})
    assert not is_allowed(of_role, "secretsmanager:GetSecretValue", secret(aws, "again"), {})
    service = recorded["AWS::AppRunner::Service", made["Service"]]
    variables = service["SourceConfiguration"]["ImageRepository"]["ImageConfiguration"]["RuntimeEnvironmentVariables"]
    told = {variable["Name"]: variable["Value"] for variable in variables}
    assert told["TOPSHELF_STORE__URL"].endswith("&auth=iam") and told["TOPSHELF_STORE__SECRET"] == ""
    assert told["DATABASE_RESOURCE"] == "db-RESTORED"
    outputs = aws.cloudformation.describe_stacks(StackName="again-apprunner")["Stacks"][0]["Outputs"]
    (keep,) = (output["OutputValue"] for output in outputs if output["OutputKey"] == "Keep")
    group = "/aws/apprunner/again-api/abc/"
    assert f"--log-group-name {group}$log --retention-in-days 30" in keep
    # The filters are those of api.yaml, on that group.
    for name in ("SnapshotsLoaded", "Troubles"):
        of = recorded["AWS::Logs::MetricFilter", made[name]]
        assert of["LogGroupName"] == f"{group}application"
        assert of["FilterPattern"] == template("api")["Resources"][name]["Properties"]["FilterPattern"]
    topic = before["again"]["Alarms"]
    for name, filter in (("SnapshotOld", "SnapshotsLoaded"), ("Trouble", "Troubles")):
        alarm = recorded["AWS::CloudWatch::Alarm", made[name]]
        (counted,) = recorded["AWS::Logs::MetricFilter", made[filter]]["MetricTransformations"]
        assert (alarm["Namespace"], alarm["MetricName"]) == (counted["MetricNamespace"], counted["MetricName"])
        assert alarm["AlarmActions"] == [topic]
        # They are those of api.yaml.
        of_api = template("api")["Resources"][name]["Properties"]
        for property in ("Statistic", "Period", "EvaluationPeriods", "Threshold", "ComparisonOperator", "TreatMissingData"):
            assert str(alarm[property]) == str(of_api[property])


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


def user_data(aws, airflow) -> str:
    """What the instance runs at its start."""
    told = aws.ec2.describe_instance_attribute(InstanceId=airflow["Airflow"], Attribute="userData")["UserData"]["Value"]
    text = base64.b64decode(told).decode()
    return text if text.startswith("#!") else base64.b64decode(text).decode()


def test_what_the_instance_runs_is_a_script(aws, airflow, tmp_path):
    """Of its words nothing is left to fill in; bash reads it, and what it writes is what the DAG's page says."""
    text = user_data(aws, airflow)
    script = tmp_path / "user-data.sh"
    script.write_text(text)
    assert text.startswith("#!/bin/bash\n")
    assert "${" not in text
    assert subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True).stderr == ""
    shellcheck = shutil.which("shellcheck") or Path(sys.prefix).parent / "shellcheck/usr/bin/shellcheck"
    judged = subprocess.run([shellcheck, "--color=never", str(script)], capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout + judged.stderr
    assert "AIRFLOW__TOPSHELF__TIMEZONE=Europe/Madrid" in text
    assert "AIRFLOW__TOPSHELF__START_DATE=2026-11-01" in text
    assert "AIRFLOW__TOPSHELF__ECS_TASK_DEFINITION=flow-night" in text


class Machine:
    """A folder in the place of the instance's file system, in which programs note that they were called and do nothing."""

    def __init__(self, folder: Path, text: str):
        self.root, self.programs, self.called = folder / "root", folder / "programs", folder / "called"
        for part in ("etc/airflow", "etc/systemd/system", "opt/airflow/bin", "var/lib/airflow/dags"):
            (self.root / part).mkdir(parents=True)
        self.programs.mkdir()
        # Its paths begin in the folder.
        self.script = re.sub(r"(?<=[\s>])/(?=(etc|opt|var)/)", f"{self.root}/", text)
        for name in ("dnf", "id", "curl", "chown", "install", "systemctl", "systemd-run", "python", "pip"):
            self.put(name, "exit 0")
        for name in ("python", "pip"):
            (self.root / "opt/airflow/bin" / name).symlink_to(self.programs / name)
        self.put("aws", 'case "$*" in *rds!*) who=topshelf password=of-the-owner ;; *) who=airflow password=of-airflow ;; esac\necho "{\\"username\\": \\"$who\\", \\"password\\": \\"$password\\"}"')

    def put(self, name: str, does: str):
        (self.programs / name).write_text(f'#!/bin/bash\necho "{name} $*" >> {self.called}\n{does}\n')
        (self.programs / name).chmod(0o755)

    def start(self, can_log_in: bool, says: str = 'FATAL:  password authentication failed for user "airflow"') -> tuple[subprocess.CompletedProcess, str]:
        """Runs it, where Airflow's user can log in to the database or not, and hears why; how it ended and what it called."""
        self.put("psql", f'case "$*" in *"SELECT 1"*) {"exit 0" if can_log_in else f"echo {shlex.quote(says)} >&2; exit 2"} ;; esac\necho "as $PGUSER: $(cat)" >> {self.called}')
        self.called.write_text("")
        variables = {**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}"}
        ended = subprocess.run(["bash", "-c", self.script], env=variables, capture_output=True, text=True)
        return ended, self.called.read_text()

    def settings(self, name: str) -> dict[str, str]:
        lines = (self.root / "etc/airflow" / name).read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


@pytest.fixture
def machine(aws, airflow, tmp_path):
    return Machine(tmp_path, user_data(aws, airflow))


def test_the_owner_prepares_the_database_once(machine, aws):
    owner = secret(aws, "flow")
    ended, called = machine.start(can_log_in=False)
    assert ended.returncode == 0, ended.stderr
    assert f"--secret-id {owner}" in called and "as topshelf: " in called and "CREATE DATABASE airflow OWNER airflow" in called
    # No password is among the arguments, where every user of a machine sees it.
    assert "of-airflow" not in called and "of-the-owner" not in called
    ended, called = machine.start(can_log_in=True)
    assert ended.returncode == 0, ended.stderr
    assert owner not in called and "CREATE" not in called
    # Without the right to the owner's secret it says what to do.
    machine.put("aws", 'case "$*" in *rds!*) echo AccessDenied >&2; exit 254 ;; esac\necho "{\\"password\\": \\"of-airflow\\"}"')
    ended, called = machine.start(can_log_in=False)
    assert ended.returncode == 1 and "set Prepare to true" in ended.stderr
    assert "as topshelf" not in called


@pytest.mark.parametrize(
    ("says", "is_prepared"),
    [
        ('FATAL:  database "airflow" does not exist', True),
        ("connection to server failed: Connection refused", False),
        ("connection to server failed: timeout expired", False),
        ('could not translate host name "flow.example" to address: Name or service not known', False),
        ('root certificate file "/etc/airflow/rds.pem" does not exist', False),
    ],
)
def test_a_database_that_does_not_answer_is_not_one_that_lacks_airflow(machine, says, is_prepared):
    ended, called = machine.start(can_log_in=False, says=says)
    assert ("as topshelf" in called) is is_prepared
    if not is_prepared:
        assert ended.returncode == 1 and says in ended.stderr and "Prepare" not in ended.stderr


def test_another_instance_has_the_same_keys(machine):
    machine.start(can_log_in=True)
    keys = machine.settings("keys.env")
    (machine.root / "etc/airflow/keys.env").unlink()
    machine.start(can_log_in=True)
    assert machine.settings("keys.env") == keys
    # As Fernet wants it, and long enough to sign with; neither tells of the password.
    assert len(base64.urlsafe_b64decode(keys["AIRFLOW__CORE__FERNET_KEY"])) == 32
    assert len(base64.urlsafe_b64decode(keys["AIRFLOW__API_AUTH__JWT_SECRET"])) == 64
    # With another password they are others.
    machine.put("aws", 'echo "{\\"password\\": \\"another\\"}"')
    machine.start(can_log_in=True)
    assert not set(machine.settings("keys.env").values()) & set(keys.values())


def test_both_ways_to_the_database_are_verified(machine):
    machine.start(can_log_in=True)
    told = machine.settings("airflow.env")
    plain, asynchronous = (urlsplit(told[f"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN{of}"]) for of in ("", "_ASYNC"))
    assert plain.netloc == asynchronous.netloc and plain.netloc.startswith("airflow:of-airflow@flow.")
    assert (plain.scheme, plain.query) == ("postgresql+psycopg2", "sslmode=verify-full&sslrootcert=/etc/airflow/rds.pem")
    # asyncpg refuses the words of libpq.
    assert (asynchronous.scheme, asynchronous.query) == ("postgresql+asyncpg", "ssl=verify-full")
    assert told["PGSSLROOTCERT"] == "/etc/airflow/rds.pem"
    # Nobody but root and Airflow reads passwords and keys.
    for name in ("airflow.env", "keys.env"):
        assert (machine.root / "etc/airflow" / name).stat().st_mode & 0o777 == 0o640


def test_the_instance_may_read_the_owners_secret_only_while_it_prepares(aws, airflow):
    owner = secret(aws, "flow")
    assert is_allowed(statements(aws, airflow["Role"]), "secretsmanager:GetSecretValue", owner, {})
    prepared = aws.create("airflow-ec2", "runner", Ami="/test/image", Prepare="false")
    of_role = statements(aws, prepared["Role"])
    assert not is_allowed(of_role, "secretsmanager:GetSecretValue", secret(aws, "runner"), {})


def test_after_a_restore_it_is_another_secret(aws, restored):
    other = "arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!db-restored-AbCdEf"
    of_role = statements(aws, restored["Role"])
    assert is_allowed(of_role, "secretsmanager:GetSecretValue", other, {})
    assert not is_allowed(of_role, "secretsmanager:GetSecretValue", secret(aws, "again"), {})
    assert f"secret '{other}' username" in user_data(aws, restored)
