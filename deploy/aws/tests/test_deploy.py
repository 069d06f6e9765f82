"""deploy.sh, task.sh and destroy.sh as a user calls them, with the AWS CLI, against the emulator and a registry with a password.

Tasks run the program itself: on the emulator's bucket, and on SQLite in the place of RDS.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from datetime import date, datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from conftest import FOLDER, IMAGE, Aws
from emulator import REGION, Emulator, Registry, recorded

USER, TOKEN = "AWS", "123456789012-auth-token"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def certify(folder: Path) -> tuple[Path, Path]:
    """A certificate of its own authority for 127.0.0.1, and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "registry")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number(), now - timedelta(1), now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "registry.pem").write_bytes(certificate.public_bytes(pem))
    plain = private.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "registry.key").write_bytes(plain)
    return folder / "registry.pem", folder / "registry.key"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """Debian's registry, which asks for ECR's user and the emulator's token."""
    folder, port = tmp_path_factory.mktemp("registry"), free_port()
    hashed = subprocess.run(["htpasswd", "-Bbn", USER, TOKEN], capture_output=True, text=True, check=True).stdout
    (folder / "htpasswd").write_text(hashed)
    certificate, key = certify(folder)
    (folder / "config.yml").write_text(
        json.dumps(
            {
                "version": 0.1,
                "log": {"level": "error"},
                "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
                "http": {"addr": f"127.0.0.1:{port}", "tls": {"certificate": str(certificate), "key": str(key)}},
                "auth": {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}},
            }
        )
    )
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield Registry(f"127.0.0.1:{port}", USER, TOKEN, certificate)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """An image of one small file, as `cargo xtask image` archives one."""
    folder = tmp_path_factory.mktemp("image")
    blobs = folder / "image/blobs/sha256"
    blobs.mkdir(parents=True)

    def put(content: bytes) -> dict:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"digest": f"sha256:{digest}", "size": len(content)}

    (folder / "file").write_text("topshelf")
    with tarfile.open(folder / "layer.tar", "w") as layer:
        layer.add(folder / "file", "topshelf")
    content = (folder / "layer.tar").read_bytes()
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", **put(content)}
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}, "config": {}}
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", **put(json.dumps(config).encode())}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [layer]}
    manifest = {"mediaType": manifest["mediaType"], **put(json.dumps(manifest).encode())}
    (folder / "image/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    (folder / "image/oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    with tarfile.open(folder / "topshelf.oci.tar", "w") as whole:
        for path in sorted((folder / "image").rglob("*")):
            whole.add(path, str(path.relative_to(folder / "image")), recursive=False)
    return folder / "topshelf.oci.tar"


class Account:
    """An empty account, and a user with the AWS CLI."""

    def __init__(self, folder: Path, registry: Registry, archive: Path, cli: str):
        program = os.environ.get("TOPSHELF_TEST_PROGRAM")
        assert program, "TOPSHELF_TEST_PROGRAM is not set: run `cargo xtask aws`"
        self.folder, self.archive, self.cli = folder, archive, cli
        self.emulator = Emulator(program, registry)
        self.aws = Aws(self.emulator)

    def __enter__(self) -> Account:
        self.emulator.__enter__()
        self.emulator.reset()
        self.emulator.folder = self.folder
        home = self.folder / "home"
        home.mkdir()
        self.put_cli(self.cli)
        self.variables = {
            "PATH": f"{home}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "AWS_ACCESS_KEY_ID": "sample",
            "AWS_SECRET_ACCESS_KEY": "sample",
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.emulator.url,
            "SSL_CERT_FILE": str(self.emulator.registry.certificate),
            "TOPSHELF_LOOK_SECONDS": "0",
        }
        self.emulator.variables = {
            "TOPSHELF_STORE__URL": f"sqlite:{self.folder / 'topshelf.db'}",
            "AWS_ENDPOINT_URL": self.emulator.url,
            "AWS_ACCESS_KEY_ID": "sample",
            "AWS_SECRET_ACCESS_KEY": "sample",
        }
        return self

    def __exit__(self, *_):
        self.emulator.reset()
        self.emulator.__exit__()

    def put_cli(self, command: str):
        """What scripts find as `aws`."""
        # Some commands of the CLI, `aws rds` for one, do not look at AWS_ENDPOINT_URL.
        path = self.folder / "home/aws"
        path.write_text(f'#!/bin/sh\nexec {command} --endpoint-url "$AWS_ENDPOINT_URL" "$@"\n')
        path.chmod(0o755)

    def start(self, script: str, *arguments: str, **variables: str) -> subprocess.Popen:
        command = [str(FOLDER / script), *arguments]
        return subprocess.Popen(
            command,
            env={**self.variables, **variables},
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Whoever runs the tests in the background may have it ignored, and scripts cannot undo that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def call(self, script: str, *arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess:
        process = self.start(script, *arguments, **variables)
        stdout, stderr = process.communicate(stdin)
        return subprocess.CompletedProcess(script, process.returncode, stdout, stderr)

    def deploy(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        ended = self.call("deploy.sh", "--image", str(self.archive), *arguments, **variables)
        assert ended.returncode == 0, ended.stderr
        return ended

    def when(self, words: str, does: str) -> str:
        """A PATH on which the AWS CLI does something else when it is asked for this."""
        real = shutil.which("aws", path=self.variables["PATH"])
        (self.folder / "bin").mkdir()
        (self.folder / "bin/aws").write_text(f'#!/bin/sh\ncase "$*" in *{words}*) {does} ;; esac\nexec {real} "$@"\n')
        (self.folder / "bin/aws").chmod(0o755)
        return f"{self.folder}/bin:{self.variables['PATH']}"

    def has_nights(self):
        """The first two stacks and a database, without the scripts."""
        self.aws.create("base", "topshelf")
        self.aws.create("night", "topshelf", Image=IMAGE)
        code, lines = self.emulator.call(["migrate"], {})
        assert code == 0, lines

    def state(self) -> dict:
        """All that there is in the account, as far as deploying could change it."""
        aws = self.aws
        stacks = aws.cloudformation.describe_stacks()["Stacks"]
        return {
            "stacks": {stack["StackName"]: (stack["StackStatus"], stack.get("LastUpdatedTime"), str(stack["Parameters"])) for stack in stacks},
            "resources": {stack["StackName"]: aws.resources(stack["StackName"]) for stack in stacks},
            "definitions": aws.ecs.list_task_definitions()["taskDefinitionArns"],
            "images": self.emulator.registry.tags("topshelf"),
            "roles": sorted(role["RoleName"] for role in aws.iam.list_roles()["Roles"]),
            "groups": sorted(group["GroupId"] for group in aws.ec2.describe_security_groups()["SecurityGroups"]),
            "databases": [database["DBInstanceArn"] for database in aws.rds.describe_db_instances()["DBInstances"]],
            "recorded": json.dumps(sorted((*name, of) for name, of in recorded.items()), default=str),
            "keys": self.keys(),
            "streams": self.streams(),
        }

    def ran(self) -> set[tuple[str, str, str]]:
        """The tasks that have ended: command, family of the definition, group."""
        aws = self.aws
        arns = aws.ecs.list_tasks(cluster="topshelf", desiredStatus="STOPPED")["taskArns"]
        return {
            (
                task["overrides"]["containerOverrides"][0]["command"][0],
                task["taskDefinitionArn"].rpartition("/")[2].partition(":")[0],
                task["group"],
            )
            for task in aws.ecs.describe_tasks(cluster="topshelf", tasks=arns)["tasks"]
        }

    def keys(self) -> list[str]:
        code, lines = self.emulator.call(["keys", "list", "--json"], {})
        return [key["name"] for key in json.loads(lines[-1])["keys"]] if code == 0 else []

    def streams(self, of: str = "hand") -> list[str]:
        if "topshelf-base" not in [stack["StackName"] for stack in self.aws.cloudformation.describe_stacks()["Stacks"]]:
            return []
        return [stream["logStreamName"] for stream in self.aws.logs.describe_log_streams(logGroupName=f"/topshelf/{of}")["logStreams"]]


@pytest.fixture
def account(tmp_path, registry, archive, aws_cli):
    shutil.rmtree(Path(tmp_path) / "home", ignore_errors=True)
    with Account(tmp_path, registry, archive, aws_cli) as account:
        yield account


KEY = re.compile(r"^tsk_\S+$", re.MULTILINE)


def test_an_empty_account_has_everything_after_one_command_and_the_second_changes_nothing(account):
    first = account.deploy("--set", "night.TimeZone=Europe/Madrid")
    (key,) = KEY.findall(first.stdout)
    assert first.stdout.splitlines()[-1] == "https://topshelf-api.ecs.us-east-1.on.aws"
    assert "curl -H 'Authorization: Bearer KEY' https://topshelf-api.ecs.us-east-1.on.aws/stats/" in first.stderr
    # What the doctor said is shown, and that the logs are not there yet.
    assert "advertiser_ids" in first.stderr and "The doctor misses something" in first.stderr
    assert account.emulator.tasks == [["migrate"], ["doctor"], ["keys", "list", "--json"], ["keys", "create", "--name", "first", "--all"]]
    # The doctor tries what the nights will use; all else is done by the owner. No alarm comes of either.
    assert account.ran() == {
        ("migrate", "topshelf-hand", "topshelf-hand"),
        ("doctor", "topshelf-night", "topshelf-hand"),
        ("keys", "topshelf-hand", "topshelf-hand"),
    }
    state = account.state()
    assert set(state["stacks"]) == {"topshelf-base", "topshelf-night", "topshelf-api"}
    assert state["keys"] == ["first"]
    # The key went by the log, and is not there any more.
    assert state["streams"] == []
    assert state["images"] == [hashlib.sha256(account.archive.read_bytes()).hexdigest()[:12]]
    second = account.deploy()
    assert KEY.findall(second.stdout) == []
    assert key not in second.stderr
    assert "is there" in second.stderr and "pushing" not in second.stderr
    assert account.state() == state


def test_the_cli_does_the_same_when_each_call_starts_it(account):
    account.put_cli(f"{Path(sys.executable).parent}/aws")
    account.deploy()
    state, second = account.state(), account.deploy("--dry-run")
    assert set(state["stacks"]) == {"topshelf-base", "topshelf-night", "topshelf-api"}
    account.put_cli(account.cli)
    again = account.deploy("--dry-run")
    assert (again.stdout, again.stderr) == (second.stdout, second.stderr)
    assert account.state() == state


def test_a_night_runs_where_the_logs_are_put(account):
    account.deploy()
    day = str(date.today() - timedelta(days=1))
    program = account.emulator.program
    subprocess.run([program, "generate", "--out", "samples", "--first-day", day, "--days", "1"], cwd=account.folder, check=True, capture_output=True)
    bucket = "topshelf-123456789012-us-east-1"
    for file in (account.folder / "samples").iterdir():
        account.aws.s3.upload_file(str(file), bucket, f"logs/{file.name}")
    ended = account.call("task.sh", "run", "--day", day)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    assert "published" in ended.stdout
    objects = account.aws.s3.list_objects_v2(Bucket=bucket, Prefix="lake/")["Contents"]
    assert any("rankings" in of["Key"] for of in objects)
    again = account.call("task.sh", "doctor", "--day", day)
    assert again.returncode == 0, again.stdout
    refused = account.call("task.sh", "run", "--day", "2020-01-01")
    assert refused.returncode == 3, refused.stdout


def test_commands_are_the_owners_or_as_the_night(account):
    account.deploy()
    # It arrives, and says what a file cannot do.
    ended = account.call("task.sh", "grant", "serve", "reader", "--iam")
    assert ended.returncode == 2 and "an SQLite file has no roles" in ended.stdout, ended.stdout + ended.stderr
    assert ("grant", "topshelf-hand", "topshelf-hand") in account.ran()
    before = len(account.streams("night"))
    ended = account.call("task.sh", "--as", "night", "runs")
    assert ended.returncode == 0 and "no such runs" in ended.stdout, ended.stdout + ended.stderr
    assert ("runs", "topshelf-night", "topshelf-hand") in account.ran()
    # What the night says stays in its log.
    assert len(account.streams("night")) == before + 1 and account.streams() == []
    refused = account.call("task.sh", "--as", "nobody", "doctor")
    assert refused.returncode == 1 and "--as nobody is not known" in refused.stderr


def test_no_key_is_made_where_it_would_stay_in_a_log(account):
    account.has_nights()
    refused = account.call("task.sh", "--as", "night", "keys", "create", "--name", "acme", "--all")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "would stay in its log" in refused.stderr and "help: leave out --as night" in refused.stderr
    assert account.emulator.tasks == [] and account.keys() == []


def test_when_the_database_cannot_be_migrated_it_says_what_is_new_already(account):
    account.has_nights()
    account.aws.create("api", "topshelf", Image=IMAGE)
    account.emulator.call = lambda command, variables: (1, ["the database is away"])
    ended = account.call("deploy.sh", "--image", str(account.archive))
    assert ended.returncode == 1 and "the API is as it was, the nights have the new version already" in ended.stderr
    assert "`deploy/aws/deploy.sh --tag 0.1.0` takes the nights back" in ended.stderr
    (container,) = account.aws.ecs.describe_task_definition(taskDefinition="topshelf-night")["taskDefinition"]["containerDefinitions"]
    assert container["image"] != IMAGE


def test_a_key_is_shown_even_if_its_log_does_not_end(account):
    account.deploy()
    stream, key = "hand/topshelf/broken-off", "tsk_0123456789"
    account.aws.logs.create_log_stream(logGroupName="/topshelf/hand", logStreamName=stream)
    # Page after page is empty, and tells of another.
    pages = f'n=$(cat {account.folder}/pages 2> /dev/null | wc -l); echo >> {account.folder}/pages; [ "$n" = 1 ] && said={key} || said=; printf "%s\\t%s\\n" "$n" "$said"; exit 0'
    ended = account.deploy(PATH=account.when(f"get-log-events*{stream}", pages))
    assert key in ended.stdout.splitlines()
    assert account.streams() == []


def test_a_database_that_was_restored_is_found_by_the_next_deployment(account):
    from moto.rds.models import rds_backends

    account.deploy()
    rds = account.aws.rds
    (was,) = rds.describe_db_instances(DBInstanceIdentifier="topshelf")["DBInstances"]
    rds.modify_db_instance(DBInstanceIdentifier="topshelf", DeletionProtection=False)
    rds.delete_db_instance(DBInstanceIdentifier="topshelf", SkipFinalSnapshot=True)
    restored = {"DBInstanceIdentifier": "topshelf", "Engine": "postgres", "DBInstanceClass": "db.t4g.micro", "AllocatedStorage": 20, "MasterUsername": "topshelf"}
    rds.create_db_instance(**restored, MasterUserPassword="a password of before")
    ended = account.call("deploy.sh", "--image", str(account.archive))
    assert ended.returncode == 1 and "database topshelf has no secret of its owner" in ended.stderr and "--manage-master-user-password" in ended.stderr
    rds.delete_db_instance(DBInstanceIdentifier="topshelf", SkipFinalSnapshot=True)
    rds.create_db_instance(**restored, ManageMasterUserPassword=True)
    # moto gives every database the same.
    rds_backends["123456789012"][REGION].describe_db_instances("topshelf")[0].dbi_resource_id = "db-RESTORED"
    (database,) = rds.describe_db_instances(DBInstanceIdentifier="topshelf")["DBInstances"]
    resource, owner = database["DbiResourceId"], database["MasterUserSecret"]["SecretArn"]
    assert resource != was["DbiResourceId"] and owner != was["MasterUserSecret"]["SecretArn"]
    account.deploy()
    # What roles make of these, test_rights.py asks: moto leaves a role's policies as they were.
    stacks = account.aws.cloudformation.describe_stacks()["Stacks"]
    told = {stack["StackName"]: {of["ParameterKey"]: of["ParameterValue"] for of in stack["Parameters"]} for stack in stacks}
    for stack in ("topshelf-night", "topshelf-api"):
        assert (told[stack]["DatabaseResource"], told[stack]["OwnerSecret"]) == (resource, owner)
    for name in ("topshelf-night", "topshelf-hand"):
        (container,) = account.aws.ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]["containerDefinitions"]
        assert {"name": "TOPSHELF_STORE__SECRET", "value": owner} in container["environment"]


def test_the_log_of_a_night_says_what_the_alarms_count(account):
    """The filters of night.yaml and api.yaml look for these words of the program."""
    subprocess.run([account.emulator.program, "generate", "--out", "data", "--first-day", "2024-11-20", "--days", "1"], cwd=account.folder, check=True, capture_output=True)
    quiet = {"TOPSHELF_INPUT__URL": str(account.folder / "data"), "TOPSHELF_LAKE__URL": str(account.folder / "lake"), "TOPSHELF_LOG": "info"}
    code, lines = account.emulator.call(["run", "--day", "2024-11-20", "--log-format", "json"], quiet)
    assert code == 0, lines
    said = [json.loads(line) for line in lines if line.startswith("{")]
    (ended,) = (line for line in said if line["message"] == "run ended")
    assert ended["verdict"] == "Published"
    variables = {**account.emulator.variables, "TOPSHELF_SERVE__LISTEN": f"127.0.0.1:{free_port()}", "TOPSHELF_SERVE__DRAIN_SECONDS": "0"}
    server = subprocess.Popen([account.emulator.program, "serve", "--log-format", "json"], env=variables, cwd=account.folder, stderr=subprocess.PIPE, text=True)
    try:
        for line in server.stderr:
            told = json.loads(line)
            if told["message"] == "snapshot loaded":
                break
        assert told["newest_day"] != "None"
    finally:
        server.terminate()
        server.wait()


def test_a_dry_run_shows_what_would_come_and_changes_nothing(account):
    shown = account.deploy("--dry-run")
    assert "topshelf-base:\n" in shown.stdout and "AWS::RDS::DBInstance\tDatabase" in shown.stdout
    assert "topshelf-night: new, with" in shown.stdout and "topshelf-api: new, with" in shown.stdout
    assert account.aws.cloudformation.describe_stacks()["Stacks"] == []
    assert account.aws.cloudformation.list_stacks(StackStatusFilter=["REVIEW_IN_PROGRESS"])["StackSummaries"] == []
    account.deploy()
    state = account.state()
    shown = account.deploy("--dry-run")
    assert shown.stdout.splitlines() == [f"topshelf-{stack}: no changes" for stack in ("base", "night", "api")]
    assert account.state() == state
    shown = account.deploy("--dry-run", "--set", "night.NightHour=4")
    # What a parameter changes moto does not tell, but that something changes.
    assert "topshelf-night:\n" in shown.stdout and "topshelf-base: no changes" in shown.stdout
    assert account.state() == state


def test_a_dry_run_that_was_broken_off_is_no_stack_to_the_next(account):
    shell = {"StackName": "topshelf-base", "ChangeSetName": "broken-off", "ChangeSetType": "CREATE", "Capabilities": ["CAPABILITY_IAM"]}
    account.aws.cloudformation.create_change_set(**shell, TemplateBody=(FOLDER / "base.yaml").read_text())
    (stack,) = account.aws.cloudformation.list_stacks(StackStatusFilter=["REVIEW_IN_PROGRESS"])["StackSummaries"]
    assert stack["StackName"] == "topshelf-base"
    shown = account.deploy("--dry-run")
    assert "AWS::RDS::DBInstance\tDatabase" in shown.stdout and "topshelf-night: new, with" in shown.stdout
    assert account.aws.cloudformation.list_stacks(StackStatusFilter=["REVIEW_IN_PROGRESS"])["StackSummaries"] == []


# After so many calls of the AWS CLI everything is killed: before the first stack, while pushing, in the second stack, in a task,
# when the key was just made.
@pytest.mark.parametrize("after", [2, 6, 11, 16, 30])
def test_killed_at_any_moment_and_called_again_it_finishes(account, after):
    count, real = account.folder / "count", shutil.which("aws", path=account.variables["PATH"])
    (account.folder / "bin").mkdir()
    counting = account.folder / "bin/aws"
    counting.write_text(
        f'#!/bin/sh\necho >> {count}\n[ "$(wc -l < {count})" -le {after} ] || {{ echo > {account.folder}/reached; exec sleep 60; }}\nexec {real} "$@"\n'
    )
    counting.chmod(0o755)
    process = account.start("deploy.sh", "--image", str(account.archive), PATH=f"{account.folder}/bin:{account.variables['PATH']}")
    while not (account.folder / "reached").exists() and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    stdout, _ = process.communicate()
    finished = account.deploy()
    state = account.state()
    assert {name: status for name, (status, *_) in state["stacks"].items()} == {
        f"topshelf-{stack}": "CREATE_COMPLETE" for stack in ("base", "night", "api")
    }
    assert state["keys"] == ["first"]
    # A stream of a command that was broken off may be left for its day, but none with a key.
    for stream in state["streams"]:
        events = account.aws.logs.get_log_events(logGroupName="/topshelf/hand", logStreamName=stream)["events"]
        assert not any("tsk_" in event["message"] for event in events)
    # Whenever it was killed, somebody has seen the key.
    assert len(set(KEY.findall(stdout + finished.stdout))) == 1


def test_a_long_log_is_shown_whole_before_it_is_deleted(account):
    account.has_nights()
    # CloudWatch gives 10,000 lines at once.
    said = [f"line {number} of\tmany" for number in range(10_500)]
    account.emulator.call = lambda command, variables: (0, said)
    ended = account.call("task.sh", "runs")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == said
    assert account.aws.logs.describe_log_streams(logGroupName="/topshelf/hand")["logStreams"] == []


def test_a_log_that_does_not_come_is_not_deleted(account):
    account.has_nights()
    account.emulator.call = lambda command, variables: (3, ["a line"])
    never = account.when("get-log-events", "exit 255")
    ended = account.call("task.sh", "runs", PATH=never)
    assert ended.returncode == 3
    (stream,) = account.aws.logs.describe_log_streams(logGroupName="/topshelf/hand")["logStreams"]
    assert f"its log has not come, or not whole: group /topshelf/hand, stream {stream['logStreamName']}" in ended.stderr


@pytest.mark.parametrize("at", ["describe-tasks", "get-log-events"])
def test_broken_off_it_says_where_a_key_is(account, at):
    account.has_nights()
    stuck = account.when(at, f"echo > {account.folder}/reached; exec sleep 60")
    process = account.start("task.sh", "keys", "create", "--name", "acme", "--all", PATH=stuck)
    while not (account.folder / "reached").exists() and process.poll() is None:
        time.sleep(0.05)
    # As a terminal does.
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (130, ""), stderr
    (stream,) = account.aws.logs.describe_log_streams(logGroupName="/topshelf/hand")["logStreams"]
    assert f"--log-stream-name {stream['logStreamName']} --start-from-head" in stderr
    assert f"aws ecs stop-task --cluster topshelf --task arn:aws:ecs:us-east-1:123456789012:task/topshelf/{stream['logStreamName'].split('/')[-1]}" in stderr
    events = account.aws.logs.get_log_events(logGroupName="/topshelf/hand", logStreamName=stream["logStreamName"])["events"]
    assert len(KEY.findall("\n".join(event["message"] for event in events))) == 1


def test_an_image_is_named_by_all_that_it_is_built_of(account):
    """A commit; changes; files that are new, and not ignored, by their contents."""
    clone = account.folder / "clone"
    shutil.copytree(FOLDER, clone / "deploy/aws", ignore=shutil.ignore_patterns("tests"))
    (clone / "deploy/docker").mkdir()
    (clone / ".gitignore").write_text("/data\n")
    git = ["git", "-C", str(clone), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "first"]):
        subprocess.run([*git, *arguments], check=True)
    (account.folder / "bin").mkdir()
    # It builds nothing, and tells as what.
    docker = account.folder / "bin/docker"
    docker.write_text(f'#!/bin/sh\ncase $1 in info) exit 0 ;; esac\necho "$*" >> {account.folder}/built\nexit 1\n')
    docker.chmod(0o755)
    # Nothing but the name is asked for: all of AWS is a state that is there.
    aws = account.folder / "bin/aws"
    aws.write_text(
        '#!/bin/sh\ncase "$*" in *get-caller-identity*) echo 1 ;; *StackStatus*) echo CREATE_COMPLETE ;; *Outputs*) printf "Repository\\tr/topshelf\\n" ;;'
        " *describe-images*) exit 1 ;; *) echo done ;; esac\n"
    )
    aws.chmod(0o755)

    def name(**variables: str) -> str:
        (account.folder / "built").unlink(missing_ok=True)
        path = f"{account.folder}/bin:{account.variables['PATH']}"
        ended = subprocess.run([clone / "deploy/aws/deploy.sh"], env={**account.variables, **variables, "PATH": path}, capture_output=True, text=True)
        assert "the image could not be built" in ended.stderr, ended.stderr
        return re.search(r"REVISION=(\S+)", (account.folder / "built").read_text())[1]

    commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert name() == commit
    # With what is left out by default it is another one, which the builder is told.
    assert name(TOPSHELF_FEATURES="cluster") == f"{commit}-cluster"
    assert "--build-arg FEATURES=cluster " in (account.folder / "built").read_text()
    (clone / "data").mkdir()
    (clone / "data/ignored").write_text("1")
    assert name() == commit
    names = [commit]
    for content in ("one", "two"):
        (clone / "new file").write_text(content)
        names.append(name())
    (clone / ".gitignore").write_text("/data\n/other\n")
    names.append(name())
    assert len(set(names)) == 4 and all(of.startswith(commit) for of in names)
    assert name() == names[-1]


REFUSED = [
    (["--account", "210987654321"], {}, "these are credentials of account 123456789012, and not of 210987654321", "AWS_PROFILE"),
    ([], {"AWS_REGION": ""}, "no region is named", "--region"),
    ([], {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}, "Unable to locate credentials", "aws configure"),
    ([], {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "Could not connect to the endpoint", "region"),
    (["--set", "night.Timezone=UTC"], {}, "night.yaml has no parameter Timezone", "TimeZone"),
    (["--set", "TimeZone=UTC"], {}, "is not STACK.PARAMETER=VALUE", "base, night or api"),
    (["--image", "/nowhere.tar"], {}, "there is no file /nowhere.tar", "xtask image"),
    (["--set", "night.TimeZone"], {}, "is not STACK.PARAMETER=VALUE", "base, night or api"),
    (["--nonsense"], {}, "--nonsense is not known", "--help"),
]


@pytest.mark.parametrize(("arguments", "variables", "message", "help"), REFUSED)
def test_what_is_wrong_is_said_with_a_remedy_before_anything_is_made(account, arguments, variables, message, help):
    ended = account.call("deploy.sh", "--image", str(account.archive), *arguments, **variables)
    assert ended.returncode == 1
    error, told = ended.stderr.split("\nhelp: ") if "\nhelp: " in ended.stderr else (ended.stderr, "")
    assert message in error and help in told, ended.stderr
    assert account.aws.cloudformation.describe_stacks()["Stacks"] == []


def put_state(account, status: str, name: str = "topshelf-base"):
    from moto.cloudformation.models import cloudformation_backends

    (stack,) = (stack for stack in cloudformation_backends["123456789012"][REGION].stacks.values() if stack.name == name)
    stack.status = status
    return stack


@pytest.mark.parametrize(
    ("status", "help"),
    [
        ("ROLLBACK_COMPLETE", "aws cloudformation delete-stack --stack-name topshelf-base"),
        ("ROLLBACK_FAILED", "deploy/aws/destroy.sh --name topshelf --delete-data"),
        ("DELETE_FAILED", "deploy/aws/destroy.sh --name topshelf --delete-data"),
        ("UPDATE_ROLLBACK_FAILED", "aws cloudformation continue-update-rollback --stack-name topshelf-base"),
    ],
)
def test_a_stack_that_cannot_be_updated_is_named_with_what_to_do(account, status, help):
    account.aws.create("base", "topshelf")
    put_state(account, status)
    ended = account.call("deploy.sh", "--image", str(account.archive))
    assert ended.returncode == 1
    assert f"stack topshelf-base is in {status}" in ended.stderr and help in ended.stderr


def test_data_are_never_named_to_be_deleted_for_a_stack_that_has_none(account):
    account.has_nights()
    put_state(account, "DELETE_FAILED", "topshelf-night")
    ended = account.call("deploy.sh", "--image", str(account.archive))
    assert ended.returncode == 1
    assert "help: mend what failed, then: aws cloudformation delete-stack --stack-name topshelf-night" in ended.stderr
    assert "--delete-data" not in ended.stderr


def test_an_update_under_way_is_waited_for(account):
    account.aws.create("base", "topshelf")
    stack = put_state(account, "UPDATE_IN_PROGRESS")
    process = account.start("deploy.sh", "--image", str(account.archive))
    said = []
    for line in process.stderr:
        said.append(line)
        if "waiting for its end" in line:
            break
    assert "UPDATE_IN_PROGRESS" in said[-1]
    stack.status = "UPDATE_COMPLETE"
    process.communicate()
    assert process.returncode == 0


def test_a_quota_that_is_reached_is_told_as_one(account):
    account.deploy()
    from moto.ecs.exceptions import EcsClientException
    from moto.ecs.models import EC2ContainerServiceBackend

    def refuse(self, *_, **__):
        raise EcsClientException("You've reached the limit on the number of vCPUs you can run concurrently")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EC2ContainerServiceBackend, "run_task", refuse)
        ended = account.call("task.sh", "doctor")
    assert ended.returncode == 1 and "service-quotas" in ended.stderr


def test_nothing_is_deleted_without_being_asked_and_data_not_without_being_told(account):
    account.deploy()
    state = account.state()
    refused = account.call("destroy.sh", stdin="no\n")
    assert refused.returncode == 1 and "nothing was deleted" in refused.stderr
    assert account.state() == state
    kept = account.call("destroy.sh", stdin="topshelf\n")
    assert kept.returncode == 0, kept.stderr
    after = account.state()
    assert set(after["stacks"]) == {"topshelf-base"}
    assert (after["databases"], after["images"]) == (state["databases"], state["images"])
    # All comes back, with its data.
    back = account.deploy()
    assert KEY.findall(back.stdout) == []
    assert account.state()["databases"] == state["databases"]


def test_with_the_data_nothing_is_protected_or_kept(account):
    """As far as moto goes: it then refuses to delete the network, whose parts it takes in another order than AWS."""
    account.deploy()
    bucket = "topshelf-123456789012-us-east-1"
    account.aws.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for version in range(3):
        account.aws.s3.put_object(Bucket=bucket, Key="logs/a b", Body=str(version).encode())
    account.aws.s3.delete_object(Bucket=bucket, Key="logs/a b")
    ended = account.call("destroy.sh", "--delete-data", "--yes")
    assert "stack topshelf-base goes" in ended.stderr
    assert {stack["StackName"] for stack in account.aws.cloudformation.describe_stacks()["Stacks"]} <= {"topshelf-base"}
    databases = account.aws.rds.describe_db_instances()["DBInstances"]
    assert not any(database["DeletionProtection"] for database in databases)
    if bucket in [of["Name"] for of in account.aws.s3.list_buckets()["Buckets"]]:
        left = account.aws.s3.list_object_versions(Bucket=bucket)
        assert "Versions" not in left and "DeleteMarkers" not in left


def test_what_others_left_in_the_network_is_waited_for_and_named(account):
    """As Express Mode's balancer, whose addresses and group go some minutes after its service."""
    base = account.aws.create("base", "topshelf")
    group = account.aws.ec2.create_security_group(GroupName="ecs-express", Description="balancer", VpcId=base["Vpc"])["GroupId"]
    interface = account.aws.ec2.create_network_interface(SubnetId=base["PublicSubnetB"], Description="ELB app/ecs-express", Groups=[group])
    interface = interface["NetworkInterface"]["NetworkInterfaceId"]
    (account.folder / "bin").mkdir()
    # Ten minutes pass in two looks.
    (account.folder / "bin/sleep").write_text(f'#!/bin/sh\necho "$*" >> {account.folder}/slept\n')
    (account.folder / "bin/sleep").chmod(0o755)
    soon = {"PATH": f"{account.folder}/bin:{account.variables['PATH']}", "TOPSHELF_LOOK_SECONDS": "300"}
    ended = account.call("destroy.sh", "--delete-data", "--yes", **soon)
    assert ended.returncode == 1
    left = f"{interface}\tELB app/ecs-express\n{group}\tecs-express\n"
    assert f"waiting for what others have in the network {base['Vpc']} to go:\n{left}" in ended.stderr
    assert f"cannot be deleted with it:\n{left}help: of a balancer: `aws elbv2 describe-load-balancers`" in ended.stderr
    assert (account.folder / "slept").read_text() == "300\n"
    assert "stack topshelf-base goes" not in ended.stderr
    account.aws.ec2.delete_network_interface(NetworkInterfaceId=interface)
    account.aws.ec2.delete_security_group(GroupId=group)
    ended = account.call("destroy.sh", "--delete-data", "--yes")
    assert "waiting for" not in ended.stderr and "stack topshelf-base goes" in ended.stderr
