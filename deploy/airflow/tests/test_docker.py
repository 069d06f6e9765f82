"""The night in containers of the project's image, run by podman, which speaks Docker's API."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from conftest import ADTECH, needed
from running_airflow import until


@pytest.fixture(scope="module")
def podman_folder():
    """Podman wants it to have a short name."""
    with tempfile.TemporaryDirectory(prefix="podman-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def podman(podman_folder):
    """A service with the image loaded: where it listens, and the image's name."""
    folder = podman_folder
    command = ["podman", "--runtime", "/usr/bin/runc", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]
    command += ["--root", folder / "root", "--runroot", folder / "run", "--tmpdir", folder / "tmp"]
    # Root of a container that is one itself may not raise them.
    conf = folder / "containers.conf"
    conf.write_text('[containers]\ndefault_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]\nlog_driver = "k8s-file"\n')
    variables = {**os.environ, "CONTAINERS_CONF": str(conf)}
    loading = subprocess.run([*command, "load", "--quiet", "--input", needed("TOPSHELF_TEST_IMAGE_DOCKER")], capture_output=True, text=True)
    assert loading.returncode == 0, loading.stderr
    listens = folder / "socket"
    with open(folder / "log", "w") as log:
        words = ["setpriv", "--pdeathsig", "TERM", *command, "system", "service", "--time", "0", f"unix://{listens}"]
        service = subprocess.Popen(words, env=variables, stdout=log, stderr=log, start_new_session=True)

    def answers() -> bool:
        assert service.poll() is None, (folder / "log").read_text()
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(listens)) == 0

    until("podman", answers)
    yield f"unix://{listens}", loading.stdout.strip().rpartition(" ")[2]
    os.killpg(service.pid, signal.SIGTERM)
    service.wait()


@pytest.fixture
def run_in_containers(podman, run_a_night, new_topshelf):
    """Runs a night; the program's data, and what Airflow printed."""

    def run(day: str, logs=ADTECH):
        topshelf = new_topshelf("docker")
        topshelf.logs = logs
        lake = topshelf.folder / "lake"
        lake.mkdir()
        # The image's user is no root.
        os.chown(lake, 65532, 65532)
        listens, image = podman
        mounts = f"{logs}:{logs}:ro, {lake}:{lake}"
        settings = {"docker_url": listens, "image": image, "docker_mounts": mounts, "docker_network": "host"}
        return topshelf, run_a_night(topshelf, day, runner="docker", **settings)

    return run


def test_a_day_publishes_what_topshelf_run_publishes(run_in_containers, as_run):
    topshelf, printed = run_in_containers("2024-11-20")
    assert "state=success" in printed, printed
    assert topshelf.published("2024-11-20") == as_run("2024-11-20")
    (run,) = topshelf.runs("2024-11-20")
    assert run["started_by"] == "airflow" and run["orchestrator"].startswith("airflow: dag topshelf 0.1.0+")


def test_the_exit_code_of_the_container_becomes_the_state_of_the_task(run_in_containers, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    tmp_path.chmod(0o755)
    for log in ("advertiser_ids", "ads_views", "product_views"):
        (logs / f"{log}.csv").write_text("advertiser,product\nA,B\n")
    _, printed = run_in_containers("2024-11-20", logs)
    assert "the input is refused, which no retry mends" in printed and "state=failed" in printed, printed
