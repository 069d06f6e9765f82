"""An Airflow of a test's own: its services, started and ended, and what they know of runs.

Enters: a folder, a database for the metadata, settings of the DAG. Leaves: nothing runs any more.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import date, datetime, time as time_of_day, timedelta
from importlib.metadata import version
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg2

MAJOR = int(version("apache-airflow").split(".")[0])
DAGS = Path(__file__).parent.parent / "dags"
# Longer than anything that is waited for takes on a busy machine.
PATIENCE_SECONDS = 240


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(what: str, look, patience_seconds: float = PATIENCE_SECONDS):
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError(f"waited in vain for {what}")


def environment(home: Path, metadata_url: str, **settings: str) -> dict[str, str]:
    """Of a process of this Airflow; `settings` are of the section `[topshelf]`."""
    of_machine = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "TOPSHELF", "AWS_", "DATABASE_URL"))
    }
    config = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata_url.replace("postgres://", "postgresql+psycopg2://", 1),
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return {**of_machine, **config, **{f"AIRFLOW__TOPSHELF__{name.upper()}": value for name, value in settings.items()}}


def call(variables: dict[str, str], *words: str) -> str:
    """A command of Airflow, which must end well; what it prints."""
    command = [sys.executable, "-m", "airflow", *words]
    ended = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert ended.returncode == 0, f"airflow {' '.join(words)}:\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


class Airflow:
    """Scheduler, processor of DAGs and, of Airflow 3, the API that tasks talk to."""

    def __init__(self, home: Path, metadata_url: str, of_program: dict[str, str], **settings: str):
        self.home = home
        self.metadata_url = metadata_url
        self.zone = ZoneInfo(settings.get("timezone", "UTC"))
        self.port = free_port()
        api = f"http://127.0.0.1:{self.port}"
        more = {
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{api}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__API__BASE_URL": api,
            "AIRFLOW__API__SECRET_KEY": "of this test alone, and of each process of it",
            "AIRFLOW__API_AUTH__JWT_SECRET": "of this test alone, and of each process of it",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "1",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "2",
            "AIRFLOW__SCHEDULER__PARSING_PROCESSES": "1",
            # What a task that was killed has left running keeps its log open for so long.
            "AIRFLOW__WORKERS__SOCKET_CLEANUP_TIMEOUT": "1",
            "AIRFLOW__SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "2",
        }
        self.environment = {**environment(home, metadata_url, **settings), **more, **of_program}
        self.services: list[subprocess.Popen] = []

    def __enter__(self) -> Airflow:
        (self.home / "dags").mkdir(parents=True, exist_ok=True)
        services = [["scheduler"]]
        if MAJOR == 3:
            services += [["dag-processor"], ["api-server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]]
        for words in services:
            with open(self.home / f"{words[0]}.log", "w") as log:
                # It ends with the tests, even when these are killed.
                command = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "airflow", *words]
                self.services.append(
                    subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)
                )
        return self

    def __exit__(self, *_):
        for number in (signal.SIGTERM, signal.SIGKILL):
            for service in self.services:
                # A service's own processes are of its group.
                try:
                    os.killpg(service.pid, number)
                except ProcessLookupError:
                    pass
            for service in self.services:
                try:
                    service.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    pass

    def call(self, *words: str) -> str:
        return call(self.environment, *words)

    def ask(self, query: str, *values) -> list[tuple]:
        """Rows of the metadata."""
        with psycopg2.connect(self.metadata_url) as connection, connection.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall()

    def request(self, method: str, path: str, body: dict | None = None) -> dict:
        """What the API of Airflow 3 answers."""
        if not hasattr(self, "token"):
            self.token = None
            self.token = self.request("GET", "/auth/token")["access_token"]
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def unpause(self) -> None:
        """Once the DAG has been read."""
        until("the DAG", lambda: self.has_ended_early() or self.ask("select 1 from dag where dag_id = 'topshelf'"))
        if MAJOR == 3:
            until("the API", self.answers)
            self.request("PATCH", "/api/v2/dags/topshelf", {"is_paused": False})
        else:
            self.call("dags", "unpause", "topshelf")

    def answers(self) -> bool:
        try:
            return bool(self.request("GET", "/api/v2/version"))
        except OSError:
            del self.token
            return False

    def has_ended_early(self) -> bool:
        for service in self.services:
            assert service.poll() is None, f"{service.args} has ended: its log is in {self.home}"
        return False

    def trigger(self, run_id: str, **params) -> str:
        """Begins a run by hand."""
        if MAJOR == 3:
            self.request("POST", "/api/v2/dags/topshelf/dagRuns", {"dag_run_id": run_id, "logical_date": None, "conf": params})
        else:
            self.call("dags", "trigger", "topshelf", "--run-id", run_id, "--conf", json.dumps(params))
        return run_id

    def backfill(self, first: str, last: str) -> list[str]:
        """Runs of the nights of these days, ended; their ids, oldest first.

        Of Airflow 2 runs by hand: its `dags backfill` may end with a deadlock where tasks are mapped.
        """
        if MAJOR == 2:
            days = [str(date.fromisoformat(first) + timedelta(days=day)) for day in range((date.fromisoformat(last) - date.fromisoformat(first)).days + 1)]
            runs = [self.trigger(f"backfill-{day}", day=day) for day in days]
        else:
            # Of one DAG there is one at a time, and it lasts a little longer than its runs.
            until("the end of other backfills", lambda: not self.ask("select 1 from backfill where completed_at is null"))
            # Midnight of the zone of the cron line: of UTC it may lie behind the night of the day.
            begin = datetime.combine(date.fromisoformat(first), time_of_day.min, self.zone)
            end = datetime.combine(date.fromisoformat(last), time_of_day.max, self.zone)
            body = {"dag_id": "topshelf", "from_date": begin.isoformat(), "to_date": end.isoformat(), "max_active_runs": 3}
            backfill = self.request("POST", "/api/v2/backfills", body)["id"]
            query = "select run_id from dag_run where backfill_id = %s order by logical_date"
            runs = [run_id for (run_id,) in self.ask(query, backfill)]
        for run_id in runs:
            self.ended(run_id)
        return runs

    def ended(self, run_id: str) -> str:
        """How a run ended, once it has."""

        def look():
            self.has_ended_early()
            found = self.ask("select state from dag_run where run_id = %s and state in ('success', 'failed')", run_id)
            return found and found[0][0]

        return until(f"the end of {run_id}: {self.tasks(run_id)}", look)

    def tasks(self, run_id: str) -> str:
        """Each task of a run: what it was, how it ended, how often it was tried."""
        rows = self.ask(
            "select task_id, coalesce(rendered_map_index, ''), state, try_number from task_instance where run_id = %s", run_id
        )
        order = ["wait_for_input", "filter_and_count", "rank", "publish"]
        rows.sort(key=lambda row: (order.index(row[0]), row[1]))
        return "\n".join(f"{task} {model}: {state}, try {tried}".replace(" :", ":") for task, model, state, tried in rows)

    def state(self, run_id: str, task: str) -> str | None:
        return self.ask("select state from task_instance where run_id = %s and task_id = %s", run_id, task)[0][0]

    def log(self, run_id: str, task: str, attempt: int = 1) -> str:
        """The log of a task as its page shows it: the messages."""
        folder = self.home / "logs" / "dag_id=topshelf" / f"run_id={run_id}" / f"task_id={task}"
        text = (folder / f"attempt={attempt}.log").read_text()
        if MAJOR == 2:
            return text
        events = [json.loads(line) for line in text.splitlines()]
        return "\n".join(f"{event['event']} {event.get('reason', '')} {json.dumps(event.get('error_detail', ''), ensure_ascii=False)}" for event in events)
