#!/usr/bin/env python3
"""Puts a new file of the DAG in the place of the old one, once Airflow has read it and run a night of it.

    deploy.py DAG_FILE DAGS_FOLDER    check, then replace; the file that was there is kept beside it as `….last`
    deploy.py --rollback DAGS_FOLDER  the same with the file that was kept
    deploy.py --check DAG_FILE        check, and replace nothing

Run it with the Python of the Airflow that the folder belongs to, with that Airflow's environment: the DAG is read with its
settings. What it writes to is a scratch folder with a database of its own; the running Airflow is not asked and not touched.
Exit codes: 0 done · 1 the file is refused, and the old one stays · 2 wrong usage.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

NAME = "topshelf.py"
# Airflow reads `.py` and `.zip` alone.
LAST, NEXT, LOCK = NAME + ".last", NAME + ".next", NAME + ".lock"

# Stands in for the program in the night that is run here: the DAG is tried, nothing is counted or published.
STAND_IN = """#!/bin/sh
case $1 in
    input) echo '{"day":"2024-11-20","logs":{},"models":["TopCTR","TopProduct"]}' ;;
    publish) echo '{"runs":[{"day":"2024-11-20","run_id":"stand-in","outcome":"published","error":null,"report":{}}]}' ;;
esac
"""
# Many times what such a night takes.
NIGHT_SECONDS_MAX = 600
STAGES = ["wait_for_input", "filter_and_count", "rank", "publish"]


class Refused(Exception):
    """Why a file does not come into force."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="check DAG_FILE and replace nothing")
    parser.add_argument("--rollback", action="store_true", help="bring back the file that was kept")
    parser.add_argument("paths", nargs="+", metavar="PATH")
    arguments = parser.parse_args()
    if len(arguments.paths) != (1 if arguments.check or arguments.rollback else 2):
        parser.error("a DAG_FILE and a DAGS_FOLDER; with --check the file alone, with --rollback the folder alone")
    folder = Path(arguments.paths[-1])
    if not arguments.check and not folder.is_dir():
        parser.error(f"{folder} is no folder")
    new = folder / LAST if arguments.rollback else Path(arguments.paths[0])
    try:
        if not new.is_file():
            raise Refused("there is no such file")
        # What is checked is what comes into force, whatever happens to the file meanwhile.
        content = new.read_bytes()
        check(content)
    except Refused as refusal:
        stays = "" if arguments.check or not (folder / NAME).exists() else f"\ndeploy: {folder / NAME} stays as it was"
        print(f"deploy: {new} is refused: {refusal}{stays}", file=sys.stderr)
        return 1
    if arguments.check:
        print(f"deploy: {new} is well")
    else:
        print(f"deploy: {replace(content, folder)}")
    return 0


def check(content: bytes) -> None:
    """Has Airflow read the file and run a night of it."""
    with tempfile.TemporaryDirectory(prefix="topshelf-dag-") as scratch:
        file = Path(scratch) / "dags" / NAME
        file.parent.mkdir()
        file.write_bytes(content)
        read(file, scratch)
        run_a_night(scratch)


def read(file: Path, scratch: str) -> None:
    """Syntax, then what Airflow finds: errors of the import, cycles, warnings, and whether it is the DAG."""
    try:
        compile(file.read_bytes(), NAME, "exec")
    except (SyntaxError, ValueError) as error:
        raise Refused(f"it is no Python: {error}") from error
    program = [sys.executable, "-c", READ, str(file)]
    said = subprocess.run(program, env=environment(scratch), capture_output=True, text=True)
    if said.returncode != 0:
        raise Refused(said.stdout.strip() or f"Airflow could not read it:\n{said.stderr.strip()}")


# Prints what is wrong.
READ = """
import sys
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models import DagBag
try:
    from airflow.serialization.serialized_objects import DagSerialization as Serialized
except ImportError:
    from airflow.serialization.serialized_objects import SerializedDAG as Serialized

file = sys.argv[1]
bag = DagBag(file)
wrong = list(bag.import_errors.values())
warnings = [str(warning) for of_file in getattr(bag, "captured_warnings", {}).values() for warning in of_file]
wrong += ["it warns: " + warning for warning in warnings if warning.startswith(file)]
if not wrong and list(bag.dags) != ["topshelf"]:
    wrong = ["it has not the DAG topshelf alone, but " + (", ".join(bag.dags) or "none")]
for dag in bag.dags.values():
    Serialized.from_dict(Serialized.to_dict(dag))
print("\\n".join(wrong))
sys.exit(bool(wrong))
"""


