"""The night of topshelf as tasks of Airflow: each calls the program once, and the program knows what a night is.

    wait_for_input -> filter_and_count -> rank (once for each model) -> publish

Enters: the section `[topshelf]` of Airflow's configuration (docs/airflow.md lists it). Leaves: what `topshelf run` leaves.
Never here: how a day is counted, ranked, checked or published. Works with Airflow 3 and with 2.10 and 2.11.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

from airflow.configuration import conf

try:
    from airflow.sdk import DAG, Asset, BaseSensorOperator, Param, PokeReturnValue
    from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
    from airflow.exceptions import AirflowException, AirflowFailException, AirflowSkipException
    from airflow.models.param import Param
    from airflow.sensors.base import BaseSensorOperator, PokeReturnValue

try:
    from airflow.sdk import CronDataIntervalTimetable
except ImportError:  # Airflow before 3.2
    from airflow.timetables.interval import CronDataIntervalTimetable

# The release that this file belongs to, and the file itself: the ledger tells which one made a day.
VERSION = "0.1.0+" + hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]

RANKINGS = Asset("topshelf://rankings")


def setting(name: str, default: str = "") -> str:
    """A value of the section `[topshelf]` of airflow.cfg, or of `AIRFLOW__TOPSHELF__NAME`."""
    return conf.get("topshelf", name, fallback=default).strip()


def needed(name: str) -> str:
    if not setting(name):
        raise ValueError(f"the runner {RUNNER} needs {name} in the section [topshelf] of Airflow's configuration")
    return setting(name)


def listed(name: str) -> list[str]:
    return [item.strip() for item in setting(name).split(",") if item.strip()]


RUNNER = setting("runner", "local")
TIME_ZONE = ZoneInfo(setting("timezone", "UTC"))
FIRST_NIGHT = setting("start_date")
CATCH_UP = timedelta(days=int(setting("catch_up_days", "7")))
INPUT_DEADLINE = timedelta(minutes=float(setting("input_deadline_minutes", "240")))

# The program's exit codes; all others, and signals, may pass and are tried again.
DONE, FAILED, USAGE, REFUSED, HELD = range(5)

# How long Docker may take to answer.
API_TIMEOUT_SECONDS = 60


class Call:
    """One call of the program, whoever runs it. Its exit code becomes a state of the task."""

    template_fields = ("arguments",)

    arguments: list[str] = []

    def call(self, context) -> tuple[int, str]:
        """Runs the program; its exit code, and what it printed on stdout or the end of that."""
        raise NotImplementedError

    def words(self) -> list[str]:
        """The program's arguments."""
        config = setting("config")
        return [*filter(None, self.arguments), "--log-format", "text", *(["--config", config] if config else [])]

    def judge(self, exit_code: int, result: dict) -> None:
        """Raises what Airflow has for the exit code, unless the work is done."""
        if exit_code == USAGE:
            raise AirflowFailException("wrong usage or configuration, which no retry mends: see the log above")
        if exit_code == REFUSED:
            raise AirflowFailException("the input is refused, which no retry mends: see the log above")
        if exit_code == HELD:
            held_back(result, self.log)
        elif exit_code != DONE:
            raise AirflowException(f"topshelf {self.arguments[0]} ended with exit code {exit_code}: see the log above")


def held_back(result: dict, log) -> None:
    """Checks held publication back: a night that is held as a whole is skipped, of any other readers see the rest."""
    if "runs" not in result:
        raise AirflowSkipException("held: checks hold publication back, the log above tells of which run and what to do")
    run = result["runs"][0]
    waiting = run["report"].get("waiting_run") or run["run_id"]
    remedy = (
        f"`topshelf runs {waiting}` tells why; mend the logs and clear this run,"
        f" or publish as it is: `topshelf publish --accept {waiting} --reason '…'`"
    )
    if run["outcome"] == "held":
        raise AirflowSkipException(f"held: checks hold {run['day']} back, readers keep what they see. {remedy}")
    log.warning("Some advertisers of %s are held back, all others are published. %s", run["day"], remedy)


def printed(stdout: str) -> dict:
    """The result: the last line that is a JSON object; nothing when there is none, or a log has cut it short."""
    lines = [line for line in stdout.splitlines() if line.startswith("{")]
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError):
        return {}


def environment() -> dict[str, str]:
    """What the ledger is to know of the task that calls; templates of Airflow."""
    return {
        "AIRFLOW_CTX_DAG_ID": "{{ dag.dag_id }}",
        "TOPSHELF_ORCHESTRATOR": f"airflow: dag {{{{ dag.dag_id }}}} {VERSION}, run {{{{ run_id }}}}, try {{{{ ti.try_number }}}}",
    }


