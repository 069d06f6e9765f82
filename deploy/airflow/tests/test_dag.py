"""What Airflow reads of the file: without warnings, whoever runs the program, and which day a night is about."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from running_airflow import DAGS, environment

OF_DOCKER, OF_AMAZON = "airflow.providers.docker.operators.docker", "airflow.providers.amazon.aws.operators.ecs"
ECS = {
    "ecs_cluster": "ads",
    "ecs_task_definition": "topshelf:3",
    "ecs_log_group": "/ecs/topshelf",
    "ecs_subnets": "subnet-1, subnet-2",
    "ecs_security_groups": "sg-1",
}
# Prints the tasks, and what comes after each; the modules that are named are not to be had.
READ = """
import json, sys
for absent in sys.argv[2:]:
    sys.modules[absent] = None
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models import DagBag
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
(dag,) = bag.dags.values()
print(json.dumps({task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}))
"""


@pytest.fixture
def read(tmp_path):
    """Runs a script in a process of its own that has the DAG's file: what it printed and said."""

    def read(script: str, *words: str, **settings: str) -> tuple[str, str]:
        variables = environment(tmp_path, f"sqlite:///{tmp_path}/airflow.db", **settings)
        command = [sys.executable, "-W", "always", "-c", script, str(DAGS / "topshelf.py"), *words]
        ended = subprocess.run(command, env=variables, capture_output=True, text=True)
        return ended.stdout.strip(), ended.stderr

    return read


@pytest.mark.parametrize(
    "absent, settings",
    [
        ([OF_DOCKER, OF_AMAZON], {}),
        ([OF_AMAZON], {"runner": "docker", "image": "topshelf:0.1.0"}),
        ([OF_DOCKER], {"runner": "ecs", **ECS}),
    ],
    ids=["local", "docker", "ecs"],
)
def test_it_is_read_without_warning_and_without_what_other_runners_need(read, absent, settings):
    printed, said = read(READ, *absent, **settings)
    assert "topshelf.py:" not in said, said
    assert json.loads(printed.rpartition("\n")[2] or "{}") == {
        "wait_for_input": ["filter_and_count", "rank"],
        "filter_and_count": ["rank"],
        "rank": ["publish"],
        "publish": [],
    }, said


# Reads the file with settings that cannot be used, a line of JSON each; prints what is told of each.
MISREAD = """
import json, os, runpy, sys
for settings in map(json.loads, sys.argv[2:]):
    os.environ.update(settings)
    try:
        runpy.run_path(sys.argv[1])
        print("nothing")
    except Exception as error:
        print(error.args[0])
    for name in settings:
        del os.environ[name]
"""


def test_a_setting_that_cannot_be_used_is_told(read):
    settings = {"RUNNER": "kubernetes"}, {"RUNNER": "docker"}, {"RUNNER": "ecs"}, {"TIMEZONE": "Mars/Olympus"}
    lines = [json.dumps({f"AIRFLOW__TOPSHELF__{name}": value for name, value in line.items()}) for line in settings]
    printed, said = read(MISREAD, *lines)
    assert printed == """\
[topshelf] runner is 'kubernetes': it is one of local, docker, ecs
the runner docker needs image in the section [topshelf] of Airflow's configuration
the runner ecs needs ecs_cluster in the section [topshelf] of Airflow's configuration
No time zone found with key Mars/Olympus""", said


# Reads three nights of each cron line from a moment on: when each is due, and the day that it is about.
NIGHTS = """
import runpy, sys
from zoneinfo import ZoneInfo
import pendulum
from airflow.timetables.base import TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable
ended_day = runpy.run_path(sys.argv[1])["ended_day"]
for cron, zone, moment in (line.split(", ") for line in sys.argv[2:]):
    ended_day.__globals__["TIME_ZONE"] = ZoneInfo(zone)
    nights, timetable, last = [], CronDataIntervalTimetable(cron, timezone=zone), None
    restriction = TimeRestriction(earliest=pendulum.parse(moment), latest=None, catchup=True)
    while len(nights) < 3:
        last = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction).data_interval
        nights.append(f"{last.end.in_timezone('UTC'):%m-%dT%H:%M} {ended_day(last.end)}")
    print(", ".join(nights))
"""


def test_a_night_is_about_the_day_that_ended_before_it(read):
    """As the program has it: the same lines and days are in crates/topshelf/src/schedule.rs."""
    # 00:00 to 01:00 is not there in Cairo on 2025-04-25.
    printed, said = read(
        NIGHTS,
        "30 2 * * *, UTC, 2024-11-20T00:00:00Z",
        "30 23 * * *, Europe/Berlin, 2025-03-28T12:00:00Z",
        "0 */12 * * *, UTC, 2025-09-05T00:00:00Z",
        "15 0 * * *, Africa/Cairo, 2025-04-23T12:00:00Z",
    )
    assert printed == """\
11-21T02:30 2024-11-20, 11-22T02:30 2024-11-21, 11-23T02:30 2024-11-22
03-29T22:30 2025-03-28, 03-30T21:30 2025-03-29, 03-31T21:30 2025-03-30
09-05T12:00 2025-09-04, 09-06T00:00 2025-09-05, 09-06T12:00 2025-09-05
04-24T22:15 2025-04-24, 04-25T21:15 2025-04-25, 04-26T21:15 2025-04-26""", said
