"""Nights through Airflow's scheduler, with the LocalExecutor and the metadata on PostgreSQL.

All nights are of one Airflow and one program. What happens to a night is written for its day, beside the program.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg2
import pytest
from conftest import ADTECH, Topshelf
from running_airflow import DAGS, MAJOR, Airflow, until

VERSION = "0.1.0+" + hashlib.sha256((DAGS / "topshelf.py").read_bytes()).hexdigest()[:8]

ZONE = ZoneInfo("America/Argentina/Buenos_Aires")
# A night was due at the time that the zone's clocks showed two minutes ago.
DUE = datetime.now(ZONE) - timedelta(minutes=2)
# The days of the last nights that were due, newest first: the first is waited for, the second is caught up, the third is
# too old for that.
YESTERDAY, MISSED, TOO_OLD = (str(DUE.date() - timedelta(days=ago)) for ago in (1, 2, 3))

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

    def begin(self, day: str) -> str:
        """Begins a run of a day by hand; its id."""
        return self.airflow.trigger(f"of-{day}", day=day)

    def run(self, day: str) -> str:
        """The same, to the end of the run; its tasks."""
        run_id = self.begin(day)
        self.airflow.ended(run_id)
        return self.airflow.tasks(run_id)

    def log(self, day: str, task: str, attempt: int = 1) -> str:
        return self.airflow.log(f"of-{day}", task, attempt)

    def logs(self, name: str, keep) -> Path:
        """The logs of adtech-2024, of whose lines those are kept that `keep` wants, by their number and fields."""
        folder = self.topshelf.folder / name
        folder.mkdir()
        for log in ("advertiser_ids", "ads_views", "product_views"):
            with open(ADTECH / f"{log}.csv", newline="") as old, open(folder / f"{log}.csv", "w", newline="") as new:
                lines, out = csv.reader(old), csv.writer(new)
                out.writerow(next(lines))
                out.writerows(fields for number, fields in enumerate(lines) if log == "advertiser_ids" or keep(number, fields))
        return folder

    def write_logs_of(self, day: str) -> None:
        """The logs of 2024-11-20 as those of a day of a scheduled night."""
        for log in ("advertiser_ids", "ads_views", "product_views"):
            text = (ADTECH / f"{log}.csv").read_text().replace("2024-11-20", day)
            (self.topshelf.folder / "late" / f"{log}{'' if log == 'advertiser_ids' else '-' + day}.csv").write_text(text)

    def scheduled(self, day: str) -> str:
        """The scheduled run of a day's night, once there is one."""
        query = "select run_id from dag_run where run_type = 'scheduled' and (data_interval_start at time zone %s)::date = %s"
        return until(f"the night of {day}", lambda: self.airflow.ask(query, ZONE.key, day))[0][0]

    def publishes_behind_a_lock(self) -> bool:
        query = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        with psycopg2.connect(self.topshelf.store) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return bool(cursor.fetchall())

    def events(self, run_id: str) -> list:
        """What was told to those who wait for the asset."""
        extra, dataset = "extra", "asset" if MAJOR == 3 else "dataset"
        return [extra for (extra,) in self.airflow.ask(f"select {extra} from {dataset}_event where source_run_id = %s", run_id)]


@pytest.fixture(scope="module")
def nights(new_topshelf, new_metadata, tmp_path_factory):
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
        "start_date": TOO_OLD,
        "catch_up_days": "2",
        "max_active_runs": "8",
        "retry_seconds": "1",
        # Not much shorter: a scheduler that hears of the end of a look only after it has begun the next takes that for failed.
        "input_look_seconds": "15",
    }
    nights = Nights(Airflow(home, new_metadata(), topshelf.environment, **settings), topshelf)
    # The night of yesterday has no logs yet.
    late = topshelf.folder / "late"
    late.mkdir()
    by_day = "".join(f"export TOPSHELF_INPUT__{log}={log.lower()}-{{day}}.csv\n" for log in ("ADS_VIEWS", "PRODUCT_VIEWS"))
    for day in (YESTERDAY, MISSED, TOO_OLD):
        nights.circumstances(day, f"export TOPSHELF_INPUT__URL={late}\n{by_day}")
    for day in (MISSED, TOO_OLD):
        nights.write_logs_of(day)
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