def on_worker():
    """Runs the program where the task runs."""
    try:
        from airflow.providers.standard.hooks.subprocess import SubprocessHook
        from airflow.providers.standard.operators.bash import BashOperator
    except ImportError:  # Airflow 2 without that provider
        from airflow.hooks.subprocess import SubprocessHook
        from airflow.operators.bash import BashOperator

    class RememberingHook(SubprocessHook):
        ended = None

        def run_command(self, *args, **kwargs):
            self.ended = super().run_command(*args, **kwargs)
            return self.ended

    class LocalCall(Call, BashOperator):
        template_fields = (*Call.template_fields, "env")

        def __init__(self, **kwargs):
            folder = setting("folder", os.path.expanduser("~"))
            kwargs.update(bash_command="", env=environment(), append_env=True, cwd=folder, skip_on_exit_code=None)
            super().__init__(**kwargs)

        @cached_property
        def subprocess_hook(self):
            return RememberingHook()

        def call(self, context):
            command = shlex.join([setting("program", "topshelf"), *self.words()])
            # The log goes by at once, the result is the last line however the program ends.
            self.bash_command = f'{{ result=$({command} 2>&3); }} 3>&1; code=$?; echo "$result"; exit $code'
            try:
                BashOperator.execute(self, context)
            except AirflowException:
                if self.subprocess_hook.ended is None:
                    raise
            return self.subprocess_hook.ended.exit_code, self.subprocess_hook.ended.output

    return LocalCall


def in_container():
    """Runs the image with Docker."""
    from airflow.providers.docker.operators.docker import DockerOperator
    from docker.types import Mount

    def mount(text: str) -> Mount:
        source, target, *options = text.split(":")
        return Mount(target, source, type="bind", read_only=options == ["ro"])

    # The program's own configuration, which the page of the task does not show.
    handed_on = {
        name: value for name, value in os.environ.items() if name.startswith(("TOPSHELF_", "AWS_")) or name == "DATABASE_URL"
    }

    class ContainerCall(Call, DockerOperator):
        template_fields = (*Call.template_fields, "image", "environment")

        def __init__(self, **kwargs):
            kwargs.update(
                image=needed("image"),
                environment=environment(),
                private_environment=handed_on,
                docker_url=setting("docker_url") or None,
                network_mode=setting("docker_network") or None,
                mounts=[mount(text) for text in listed("docker_mounts")],
                mount_tmp_dir=False,
            )
            super().__init__(**kwargs)

        def call(self, context):
            self.command = self.words()
            # A sensor has a `timeout` too, and means by it how long it waits for input in all.
            timeout_of_sensor, self.timeout = self.timeout, API_TIMEOUT_SECONDS
            try:
                try:
                    DockerOperator.execute(self, context)
                except AirflowException:
                    if self.container is None:
                        raise
                container = self.container["Id"]
                return self.cli.wait(container)["StatusCode"], self.cli.logs(container, stderr=False).decode()
            finally:
                self.timeout = timeout_of_sensor
                if self.container is not None:
                    self.cli.remove_container(self.container["Id"], force=True)

    return ContainerCall


def on_ecs():
    """Runs a task definition whose container has the program as its entry point."""
    from airflow.providers.amazon.aws.operators.ecs import EcsRunTaskOperator

    class EcsCall(Call, EcsRunTaskOperator):
        template_fields = (*Call.template_fields, "overrides")

        def __init__(self, **kwargs):
            container = setting("ecs_container", "topshelf")
            variables = [{"name": name, "value": value} for name, value in environment().items()]
            network = {
                "subnets": listed("ecs_subnets"),
                "securityGroups": listed("ecs_security_groups"),
                "assignPublicIp": setting("ecs_assign_public_ip", "DISABLED"),
            }
            kwargs.update(
                cluster=needed("ecs_cluster"),
                task_definition=needed("ecs_task_definition"),
                launch_type=setting("ecs_launch_type", "FARGATE"),
                network_configuration={"awsvpcConfiguration": network} if network["subnets"] else None,
                overrides={"containerOverrides": [{"name": container, "environment": variables}]},
                container_name=container,
                awslogs_group=needed("ecs_log_group"),
                awslogs_stream_prefix=setting("ecs_log_prefix", "topshelf"),
                awslogs_fetch_interval=timedelta(seconds=float(setting("ecs_look_seconds", "6"))),
                waiter_delay=int(setting("ecs_look_seconds", "6")),
                aws_conn_id=setting("aws_conn_id", "aws_default"),
                deferrable=False,
                # A task that was started is waited for again when the worker that waited is gone.
                reattach=True,
            )
            super().__init__(**kwargs)

        def call(self, context):
            override = self.overrides["containerOverrides"][0]
            override["command"] = self.words()
            try:
                return DONE, EcsRunTaskOperator.execute(self, context) or ""
            except AirflowException:
                if self.arn is None:
                    raise
                described = self.client.describe_tasks(cluster=self.cluster, tasks=[self.arn])
                containers = [container for task in described["tasks"] for container in task["containers"]]
                codes = [container.get("exitCode") for container in containers if container["name"] == override["name"]]
                # Nobody knows the code of a container that never ran.
                if not codes or codes[0] is None:
                    raise
                return codes[0], "\n".join(self.task_log_fetcher.get_last_log_messages(100))

    return EcsCall


