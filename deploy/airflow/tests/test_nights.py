"""Nights through Airflow's scheduler, with the LocalExecutor and the metadata on PostgreSQL.

All nights are of one Airflow and one program. What happens to a night is written for its day, beside the program.
"""

from __future__ import annotations

import csv
import os
import shutil
import signal
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg2
import pytest
from conftest import ADTECH, Topshelf
from running_airflow import DAGS, MAJOR, Airflow, until

ZONE = ZoneInfo("America/Argentina/Buenos_Aires")
# A night was due at the time that the zone's clocks showed two minutes ago.
DUE = datetime.now(ZONE) - timedelta(minutes=2)
YESTERDAY = str(DUE.date() - timedelta(days=1))

# The program, in the circumstances of the day.
PROGRAM = """#!/bin/sh
stage=$1
day=$(expr "$*" : '.*\\(20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]\\)')
if [ -f "{folder}/$day.sh" ]; then . "{folder}/$day.sh"; fi
exec {program} "$@"
"""


class Nights:
    """The Airflow, the program that it calls, and what happens to it."""

    def __init__(self, airflow: Airflow, topshelf: Topshelf):
        self.airflow = airflow
        self.topshelf = topshelf

    def circumstances(self, day: str, script: str) -> None:
        """What the shell does before each call of the program for the day; `$stage` is its command."""
        (self.topshelf.folder / f"{day}.sh").write_text(script)

    def run(self, day: str) -> tuple[str, str]:
        """Runs a day by hand: how it ended, and its tasks."""
        run_id = self.airflow.trigger(f"of-{day}", day=day)
        return self.airflow.ended(run_id), self.airflow.tasks(run_id)


@pytest.fixture(scope="module")
def nights(new_topshelf, new_database, tmp_path_factory):
    topshelf = new_topshelf("nights")
    script = topshelf.folder / "program"
    script.write_text(PROGRAM.format(folder=topshelf.folder, program=topshelf.program))
    script.chmod(0o755)
    home = tmp_path_factory.mktemp("airflow")
    (home / "dags").mkdir()
    shutil.copy(DAGS / "topshelf.py", home / "dags")
    settings = {
        "program": str(script),
        "folder": str(topshelf.folder),
        "timezone": ZONE.key,
        "cron": f"{DUE.minute} {DUE.hour} * * *",
        "max_active_runs": "8",
        "retry_seconds": "1",
        "input_look_seconds": "1",
    }
    # The night of yesterday has no logs yet.
    late = topshelf.folder / "late"
    late.mkdir()
    nights = Nights(Airflow(home, new_database("metadata"), topshelf.environment, **settings), topshelf)
    by_day = "".join(f"export TOPSHELF_INPUT__{log}={log.lower()}-{{day}}.csv\n" for log in ("ADS_VIEWS", "PRODUCT_VIEWS"))
    nights.circumstances(YESTERDAY, f"export TOPSHELF_INPUT__URL={late}\n{by_day}")
    with nights.airflow as airflow:
        airflow.unpause()
        yield nights


ALL_DONE = """\
wait_for_input: success, try 1
filter_and_count: success, try 1
rank TopCTR: success, try 1
rank TopProduct: success, try 1
publish: success, try 1"""


@pytest.fixture(scope="module")
def three_days(nights):
    return nights.airflow.backfill("2024-11-20", "2024-11-22")


def test_a_backfill_of_three_days_publishes_what_topshelf_run_publishes(nights, three_days, as_run):
    assert [nights.airflow.tasks(run_id) for run_id in three_days] == [ALL_DONE] * 3
    for day in ("2024-11-20", "2024-11-21", "2024-11-22"):
        assert nights.topshelf.published(day) == as_run(day)
        (run,) = nights.topshelf.runs(day)
        assert (run["status"], run["started_by"]) == ("succeeded", "airflow")
