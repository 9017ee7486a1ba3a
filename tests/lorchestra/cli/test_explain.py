"""`explain`: why a job waited, ran, ran again, or did not run."""

from __future__ import annotations

import re

from runstore import RunStore
from tests.lorchestra.cli.commands import Project


def story(project: Project, job: str) -> list[str]:
    done = project("explain", "last", job)
    assert (done.code, done.stderr) == (0, b"")
    head, *lines = done.out.splitlines()
    assert re.fullmatch(rf"{job} of run \S+: \w+", head)
    return [re.sub(r"\d+\.\d+ s", "T", line[10:]) for line in lines]


def test_what_it_waited_for_and_how_each_attempt_ended(project: Project) -> None:
    project.pipeline(
        {
            "a": {"run": "sleep 1.5", "limits": ["x"]},
            "b": {
                "run": "test -e ok || { touch ok; exit 75; }",
                "limits": ["x"],
                "retries": {"max": 2, "backoff": "100ms"},
            },
        },
        limits={"x": 1},
    )
    assert project.run("--max-workers", "2", "--schedule", "declared").code == 0
    assert story(project, "b") == [
        "its stage s1 began, with 2 workers",
        "it waited for x (1 of 1 in use)",
        "attempt 1 started, T after its stage",
        "it is tried again in T",
        "attempt 1 failed after T: exit code 75",
        "attempt 2 started",
        "attempt 2 succeeded after T",
    ]


def test_why_it_did_not_run_and_what_a_resume_did(project: Project) -> None:
    project.pipeline({"a": "test -e ok"}, {"b": "true"}, stop_on_failure=True)
    project.run()
    assert story(project, "b") == ["skipped: job 'a' did not succeed"]
    project.write("ok")
    project.run("--resume")
    assert story(project, "a")[0] == "in the last resume: failed before"
    assert story(project, "b")[:2] == [
        "in the last resume: did not start",
        "skipped: job 'a' did not succeed",
    ]


def test_one_at_work_and_one_that_has_not_started(project: Project) -> None:
    store = RunStore(project.root / ".lorchestra", "os")
    with store.create_run("p", ["a", "b"]) as run, run.job("a"):
        assert story(project, "a") == ["attempt 1 started"]
        assert story(project, "b") == ["it has not started yet"]


def test_json_is_the_same_story(project: Project) -> None:
    project.pipeline({"a": "exit 3"})
    project.run()
    found = project("explain", "last", "a", "--json").json
    assert (found["job_id"], found["status"]) == ("a", "failed")
    assert found["story"][-1]["what"].startswith("attempt 1 failed after ")


def test_a_job_that_is_not_there(project: Project) -> None:
    project.pipeline({"ingest": "true"})
    project.run()
    done = project("explain", "last", "ingets")
    assert done.code == 2
    assert "has no job 'ingets' (did you mean ingest?)" in done.err
