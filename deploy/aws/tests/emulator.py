"""moto as an AWS to deploy to, with what it lacks for these templates.

Types of CloudFormation that moto does not know are recorded: their properties, with every reference in them resolved, stand in
`recorded`, and their attributes are made up. Of the database more properties are handed on than moto does. A task of ECS runs at
once, as a process here, with the program and the environment of its task definition; its log goes to CloudWatch. An Express service is an
address. What only AWS can show, this does not: rights are not checked, nothing is placed, no balancer listens.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import logging
import os
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path


import yaml
from moto.cloudformation import models as cloudformation_models
from moto.cloudformation import parsing
from moto.cloudformation import responses as cloudformation_responses
from moto.cloudformation.models import CloudFormationBackend
from moto.core.common_models import CloudFormationModel
from moto.ec2.models import ec2_backends
from moto.ec2.models.security_groups import SecurityGroupIngress
from moto.ec2.models.subnets import Subnet
from moto.ecr.models import ECRBackend, Repository, ecr_backends
from moto.ecs.models import EC2ContainerServiceBackend, TaskDefinition, ecs_backends
from moto.logs.models import logs_backends
from moto.rds.models import DBInstance, rds_backends
from moto.server import ThreadedMotoServer

ACCOUNT, REGION = "123456789012", "us-east-1"

# What each type that moto lacks is referred to by, and its attributes.
LACKING = {
    "AWS::ApplicationAutoScaling::ScalableTarget": {},
    "AWS::ApplicationAutoScaling::ScalingPolicy": {},
    "AWS::AppRunner::AutoScalingConfiguration": {"AutoScalingConfigurationArn": "arn:aws:apprunner:us-east-1:123456789012:as/1"},
    "AWS::AppRunner::Service": {"ServiceUrl": "abc.us-east-1.awsapprunner.com", "ServiceId": "abc"},
    "AWS::AppRunner::VpcConnector": {"VpcConnectorArn": "arn:aws:apprunner:us-east-1:123456789012:vpcconnector/1"},
    "AWS::CloudWatch::Alarm": {},
    "AWS::EC2::SecurityGroupEgress": {},
    "AWS::ECS::ClusterCapacityProviderAssociations": {},
    "AWS::ECS::ExpressGatewayService": {
        "Endpoint": "topshelf-api.ecs.us-east-1.on.aws",
        "ECSManagedResourceArns.IngressPath.LoadBalancerArn": "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/express/1",
    },
    "AWS::Logs::MetricFilter": {},
    "AWS::S3::BucketPolicy": {},
    "AWS::SNS::Subscription": {},
    "AWS::SecretsManager::Secret": {},
    "AWS::SNS::TopicPolicy": {},
    "AWS::Scheduler::Schedule": {},
    "AWS::ServiceDiscovery::PrivateDnsNamespace": {},
    "AWS::ServiceDiscovery::Service": {"Arn": "arn:aws:servicediscovery:us-east-1:123456789012:service/srv-1"},
}

# The properties of what moto lacks, by the name of the type and of the resource.
recorded: dict[tuple[str, str], dict] = {}


def recording(kind: str, attributes: dict[str, str]) -> type:
    class Recorded(CloudFormationModel):
        # moto takes the name of a service from it.
        __module__ = "recorded.models"

        def __init__(self, name: str, properties: dict):
            self.physical_resource_id = name
            self.properties = recorded[kind, name] = properties

        @staticmethod
        def cloudformation_name_type() -> str:
            return "AlarmName" if kind == "AWS::CloudWatch::Alarm" else ""

        @staticmethod
        def cloudformation_type() -> str:
            return kind

        @classmethod
        def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **_):
            return cls(resource_name, cloudformation_json["Properties"])

        @classmethod
        def update_from_cloudformation_json(cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name):
            # There is none where a condition was not met before.
            name = original_resource.physical_resource_id if original_resource else new_resource_name
            return cls(name, cloudformation_json["Properties"])

        @classmethod
        def delete_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name):
            recorded.pop((kind, resource_name), None)

        @classmethod
        def has_cfn_attr(cls, attr: str) -> bool:
            return attr in attributes

        def get_cfn_attribute(self, attribute_name: str) -> str:
            return attributes[attribute_name]

    Recorded.__name__ = Recorded.__qualname__ = kind.replace("::", "")
    return Recorded


RECORDING = [recording(kind, attributes) for kind, attributes in LACKING.items()]


def with_more_functions(clean_json):
    """Fn::Cidr, which moto leaves as it is, and lists without what AWS::NoValue takes away."""

    def clean(value, resources):
        if isinstance(value, dict) and "Fn::Cidr" in value:
            block, count, bits = clean_json(value["Fn::Cidr"], resources)
            subnets = ipaddress.ip_network(block).subnets(new_prefix=32 - int(bits))
            return [str(subnet) for _, subnet in zip(range(int(count)), subnets)]
        cleaned = clean_json(value, resources)
        return [item for item in cleaned if item is not None] if isinstance(value, list) else cleaned

    return clean


def short_form(loader, tag, node):
    """The short form of a function; moto reads no mappings in them, and cuts attributes at every dot."""
    if isinstance(node, yaml.ScalarNode):
        value = node.value.split(".", 1) if tag == "!GetAtt" else node.value
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {tag[1:] if tag in ("!Ref", "!Condition") else f"Fn::{tag[1:]}": value}


def create_database(cls, resource_name, cloudformation_json, account_id, region_name, **_):
    """A database with those of its properties that moto's CloudFormation drops."""
    properties = cloudformation_json["Properties"]
    is_true = lambda name: str(properties.get(name, False)).lower() == "true"  # noqa: E731
    return rds_backends[account_id][region_name].create_db_instance(
        {
            "db_instance_identifier": properties["DBInstanceIdentifier"],
            "db_name": properties["DBName"],
            "engine": properties["Engine"],
            "engine_version": properties["EngineVersion"],
            "db_instance_class": properties["DBInstanceClass"],
            "allocated_storage": int(properties["AllocatedStorage"]),
            "storage_type": properties["StorageType"],
            "storage_encrypted": is_true("StorageEncrypted"),
            "publicly_accessible": is_true("PubliclyAccessible"),
            "deletion_protection": is_true("DeletionProtection"),
            "multi_az": is_true("MultiAZ"),
            "master_username": properties["MasterUsername"],
            "manage_master_user_password": is_true("ManageMasterUserPassword"),
            "enable_iam_database_authentication": is_true("EnableIAMDatabaseAuthentication"),
            "backup_retention_period": int(properties["BackupRetentionPeriod"]),
            "port": properties["Port"],
            # moto hands these two on as objects.
            "db_subnet_group_name": properties["DBSubnetGroupName"].name,
            "db_parameter_group_name": properties["DBParameterGroupName"].name,
            "vpc_security_group_ids": properties["VPCSecurityGroups"],
            "tags": properties["Tags"],
        }
    )


