"""`lorchestra plan`: what would run and why, and how long it will take."""

from __future__ import annotations

import re

from tests.lorchestra.cli.commands import Project

JOBS = {"a": "sleep 0.2", "b": "sleep 0.2", "c": "test -e ok"}


def test_without_a_history_there_is_a_plan_and_no_forecast(project: Project) -> None:
    project.pipeline(JOBS)
    done = project("plan", "p", "--max-workers", "2")
    assert done.code == 0
    assert "stage s1: 3 jobs, 2 workers" in done.out
    assert "no forecast: none of these jobs has succeeded in a run" in done.out
    assert project("plan", "p", "--json").json["forecast"] is None
    assert not (project.root / ".lorchestra").exists()


def test_the_forecast_of_a_run_and_how_many_workers_are_worth_it(project: Project) -> None:
    project.pipeline(JOBS)
    assert project.run("--max-workers", "2").code == 1
    done = project("plan", "p", "--max-workers", "2")
    assert re.search(r"^forecast: 0\.\d+ s with 2 workers, so until ", done.out, re.MULTILINE)
    assert "not known, and taken for the middle of the others: c" in done.out
    assert re.search(r"^WORKERS  FORECAST\n1 +0\.\d+ s\n2 ", done.out, re.MULTILINE)
    found = project("plan", "p", "--max-workers", "2", "--json").json
    expected = found["forecast"]
    assert found["stages"][0]["jobs"][0]["run"] == "sleep 0.2"
    assert (expected["workers"], expected["unknown"]) == (2, ["c"])
    assert 350 <= expected["duration_ms"] <= 3000
    times = [each["duration_ms"] for each in expected["by_workers"]]
    assert times == sorted(times, reverse=True)
    assert expected["best_workers"] == expected["by_workers"][-1]["workers"] == 3


def test_a_resume_counts_only_what_would_run(project: Project) -> None:
    project.pipeline(JOBS)
    project.run("--max-workers", "2")
    done = project("plan", "p", "--resume")
    assert "a  kept, succeeded before; run: sleep 0.2" in done.out
    assert "c  to run, failed before; run: test -e ok" in done.out
    assert "no forecast" in done.out
    (project.root / "ok").touch()
    assert project.run("--resume").code == 0
    assert "is to be resumed: none, or all succeeded" in project("plan", "p", "--resume").err
    expected = project("plan", "p", "--json").json["forecast"]
    assert expected["unknown"] == []
    assert len(expected["stages"]) == 1