def run_a_night(scratch: str) -> None:
    """Runs each task, with a stand-in for the program."""
    program = Path(scratch) / "stand-in"
    program.write_text(STAND_IN)
    program.chmod(0o700)
    settings = {
        "AIRFLOW__TOPSHELF__RUNNER": "local",
        "AIRFLOW__TOPSHELF__PROGRAM": str(program),
        "AIRFLOW__TOPSHELF__FOLDER": scratch,
        # A file may be deployed before its first night.
        "AIRFLOW__TOPSHELF__START_DATE": "",
        # What fails by chance may not refuse a file; what fails each time is not waited for.
        "AIRFLOW__TOPSHELF__RETRIES": "2",
        "AIRFLOW__TOPSHELF__RETRY_SECONDS": "1",
    }
    variables = {**environment(scratch), **settings}
    migrated = airflow(variables, "db", "migrate")
    if migrated.returncode != 0:
        raise Refused(f"`airflow db migrate` failed:\n{tail(migrated.stdout)}")
    night = airflow(variables, "dags", "test", "topshelf", "2024-11-21T12:00:00+00:00")
    # Not every Airflow says by its exit code how the run ended.
    ended = [stage for stage in STAGES if f"end task task_id={stage} " in night.stdout]
    if night.returncode != 0 or ended != STAGES or "state=success" not in night.stdout:
        raise Refused(f"a night of it does not end well:\n{tail(night.stdout)}")


def airflow(variables: dict[str, str], *words: str) -> subprocess.CompletedProcess:
    """A command of Airflow, ended; what it printed and said is in `stdout`."""
    command = [sys.executable, "-m", "airflow", *words]
    try:
        return subprocess.run(
            command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=NIGHT_SECONDS_MAX
        )
    except subprocess.TimeoutExpired:
        raise Refused(f"`airflow {' '.join(words)}` did not end within {NIGHT_SECONDS_MAX} seconds") from None


def environment(scratch: str) -> dict[str, str]:
    """The settings of the Airflow that the file is for, but with a home, a database and a folder of DAGs of its own."""
    home = os.environ.get("AIRFLOW_HOME", os.path.expanduser("~/airflow"))
    own = {
        "AIRFLOW_CONFIG": os.environ.get("AIRFLOW_CONFIG", os.path.join(home, "airflow.cfg")),
        "AIRFLOW_HOME": scratch,
        # Tasks of `dags test` run without one; but not every executor puts up with SQLite.
        "AIRFLOW__CORE__EXECUTOR": "SequentialExecutor" if version("apache-airflow").startswith("2.") else "LocalExecutor",
        "AIRFLOW__CORE__DAGS_FOLDER": f"{scratch}/dags",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{scratch}/airflow.db",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{scratch}/logs",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "AIRFLOW__LOGGING__REMOTE_LOGGING": "False",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if not os.path.exists(own["AIRFLOW_CONFIG"]):
        # Airflow writes one where there is none.
        own["AIRFLOW_CONFIG"] = f"{scratch}/airflow.cfg"
    return {**os.environ, **own}


def tail(text: str) -> str:
    return "\n".join(text.splitlines()[-40:])


def replace(content: bytes, folder: Path) -> str:
    """Replaces the file in one step: whoever reads it sees the old one or the new, whole. The old one is kept."""
    current, last = folder / NAME, folder / LAST
    with open(folder / LOCK, "w") as lock:
        # Of two who deploy at once, one waits.
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = current.read_bytes() if current.exists() else None
        if before == content:
            return f"{current} is that file already"
        if before is not None:
            write(before, last)
        write(content, current)
    return f"{current} is in force" + (f", the one before is kept as {last}" if before is not None else "")


def write(content: bytes, file: Path) -> None:
    """Writes a file that is there whole or not at all, even when the machine stops."""
    next_file = file.with_name(NEXT)
    with open(next_file, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    os.chmod(next_file, 0o644)
    os.replace(next_file, file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


if __name__ == "__main__":
    sys.exit(main())