def of_what_is_there(build_resource_diff):
    """What an update changes; moto would change what a condition has kept from being made, too."""

    def build(self, *arguments, **named):
        changes = build_resource_diff(self, *arguments, **named)
        condition = lambda name: self._resource_json_map[name].get("Condition")  # noqa: E731
        changes["Modify"] = [name for name in changes["Modify"] if not condition(name) or self.lazy_condition_map[condition(name)]]
        return changes

    return build


def update_definition(cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name):
    """A new revision in the place of the last, as at first; moto would not write its properties as ECS does."""
    ecs_backends[account_id][region_name].deregister_task_definition(original_resource.arn)
    return cls.create_from_cloudformation_json(new_resource_name, cloudformation_json, account_id, region_name)


# Attributes of types that moto has, but for these.
ATTRIBUTES = {
    DBInstance: {
        "DbiResourceId": lambda database: database.dbi_resource_id,
        "MasterUserSecret.SecretArn": lambda database: database.master_user_secret.secret.arn,
    },
    Subnet: {"CidrBlock": lambda subnet: subnet.cidr_block},
}


def with_attributes(kind: type, more: dict):
    """What takes the place of a type's attributes."""
    has, get = kind.__dict__["has_cfn_attr"].__func__, kind.__dict__["get_cfn_attribute"]
    return (
        classmethod(lambda cls, name: name in more or has(cls, name)),
        lambda self, name: more[name](self) if name in more else get(self, name),
    )