def test_the_ledger_tells_the_dag_its_version_the_run_and_the_try(nights, three_days):
    for day, run_id in zip(("2024-11-20", "2024-11-21", "2024-11-22"), three_days):
        (run,) = nights.topshelf.runs(day)
        assert run["orchestrator"] == f"airflow: dag topshelf {VERSION}, run {run_id}, try 1"


def test_the_asset_tells_which_run_was_published(nights, three_days):
    (run,) = nights.topshelf.runs("2024-11-20")
    assert nights.events(three_days[0]) == [{"day": "2024-11-20", "run_id": run["run_id"], "outcome": "published"}]


def test_a_scheduled_night_waits_for_its_input_and_takes_no_slot_meanwhile(nights, three_days):
    airflow, run_id = nights.airflow, nights.scheduled(YESTERDAY)
    until("the wait", lambda: airflow.state(run_id, "wait_for_input") == "up_for_reschedule")
    until("a second look", lambda: airflow.ask("select 1 from task_reschedule having count(*) > 1"))
    nights.write_logs_of(YESTERDAY)
    assert airflow.ended(run_id) == "success"
    assert airflow.tasks(run_id) == ALL_DONE
    assert nights.topshelf.published(YESTERDAY) == nights.topshelf.published("2024-11-20").replace("2024-11-20", YESTERDAY)


def test_missed_nights_are_caught_up_unless_they_are_too_old(nights):
    missed, too_old = nights.scheduled(MISSED), nights.scheduled(TOO_OLD)
    assert [nights.airflow.ended(run_id) for run_id in (missed, too_old)] == ["success"] * 2
    assert nights.airflow.tasks(missed) == ALL_DONE
    assert nights.airflow.tasks(too_old).startswith("wait_for_input: skipped, try 1\nfilter_and_count: skipped")
    assert "missed more than 2 days ago" in nights.airflow.log(too_old, "wait_for_input")
    assert nights.topshelf.published(MISSED) != "" and nights.topshelf.published(TOO_OLD) == ""


@pytest.mark.skipif(MAJOR == 2, reason="of Airflow 2 no backfill is tested, and runs by hand have their own deadline")
def test_input_that_is_not_there_at_the_deadline_fails_the_night_at_once(nights):
    nights.circumstances("2024-11-29", "export TOPSHELF_INPUT__ADS_VIEWS=ads-{day}.csv")
    (run_id,) = nights.airflow.backfill("2024-11-29", "2024-11-29")
    assert nights.airflow.tasks(run_id).startswith("wait_for_input: failed, try 1\nfilter_and_count: upstream_failed")
    log = nights.airflow.log(run_id, "wait_for_input")
    assert "no object of ads_views matches" in log and "the input of 2024-11-29 was not there by" in log


def test_a_program_that_is_killed_while_it_writes_counts_is_tried_again(nights, as_run):
    # The first time it may write so little to a file that the system ends it.
    nights.circumstances("2024-11-23", 'if [ $stage = count ] && mkdir "${0%/*}/once"; then ulimit -f 1; fi')
    assert nights.run("2024-11-23") == ALL_DONE.replace("count: success, try 1", "count: success, try 2")
    assert nights.topshelf.published("2024-11-23") == as_run("2024-11-23")


