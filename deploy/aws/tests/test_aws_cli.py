"""What takes the place of `aws` is called as it is, ends as it does, and with who called it."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(params=["a fork", "a start"])
def cli(request, aws_cli):
    return aws_cli.split() if request.param == "a fork" else [f"{Path(sys.executable).parent}/aws"]


def test_a_call_ends_when_it_is_killed(cli):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        endpoint = "http://127.0.0.1:{}".format(silent.getsockname()[1])
        call = subprocess.Popen([*cli, "--endpoint-url", endpoint, "sts", "get-caller-identity"])
        connection, _ = silent.accept()
    call.kill()
    call.wait()
    # For its answer it would wait a minute.
    with connection:
        connection.settimeout(20)
        while connection.recv(1 << 16):
            pass


def test_words_folder_environment_files_and_exit_code_are_those_of_the_call(cli, tmp_path):
    (tmp_path / "config").write_text("[profile other]\nregion = eu-south-2\n")

    def call(*words: str, stdin: str = "") -> subprocess.CompletedProcess:
        variables = {"HOME": str(tmp_path), "AWS_CONFIG_FILE": "config"}
        return subprocess.run([*cli, *words], env=variables, cwd=tmp_path, input=stdin, capture_output=True, text=True)

    assert call("configure", "get", "region", "--profile", "other").stdout == "eu-south-2\n"
    asked = call("configure", "--profile", "new", stdin="an id\na key\nus-west-2\njson\n")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert "region = us-west-2" in (tmp_path / "config").read_text()
    unknown = call("configure", "get", "region", "--profile", "nobody")
    assert (unknown.returncode, unknown.stdout) == (255, "")
    assert "nobody" in unknown.stderr
    assert call("nonsense").returncode == 2