RUNNERS = {"local": on_worker, "docker": in_container, "ecs": on_ecs}
if RUNNER not in RUNNERS:
    raise ValueError(f"[topshelf] runner is {RUNNER!r}: it is one of {', '.join(RUNNERS)}")
CallOfRunner = RUNNERS[RUNNER]()


class Stage(CallOfRunner):
    """A stage of the night."""

    def __init__(self, *, arguments: list[str], model: str | None = None, **kwargs):
        super().__init__(**kwargs)
        self.arguments = [*arguments, "--model", model] if model else arguments
        self.model = model

    def execute(self, context):
        exit_code, stdout = self.call(context)
        result = printed(stdout)
        self.judge(exit_code, result)
        if "runs" not in result:
            return None
        run = {name: result["runs"][0][name] for name in ("day", "run_id", "outcome")}
        self.log.info("%(day)s: %(outcome)s, run %(run_id)s", run)
        context["outlet_events"][RANKINGS].extra = run
        return run


class InputSensor(CallOfRunner, BaseSensorOperator):
    """Waits until the input of the day is there, without a slot while it waits; decides the day, and which models there are."""

    def execute(self, context):
        return BaseSensorOperator.execute(self, context)

    def poke(self, context):
        run, interval_end = context["dag_run"], context.get("data_interval_end")
        now = datetime.now(timezone.utc)
        if run.run_type == "scheduled" and interval_end and now - interval_end > CATCH_UP:
            raise AirflowSkipException(f"missed more than {CATCH_UP.days} days ago: `airflow backfill create` makes it")
        day = context["params"]["day"] or (interval_end and ended_day(interval_end))
        self.arguments = ["input", "--json", *(["--day", day] if day else [])]
        exit_code, stdout = self.call(context)
        deadline = (run.start_date if run.run_type == "manual" or not interval_end else interval_end) + INPUT_DEADLINE
        if exit_code == FAILED:
            if now >= deadline:
                raise AirflowFailException(f"the input of {day} was not there by {deadline:%Y-%m-%d %H:%M %Z}: see the log above")
            return False
        found = printed(stdout)
        self.judge(exit_code, found)
        if not found:
            raise AirflowException("topshelf input printed no line of JSON: see the log above")
        context["ti"].xcom_push("day", found["day"])
        return PokeReturnValue(True, found["models"])


def ended_day(moment: datetime) -> str:
    """The day that ended last: what `topshelf run` makes at that moment."""
    return str(moment.astimezone(TIME_ZONE).date() - timedelta(days=1))


DAY = "{{ ti.xcom_pull(task_ids='wait_for_input', key='day') }}"

with DAG(
    "topshelf",
    description="A night's ad logs become each advertiser's top products",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable(setting("cron", "30 2 * * *"), timezone=TIME_ZONE.key),
    # Nights are caught up from a first one that was named.
    start_date=datetime.fromisoformat(FIRST_NIGHT or "2020-01-01").replace(tzinfo=TIME_ZONE),
    catchup=bool(FIRST_NIGHT),
    max_active_runs=int(setting("max_active_runs", "1")),
    default_args={
        "retries": int(setting("retries", "5")),
        "retry_delay": timedelta(seconds=float(setting("retry_seconds", "30"))),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=30),
    },
    params={
        "day": Param(None, type=["null", "string"], format="date", description="The day to make, if not the one that ended last"),
        "recount": Param(False, type="boolean", description="Read all logs of the day again"),
    },
    tags=["topshelf"],
) as dag:
    wait_for_input = InputSensor(
        task_id="wait_for_input",
        mode="reschedule",
        poke_interval=float(setting("input_look_seconds", "300")),
        timeout=7 * 24 * 3600,
    )
    filter_and_count = Stage(
        task_id="filter_and_count",
        arguments=["count", "--day", DAY, "{{ '--recount' if params.recount else '' }}"],
        do_xcom_push=False,
    )
    rank = Stage.partial(
        task_id="rank",
        arguments=["rank", "--day", DAY],
        map_index_template="{{ task.model }}",
        do_xcom_push=False,
    ).expand(model=wait_for_input.output)
    publish = Stage(
        task_id="publish",
        arguments=["publish", "--day", DAY, "--wait=1h", "--json"],
        outlets=[RANKINGS],
    )
    wait_for_input >> filter_and_count >> rank >> publish
