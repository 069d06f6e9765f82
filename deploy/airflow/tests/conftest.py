"""What the tests of the DAG share: the program, databases, logs, an Airflow that runs.

`cargo xtask airflow` calls them, with the program in TOPSHELF_TEST_PROGRAM and a PostgreSQL in TOPSHELF_TEST_POSTGRES.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg2
import pytest
from running_airflow import DAGS, call, environment

REPOSITORY = Path(__file__).parents[3]
SHARED = Path(os.environ.get("TOPSHELF_SHARED", REPOSITORY.parent / "shared"))
ADTECH = SHARED / "data/adtech-2024"


def needed(name: str) -> str:
    value = os.environ.get(name)
    assert value, f"{name} is not set: run `cargo xtask airflow`"
    return value


@pytest.fixture(scope="session")
def program() -> str:
    return needed("TOPSHELF_TEST_PROGRAM")


@pytest.fixture(scope="session")
def new_database():
    """Makes a database with each call, empty or like another one; its URL."""
    server = needed("TOPSHELF_TEST_POSTGRES")

    def make(name: str, like: str = "template1") -> str:
        name = f"{name}_{uuid4().hex[:8]}"
        connection = psycopg2.connect(server)
        connection.autocommit = True
        connection.cursor().execute(f"create database {name} template {like}")
        connection.close()
        return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))

    return make


@pytest.fixture(scope="session")
def new_metadata(new_database, tmp_path_factory):
    """Makes a database for Airflow's metadata with each call; its URL."""
    first = new_database("metadata")
    call(environment(tmp_path_factory.mktemp("migration"), first), "db", "migrate")
    return lambda: new_database("metadata", like=urlsplit(first).path[1:])


@pytest.fixture
def run_a_night(new_metadata, tmp_path):
    """Runs the night of a day of a program as `airflow dags test` does, with settings of the DAG; what it printed."""

    def run(topshelf: Topshelf, day: str, more: dict[str, str] | None = None, **settings: str) -> str:
        home = tmp_path / "airflow"
        (home / "dags").mkdir(parents=True, exist_ok=True)
        shutil.copy(DAGS / "topshelf.py", home / "dags")
        of_airflow = environment(home, new_metadata(), program=topshelf.program, folder=str(topshelf.folder), **settings)
        command = [sys.executable, "-m", "airflow", "dags", "test", "topshelf", "--conf", json.dumps({"day": day})]
        variables = {**of_airflow, **topshelf.environment, **(more or {})}
        return subprocess.run(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout

    return run


@dataclass
class Topshelf:
    """The program with an input, a lake and a database."""

    program: str
    folder: Path
    store: str
    logs: Path = ADTECH

    @property
    def environment(self) -> dict[str, str]:
        return {
            "TOPSHELF_INPUT__URL": str(self.logs),
            "TOPSHELF_LAKE__URL": str(self.folder / "lake"),
            "TOPSHELF_STORE__URL": self.store,
        }

    def call(self, *words: str) -> dict:
        """A command that must end well; its result."""
        of_machine = {name: value for name, value in os.environ.items() if not name.startswith("TOPSHELF")}
        command = [self.program, *words, "--json"]
        ended = subprocess.run(command, env={**of_machine, **self.environment}, cwd=self.folder, capture_output=True, text=True)
        assert ended.returncode == 0, f"{words}: {ended.stderr}"
        return json.loads(ended.stdout)

    def published(self, day: str) -> str:
        """What readers see of a day, but for the run that made it."""
        columns = "day, advertiser_id, rank, product_id, score, impressions, clicks, views"
        query = " union all ".join(f"select '{view}', {columns} from {view} where day = %s" for view in ("top_ctr", "top_product"))
        with psycopg2.connect(self.store) as connection, connection.cursor() as cursor:
            cursor.execute(f"{query} order by 1, 3, 4", (day, day))
            return "\n".join(" ".join(map(str, row)) for row in cursor.fetchall())

    def runs(self, day: str) -> list[dict]:
        """What the ledger has of a day, oldest first."""
        return self.call("runs", "--day", day)["runs"][::-1]


@pytest.fixture(scope="session")
def new_topshelf(program, new_database, tmp_path_factory):
    def make(name: str) -> Topshelf:
        folder = tmp_path_factory.mktemp(name)
        return Topshelf(program, folder, new_database(name))

    return make


@pytest.fixture(scope="session")
def as_run(new_topshelf):
    """What `topshelf run` publishes of a day of adtech-2024."""
    topshelf = new_topshelf("as_run")

    def published(day: str) -> str:
        topshelf.call("run", "--day", day)
        return topshelf.published(day)

    return published
