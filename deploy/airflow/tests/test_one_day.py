"""One night as `airflow dags test` runs it, against a real PostgreSQL."""


def test_a_day_publishes_what_topshelf_run_publishes(run_a_night, new_topshelf, as_run):
    topshelf = new_topshelf("one_day")
    printed = run_a_night(topshelf, "2024-11-20")
    assert "state=success" in printed, printed
    assert topshelf.published("2024-11-20") == as_run("2024-11-20")