def execute_change_set(self, change_set_name: str, stack_name: str | None = None) -> None:
    """As CloudFormation does; moto's leaves out outputs and exports, and what a parameter changes."""
    (change,) = (of for of in self.change_sets.values() if change_set_name in (of.change_set_id, of.change_set_name))
    if change.change_set_type == "CREATE":
        del self.stacks[change.stack_id]
        self.create_stack(change.stack_name, change.template, change.parameters, tags=change.tags)
    else:
        self.stacks[change.stack_id].update(change.template, parameters=change.parameters, tags=change.tags)
    change.execution_status = "EXECUTE_COMPLETE"


def has_parameters(self, others: dict) -> bool:
    """Whether parameters are those that a stack has; moto compares with those that were named when it was made."""
    mine = {name: str(value) for name, value in self.stack_parameters.items()}
    return mine == {**mine, **{name: str(value) for name, value in others.items()}}


def over_a_shell(create_change_set):
    """A change set of a new stack goes over the empty shell that one before has left; moto makes a second stack of that name."""

    def create(self, stack_name, *arguments, **named):
        for identity, stack in list(self.stacks.items()):
            if stack.name == stack_name and stack.status == "REVIEW_IN_PROGRESS":
                del self.stacks[identity]
        return create_change_set(self, stack_name, *arguments, **named)

    return create


class Registry:
    """The registry that stands in for ECR's: what was pushed there, ECR has."""

    def __init__(self, address: str, user: str, password: str, certificate: Path):
        self.address, self.certificate = address, certificate
        self.authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def get(self, path: str) -> bytes:
        request = urllib.request.Request(f"https://{self.address}/v2/{path}", headers={"Authorization": self.authorization})
        request.add_header("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json")
        return urllib.request.urlopen(request, context=ssl.create_default_context(cafile=self.certificate)).read()

    def tags(self, repository: str) -> list[str]:
        try:
            return json.loads(self.get(f"{repository}/tags/list"))["tags"] or []
        except urllib.error.HTTPError:
            return []


def revoke(rule, account: str, region: str):
    """Takes back what a rule of a stack lets in: moto leaves it there when the stack is deleted."""
    of = rule.properties
    ranges = [{"CidrIp": of["CidrIp"], "Description": of.get("Description")}] if "CidrIp" in of else []
    groups = [{"GroupId": of["SourceSecurityGroupId"]}] if "SourceSecurityGroupId" in of else []
    where = (of["GroupId"], of["IpProtocol"], of["FromPort"], of["ToPort"])
    ec2_backends[account][region].revoke_security_group_ingress(*where, ip_ranges=ranges, source_groups=groups)


SecurityGroupIngress.delete = revoke


