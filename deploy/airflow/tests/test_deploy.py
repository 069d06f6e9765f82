"""A file that is broken does not come into force, and the one before can be brought back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from running_airflow import DAGS, environment

DEPLOY = Path(__file__).parent.parent / "deploy.py"
GOOD = (DAGS / "topshelf.py").read_text()
NEWER = GOOD + "# A newer one.\n"


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "dags"
    folder.mkdir()
    return folder


@pytest.fixture
def deploy(tmp_path):
    """Calls the program; its exit code and what it says."""

    def deploy(*words: object, **settings: str) -> tuple[int, str]:
        variables = environment(tmp_path / "home", "sqlite:////nowhere/at/all", **settings)
        ended = subprocess.run([sys.executable, DEPLOY, *map(str, words)], env=variables, capture_output=True, text=True)
        return ended.returncode, ended.stderr + ended.stdout.splitlines()[-1] if ended.stdout else ended.stderr

    return deploy


@pytest.fixture
def new(tmp_path):
    def new(content: str) -> Path:
        file = tmp_path / "new.py"
        file.write_text(content)
        return file

    return new


BROKEN = {
    "a syntax error": (GOOD.replace("class Stage(", "class Stage("[:-1] + "[", 1), "it is no Python"),
    "an import error": (GOOD.replace("import hashlib", "import hashlib_of_nobody", 1), "No module named 'hashlib_of_nobody'"),
    "a cycle": (GOOD + "    publish >> wait_for_input\n", "Cycle detected in D"),
    "a warning": (GOOD + "import warnings\nwarnings.warn('gone in Airflow 4', FutureWarning)\n", "it warns: "),
    "another DAG": (GOOD.replace('    "topshelf",\n', '    "bottomshelf",\n', 1), "it has not the DAG topshelf alone, but bottomshelf"),
    "no DAG": ("# Of airflow there is no DAG here.\n", "it has not the DAG topshelf alone, but none"),
    "tasks that fail": (GOOD.replace("context[\"ti\"].xcom_push", "context[\"it\"].xcom_push", 1), "a night of it does not end well"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_refused_and_the_old_one_stays(deploy, new, folder, what):
    content, message = BROKEN[what]
    assert content != GOOD
    (folder / "topshelf.py").write_text(GOOD)
    code, said = deploy(new(content), folder)
    assert code == 1 and message.lower() in said.lower() and f"{folder}/topshelf.py stays as it was" in said, said
    assert (folder / "topshelf.py").read_text() == GOOD
    assert [file.name for file in folder.iterdir()] == ["topshelf.py"]


def test_a_good_file_comes_into_force_and_the_one_before_comes_back(deploy, new, folder):
    (folder / "topshelf.py").write_text(GOOD)
    code, said = deploy(new(NEWER), folder, start_date="2099-01-01")
    assert code == 0 and f"topshelf.py is in force, the one before is kept as {folder}/topshelf.py.last" in said, said
    assert ((folder / "topshelf.py").read_text(), (folder / "topshelf.py.last").read_text()) == (NEWER, GOOD)
    code, said = deploy("--rollback", folder)
    assert code == 0, said
    assert ((folder / "topshelf.py").read_text(), (folder / "topshelf.py.last").read_text()) == (GOOD, NEWER)


@pytest.mark.parametrize(
    "settings, message", [({"runner": "kubernetes"}, "runner is 'kubernetes'"), ({"start_date": "soon"}, "'soon'")], ids=["runner", "start_date"]
)
def test_a_file_is_judged_with_the_settings_of_the_airflow_that_it_is_for(deploy, folder, settings, message):
    code, said = deploy(DAGS / "topshelf.py", folder, **settings)
    assert code == 1 and message in said and list(folder.iterdir()) == []
