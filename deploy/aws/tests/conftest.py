"""What the tests of deploy/aws share: templates, an emulator, stacks in it. `cargo xtask aws` calls them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from cfnlint.decode import cfn_yaml
from emulator import REGION, Emulator

FOLDER = Path(__file__).parents[1]
TEMPLATES = sorted(FOLDER.glob("*.yaml"))


def template(name: str) -> dict:
    """A template as CloudFormation reads it."""
    return cfn_yaml.load(str(FOLDER / f"{name}.yaml"))


@pytest.fixture(autouse=True, scope="session")
def credentials():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "sample")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "sample")
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        patch.delenv("AWS_PROFILE", raising=False)
        yield


@pytest.fixture(scope="session")
def aws_cli(tmp_path_factory):
    """A command that is the AWS CLI without its start."""
    script, address = Path(__file__).parent / "aws_cli.py", tmp_path_factory.mktemp("aws") / "socket"
    command = [sys.executable, str(script), "serve", str(address)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout.readline() == b"ready\n"
        yield f"{sys.executable} -IS {script} call {address}"


@pytest.fixture(scope="module")
def emulator():
    with Emulator() as emulator:
        # What the tests of another file have made is in this process too.
        emulator.reset()
        yield emulator


class Aws:
    """Clients of an emulator."""

    def __init__(self, emulator: Emulator):
        self.emulator = emulator

    def __getattr__(self, service: str):
        return boto3.client(service.replace("_", "-"), region_name=REGION, endpoint_url=self.emulator.url)

    def create(self, stack: str, name: str, **parameters: str) -> dict[str, str]:
        """Makes a stack; the resources that came out, by their names in the template."""
        self.cloudformation.create_stack(
            StackName=f"{name}-{stack}",
            TemplateBody=(FOLDER / f"{stack}.yaml").read_text(),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in {"Name": name, **parameters}.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        assert self.cloudformation.describe_stacks(StackName=f"{name}-{stack}")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
        return self.resources(f"{name}-{stack}")

    def resources(self, stack: str) -> dict[str, str]:
        listed = self.cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
        return {of["LogicalResourceId"]: of.get("PhysicalResourceId", "") for of in listed if "LogicalResourceId" in of}


@pytest.fixture(scope="module")
def aws(emulator):
    return Aws(emulator)


IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/topshelf:0.1.0"


@pytest.fixture(scope="module")
def installed(aws):
    """All stacks, the API on Express Mode; what came out of each, by its name in the template."""
    return {
        "base": aws.create("base", "topshelf", AlarmEmail="night@example.com"),
        "night": aws.create("night", "topshelf", Image=IMAGE),
        "api": aws.create("api", "topshelf", Image=IMAGE),
    }


@pytest.fixture(scope="module")
def with_certificate(aws):
    """All stacks, the API behind a balancer of its own; logging in by IAM."""
    certificate = aws.acm.request_certificate(DomainName="shelf.example.com")["CertificateArn"]
    by_iam = {"DatabaseLogin": "iam", "DatabaseUser": "nights"}
    return {
        "base": aws.create("base", "second"),
        "night": aws.create("night", "second", Image=IMAGE, InputBucket="partner-logs", **by_iam),
        "api": aws.create(
            "api",
            "second",
            Image=IMAGE,
            CertificateArn=certificate,
            DomainName="shelf.example.com",
            DatabaseLogin="iam",
            DatabaseUser="reader",
        ),
    }