class Emulator:
    """moto with these additions, at `url`. Tasks run `program` with `variables` in the place of those that name what is not here."""

    def __init__(self, program: str | None = None, registry: Registry | None = None):
        self.program, self.registry = program, registry
        self.variables: dict[str, str] = {}
        self.folder: Path | None = None
        # The commands of all tasks that were run.
        self.tasks: list[list[str]] = []
        # What happens before a task has run: a test may break off.
        self.before_task = lambda command: None

    def __enter__(self) -> Emulator:
        self.patch()
        self.server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.server.start()
        self.url = "http://{}:{}".format(*self.server.get_host_and_port())
        return self

    def __exit__(self, *_):
        self.server.stop()
        for owner, name, value in reversed(self.patched):
            setattr(owner, name, value)

    def reset(self):
        """Makes the account an empty one."""
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")).read()
        recorded.clear()

    def patch(self):
        self.patched = []
        emulator = self

        def put(owner, name, value):
            self.patched.append((owner, name, owner.__dict__[name]))
            setattr(owner, name, value)

        put(parsing, "clean_json", with_more_functions(parsing.clean_json))
        put(cloudformation_models, "yaml_tag_constructor", short_form)
        put(cloudformation_responses, "yaml_tag_constructor", short_form)
        # AWS makes a change set without changes, which is FAILED; moto refuses to.
        put(cloudformation_responses.CloudFormationResponse, "_validate_different_update", lambda *_: None)
        put(cloudformation_models.Stack, "has_parameters", has_parameters)
        put(CloudFormationBackend, "execute_change_set", execute_change_set)
        put(CloudFormationBackend, "create_change_set", over_a_shell(CloudFormationBackend.create_change_set))
        put(DBInstance, "create_from_cloudformation_json", classmethod(create_database))
        put(parsing.ResourceMap, "build_resource_diff", of_what_is_there(parsing.ResourceMap.build_resource_diff))
        put(TaskDefinition, "update_from_cloudformation_json", classmethod(update_definition))
        for kind, more in ATTRIBUTES.items():
            has, get = with_attributes(kind, more)
            put(kind, "has_cfn_attr", has)
            put(kind, "get_cfn_attribute", get)
        # moto wants memory of each container; on Fargate it is the task's.
        nothing = staticmethod(lambda _: {"CPU": 0, "MEMORY": 0, "PORTS": [], "PORTS_UDP": []})
        put(EC2ContainerServiceBackend, "_calculate_task_resource_requirements", nothing)
        run_task = EC2ContainerServiceBackend.run_task

        def run(self, *arguments, **named):
            tasks = run_task(self, *arguments, **named)
            for task in tasks:
                emulator.run(self, task, named.get("overrides") or arguments[3])
            return tasks

        put(EC2ContainerServiceBackend, "run_task", run)
        # EmptyOnDelete, which moto does not know; base.yaml sets it.
        empty = lambda self, account, region: ecr_backends[account][region].delete_repository(self.name, force=True)  # noqa: E731
        put(Repository, "delete", empty)
        if self.registry is None:
            return
        describe = ECRBackend.describe_images

        def describe_images(self, repository_name, *arguments, **named):
            repository = self.repositories.get(repository_name)
            known = {tag for image in repository.images for tag in image.image_tags} if repository else set()
            for tag in emulator.registry.tags(repository_name):
                if tag not in known:
                    self.put_image(repository_name, emulator.registry.get(f"{repository_name}/manifests/{tag}").decode(), tag)
            return describe(self, repository_name, *arguments, **named)

        put(ECRBackend, "describe_images", describe_images)
        uri_attribute = Repository.get_cfn_attribute

        def attribute(self, name):
            return f"{emulator.registry.address}/{self.name}" if name == "RepositoryUri" else uri_attribute(self, name)

        put(Repository, "get_cfn_attribute", attribute)

    def run(self, ecs, task, overrides: dict):
        """Runs a task to its end, and leaves its log and its exit code where ECS does."""
        definition = ecs.describe_task_definition(task.task_definition_arn)
        container = definition.container_definitions[0]
        (override,) = (overrides or {}).get("containerOverrides") or [{}]
        command = override.get("command") or container["command"]
        self.tasks.append(command)
        self.before_task(command)
        variables = {variable["name"]: variable["value"] for variable in container["environment"]}
        code, lines = self.call(command, variables)
        identity = task.task_arn.rpartition("/")[2]
        options = container["logConfiguration"]["options"]
        stream = f"{options['awslogs-stream-prefix']}/{container['name']}/{identity}"
        logs = logs_backends[ACCOUNT][REGION]
        logs.create_log_stream(options["awslogs-group"], stream)
        now = int(time.time() * 1000)
        # So many at once CloudWatch takes.
        for first in range(0, len(lines), 10_000):
            events = [{"timestamp": now, "message": line} for line in lines[first : first + 10_000]]
            logs.put_log_events(options["awslogs-group"], stream, events)
        task.status = task.desired_status = task.containers[0].last_status = "STOPPED"
        task.containers[0].exitCode = code

    def call(self, command: list[str], variables: dict[str, str]) -> tuple[int, list[str]]:
        mine = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
        ended = subprocess.run(
            [self.program, *command],
            # In the place of RDS there is SQLite, which has no secret.
            env={name: value for name, value in {**mine, **variables, **self.variables}.items() if name != "TOPSHELF_STORE__SECRET"},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return ended.returncode, ended.stdout.splitlines()