def test_a_program_that_is_killed_while_it_publishes_is_tried_again(nights, as_run):
    day = "2024-11-24"
    pid_file = nights.topshelf.folder / "pid"
    nights.circumstances(day, f"if [ $stage = publish ]; then echo $$ > {pid_file}; fi")
    with psycopg2.connect(nights.topshelf.store) as connection, connection.cursor() as cursor:
        cursor.execute("lock table publications in share mode")
        nights.begin(day)
        until("the transaction", nights.publishes_behind_a_lock)
        os.kill(int(pid_file.read_text()), signal.SIGKILL)
        until("the end of the first try", lambda: nights.airflow.state(f"of-{day}", "publish") != "running")
    assert nights.airflow.ended(f"of-{day}") == "success"
    assert nights.airflow.tasks(f"of-{day}") == ALL_DONE.replace("publish: success, try 1", "publish: success, try 2")
    assert nights.topshelf.published(day) == as_run(day)
    assert [run["status"] for run in nights.topshelf.runs(day)] == ["died", "succeeded"]
    assert nights.topshelf.runs(day)[1]["orchestrator"].endswith("try 2")


def test_a_task_that_is_killed_while_the_program_goes_on_is_tried_again(nights, as_run):
    day = "2024-12-01"
    began, go_on = nights.topshelf.folder / "began", nights.topshelf.folder / "go-on"
    nights.circumstances(day, f"if [ $stage = count ]; then touch {began}; until [ -e {go_on} ]; do sleep 0.1; done; fi")
    run_id = nights.begin(day)
    until("the program", began.exists)
    ((pid,),) = nights.airflow.ask("select pid from task_instance where run_id = %s and task_id = 'filter_and_count'", run_id)
    os.kill(pid, signal.SIGKILL)
    until("the end of the first try", lambda: nights.airflow.state(run_id, "filter_and_count") != "running")
    # Now the program of the first try counts, and that of the second.
    go_on.touch()
    assert nights.airflow.ended(run_id) == "success"
    assert nights.airflow.tasks(run_id) == ALL_DONE.replace("count: success, try 1", "count: success, try 2")
    assert nights.topshelf.published(day) == as_run(day)


def test_a_held_night_is_skipped_with_a_message_and_emits_no_asset(nights, three_days):
    day = "2024-11-26"
    logs = nights.logs("a-tenth", lambda number, fields: number % 10 == 0)
    nights.circumstances(day, f"export TOPSHELF_INPUT__URL={logs}")
    assert nights.run(day) == ALL_DONE.replace("publish: success", "publish: skipped")
    (run,) = nights.topshelf.runs(day)
    assert run["status"] == "held"
    message = f"held: checks hold {day} back, readers keep what they see. `topshelf runs {run['run_id']}` tells why"
    log = nights.log(day, "publish")
    assert message in log and f"`topshelf publish --accept {run['run_id']} --reason '…'`" in log
    assert nights.events(f"of-{day}") == [] and nights.topshelf.published(day) == ""


def test_a_night_of_which_one_advertiser_is_held_is_published_with_a_warning(nights, three_days):
    day = "2024-11-27"
    advertiser = (ADTECH / "advertiser_ids.csv").read_text().split()[1]
    logs = nights.logs("one-less", lambda number, fields: advertiser not in fields or number % 50 == 0)
    nights.circumstances(day, f"export TOPSHELF_INPUT__URL={logs}")
    assert nights.run(day) == ALL_DONE
    (run,) = nights.topshelf.runs(day)
    assert f"topshelf publish --accept {run['run_id']}" in nights.log(day, "publish")
    assert nights.events(f"of-{day}") == [{"day": day, "run_id": run["run_id"], "outcome": "partly_held"}]


def test_refused_input_fails_at_once_without_another_try(nights):
    day = "2024-11-25"
    bad = nights.logs("bad", lambda number, fields: True)
    (bad / "ads_views.csv").write_text("advertiser,product\nA,B\n")
    nights.circumstances(day, f"export TOPSHELF_INPUT__URL={bad}")
    tasks = nights.run(day)
    assert tasks.startswith("wait_for_input: success, try 1\nfilter_and_count: failed, try 1\n")
    assert tasks.endswith("publish: upstream_failed, try 0")
    log = nights.log(day, "filter_and_count")
    assert "the input is refused, which no retry mends" in log and "ads_views.csv" in log


