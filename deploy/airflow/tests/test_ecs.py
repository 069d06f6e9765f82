"""The night as tasks of ECS, of which there is a stand-in here: what is asked of it, and what becomes of its answers."""

from __future__ import annotations

import pytest
from conftest import ADTECH
from ecs_stand_in import Ecs
from test_dag import ECS

OF_AWS = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "eu-west-1"}


@pytest.fixture
def run_on_ecs(run_a_night, new_topshelf):
    """Runs a night; the program's data, what was asked of RunTask, and what Airflow printed."""

    def run(day: str, logs=ADTECH):
        topshelf = new_topshelf("ecs")
        topshelf.logs = logs
        with Ecs(topshelf.program, topshelf.environment) as ecs:
            printed = run_a_night(topshelf, day, {**OF_AWS, "AWS_ENDPOINT_URL": ecs.url}, runner="ecs", ecs_look_seconds="1", **ECS)
            return topshelf, ecs.asked, printed

    return run


def test_a_day_publishes_what_topshelf_run_publishes(run_on_ecs, as_run):
    topshelf, asked, printed = run_on_ecs("2024-11-20")
    assert "state=success" in printed, printed
    assert topshelf.published("2024-11-20") == as_run("2024-11-20")
    commands = [" ".join(request["overrides"]["containerOverrides"][0]["command"]) for request in asked]
    # Models are ranked at the same time: which comes first, nobody says.
    commands[2:4] = sorted(commands[2:4])
    assert commands == [
        "input --json --day 2024-11-20 --log-format text",
        "count --day 2024-11-20 --log-format text",
        "rank --day 2024-11-20 --model TopCTR --log-format text",
        "rank --day 2024-11-20 --model TopProduct --log-format text",
        "publish --day 2024-11-20 --wait=1h --json --log-format text",
    ]
    publish = asked[-1]
    network = {"subnets": ["subnet-1", "subnet-2"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"}
    assert publish["networkConfiguration"] == {"awsvpcConfiguration": network}
    assert (publish["cluster"], publish["taskDefinition"], publish["launchType"]) == ("ads", "topshelf:3", "FARGATE")
    (run,) = topshelf.runs("2024-11-20")
    assert run["started_by"] == "airflow" and run["orchestrator"].startswith("airflow: dag topshelf 0.1.0+")


def test_the_exit_code_of_the_container_becomes_the_state_of_the_task(run_on_ecs, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    for log in ("advertiser_ids", "ads_views", "product_views"):
        (logs / f"{log}.csv").write_text("advertiser,product\nA,B\n")
    _, asked, printed = run_on_ecs("2024-11-20", logs)
    assert "the input is refused, which no retry mends" in printed and "state=failed" in printed, printed
    assert len(asked) == 2