def test_a_wrong_configuration_fails_at_once_without_another_try(nights):
    nights.circumstances("2024-11-30", "export TOPSHELF_STROE__URL=x")
    assert nights.run("2024-11-30").startswith("wait_for_input: failed, try 1\n")
    assert "unknown configuration key `stroe`" in nights.log("2024-11-30", "wait_for_input")


def test_two_runs_of_one_day_do_not_collide(nights, as_run):
    day = "2024-11-28"
    # Each stage of one waits for the same stage of the other to begin.
    meeting = f"mkdir -p {nights.topshelf.folder}/$stage; touch {nights.topshelf.folder}/$stage/$$; "
    wait = f"until [ $(ls {nights.topshelf.folder}/$stage | wc -l) -ge 2 ]; do sleep 0.1; done"
    nights.circumstances(day, f"case $stage in count | publish) {meeting} {wait} ;; esac")
    runs = [nights.airflow.trigger(f"{name}-of-{day}", day=day, recount=True) for name in ("first", "second")]
    assert [nights.airflow.ended(run) for run in runs] == ["success"] * 2
    assert [nights.airflow.tasks(run) for run in runs] == [ALL_DONE] * 2
    assert nights.topshelf.published(day) == as_run(day)
    assert [run["status"] for run in nights.topshelf.runs(day)] == ["succeeded"] * 2


def test_tasks_hand_each_other_nothing_but_small_json(nights, three_days):
    found = nights.airflow.ask("select key, value from xcom where run_id = %s", three_days[0])
    if MAJOR == 2:
        # It notes the outlets of each task by itself.
        found = [(key, json.loads(bytes(value))) for key, value in found if key != "pipeline_outlets"]
    (run,) = nights.topshelf.runs("2024-11-20")
    published = {"day": "2024-11-20", "run_id": run["run_id"], "outcome": "published"}
    assert sorted(found, key=str) == sorted(
        [("day", "2024-11-20"), ("return_value", ["TopCTR", "TopProduct"]), ("return_value", published)], key=str
    )


def test_logs_are_lines_of_text(nights, three_days):
    log = nights.airflow.log(three_days[0], "filter_and_count")
    (line,) = [line for line in log.splitlines() if "products of 20 active advertisers counted" in line]
    assert '{"' not in line and "\x1b" not in log and "\\u001b" not in log


def test_a_broken_file_leaves_the_airflow_that_runs_as_it_was_and_a_good_one_comes_into_force(nights, tmp_path):
    """The last test of this Airflow, whose file it replaces."""
    dags, new = nights.airflow.home / "dags", tmp_path / "new.py"
    before = (dags / "topshelf.py").read_bytes()
    for content, deployed in ((before + b"def broken(:\n", before), (before + b"# Newer.\n", before + b"# Newer.\n")):
        new.write_bytes(content)
        subprocess.run([sys.executable, DAGS.parent / "deploy.py", new, dags], env=nights.airflow.environment, capture_output=True)
        assert (dags / "topshelf.py").read_bytes() == deployed
        version = "0.1.0+" + hashlib.sha256(deployed).hexdigest()[:8]
        # A run takes the file as it was read last.
        until(f"version {version}", lambda: nights.airflow.ask("select 1 from serialized_dag where data::text like %s", f"%{version}%"))
        assert nights.airflow.ask("select * from import_error") == []
        day = "2024-12-02"
        run_id = nights.airflow.trigger(f"with-{version}", day=day)
        assert nights.airflow.ended(run_id) == "success"
        assert nights.topshelf.runs(day)[-1]["orchestrator"].startswith(f"airflow: dag topshelf {version}, ")
