"""`lorchestra runs`: what ran, how it ended, and what it printed."""

from __future__ import annotations

import os
import re

import pytest

from runstore import Run, RunStore, liveness
from tests.lorchestra.cli.commands import Project

HOSTILE = "a\x1b[2J\nb\u202e"
SHOWN = r"a\x1b[2J\nb\u202e"


def record(store: RunStore, pipeline: str = "nightly", **jobs: str) -> str:
    """Record a run of jobs that ended as told; gives its id."""
    with store.create_run(pipeline, [{"id": job_id, "stage": "s"} for job_id in jobs]) as run:
        for job_id, status in jobs.items():
            with run.job(job_id) as log:
                log.end(status)
    return run.id


# List


def test_runs_are_listed_newest_first(project: Project) -> None:
    store = RunStore(".lorchestra", "os")
    ids = [record(store, "first", a="succeeded"), record(store, "second", a="failed")]
    done = project("runs", "list")
    assert (done.code, done.stderr) == (0, b"")
    head, *rows = done.out.splitlines()
    assert head.split() == ["RUN", "PIPELINE", "STATUS", "STARTED", "DURATION"]
    assert [row.split()[:3] for row in rows] == [
        [ids[1], "second", "failed"],
        [ids[0], "first", "succeeded"],
    ]
    assert all(re.search(r" \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  [\d.]+ s$", row) for row in rows)


def test_a_list_as_json(project: Project) -> None:
    run_id = record(RunStore(".lorchestra", "os"), a="succeeded")
    (run,) = project("runs", "list", "--json").json
    assert run.keys() == {
        *("run_id", "pipeline_id", "run_key", "status", "started", "ended", "duration_ms"),
    }
    assert (run["run_id"], run["pipeline_id"], run["status"]) == (run_id, "nightly", "succeeded")
    for at in (run["started"], run["ended"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", at)
    assert run["duration_ms"] >= 0


@pytest.mark.parametrize("option", ["-n", "--limit"])
def test_a_list_can_be_limited(project: Project, option: str) -> None:
    store = RunStore(".lorchestra", "os")
    ids = [record(store) for _ in range(22)]
    assert len(project("runs", "list", "--json").json) == 20
    found = project("runs", "list", option, "2", "--json").json
    assert [run["run_id"] for run in found] == [ids[21], ids[20]]


def test_an_empty_list_is_no_error(project: Project) -> None:
    done = project("runs", "list")
    assert (done.code, done.stdout) == (0, b"")
    assert done.errors == [f"no run in the store {project.root / '.lorchestra'}"]
    assert project("runs", "list", "--json").json == []
    assert project.files() == set()


def test_a_run_at_work_has_no_end(project: Project) -> None:
    with RunStore(".lorchestra", "os").create_run("p") as run:
        (found,) = project("runs", "list", "--json").json
        row = project("runs", "list").out.splitlines()[1]
        run.end()
    assert (found["status"], found["ended"], found["duration_ms"]) == ("running", None, None)
    assert row.split()[-1] == "-"


# Show


def test_a_run_is_shown_job_by_job(project: Project) -> None:
    project.pipeline({"a": "true", "b": "exit 3"}, {"c": "true"}, stop_on_failure=True)
    found = project.run("--json").json
    done = project("runs", "show")
    assert (done.code, done.stderr) == (0, b"")
    head, _, table = done.out.partition("\n\n")
    facts = dict(line.split(maxsplit=1) for line in head.splitlines())
    assert facts["run"] == found["run_id"]
    assert facts["pipeline"] == "p"
    assert facts["status"] == "failed"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d, took [\d.]+ s", facts["started"])
    assert facts["jobs"] == "3 jobs: 1 succeeded, 1 failed, 1 skipped"
    assert facts["receipt"] == found["receipt"]
    assert facts["folder"] == str(project.root / ".lorchestra" / "runs" / found["run_id"])
    heads, *rows = (re.split("  +", line) for line in table.splitlines())
    assert heads == ["STAGE", "JOB", "STATUS", "ATTEMPTS", "DURATION"]
    assert [row[:4] for row in rows] == [
        ["s1", "a", "succeeded", "1"],
        ["s1", "b", "failed", "1"],
        ["s2", "c", "skipped", "0"],
    ]
    assert [row[5:] for row in rows] == [[], ["exit code 3"], ["job 'b' did not succeed"]]


def test_a_resumed_run_says_when_it_began_and_how_long_it_ran_last(project: Project) -> None:
    project.pipeline({"a": "test -e ok"})
    project.run()
    project.write("ok")
    project.run("--resume")
    facts = dict(
        line.split(maxsplit=1) for line in project("runs", "show").out.split("\n\n")[0].splitlines()
    )
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    assert re.fullmatch(when, facts["started"])
    assert re.fullmatch(rf"1 time, last {when}, took [\d.]+ s", facts["resumed"])


@pytest.mark.parametrize("cut", [36, 35, 30])
def test_a_run_is_found_by_its_id_or_the_beginning_of_it(project: Project, cut: int) -> None:
    store = RunStore(".lorchestra", "os")
    first, second = record(store, "first"), record(store, "second")
    for run_id, pipeline in ((first, "first"), (second, "second")):
        assert project("runs", "show", run_id[:cut], "--json").json["pipeline_id"] == pipeline
    assert project("runs", "show", first.upper(), "--json").json["pipeline_id"] == "first"
    assert project("runs", "show", "last", "--json").json["pipeline_id"] == "second"
    assert project("runs", "show", "--json").json["pipeline_id"] == "second"


def test_a_run_at_work_is_shown(project: Project) -> None:
    with RunStore(".lorchestra", "os").create_run("p", ["a", "b"]) as run:
        with run.job("a") as log:
            found = project("runs", "show", "--json").json
            text = project("runs", "show").out
            log.end("succeeded")
        run.end()
    assert (found["status"], found["success"], found["receipt"]) == ("running", False, None)
    assert (found["succeeded"], found["failed"], found["duration_ms"]) == (0, 0, None)
    assert [job["status"] for job in found["jobs"]] == ["running", "planned"]
    assert "jobs      2 jobs: 1 running, 1 planned" in text
    assert "receipt   -" in text
    assert ", took -" in text


def test_a_run_of_another_machine_is_shown_with_a_note(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(liveness, "_host", lambda: "elsewhere")
        with RunStore(".lorchestra", "os").create_run("p", ["a"]) as run, run.job("a"):
            note = "its process is on elsewhere and cannot be seen from here"
            patch.undo()
            shown = project("runs", "show").out
    assert f"status    running ({note})" in shown


def test_nothing_of_a_run_can_move_the_cursor(project: Project) -> None:
    store = RunStore(".lorchestra", "os")
    planned = [{"id": HOSTILE, "stage": HOSTILE}]
    with store.create_run(HOSTILE, planned) as run, run.job(HOSTILE) as log:
        log.end("failed", error=HOSTILE)
    for command in (["list"], ["show"], ["logs", "last", HOSTILE]):
        done = project("runs", *command)
        printed = done.out + done.err
        assert SHOWN in printed
        assert all(line.isprintable() for line in printed.split("\n"))
    assert project("runs", "show").out.count(SHOWN) == 4
    found = project("runs", "show", "--json").json
    assert (found["pipeline_id"], found["jobs"][0]["job_id"]) == (HOSTILE, HOSTILE)


# Logs


def jobs_that_print(project: Project, **lines: str) -> None:
    project.pipeline(lines)
    project.run()


def test_a_log_is_printed_byte_by_byte(project: Project) -> None:
    project.write("bytes", bytes(range(256)) * 1000)
    jobs_that_print(project, all="cat bytes; printf '\\033[31m' >&2", nothing="true")
    done = project("runs", "logs", "last", "all")
    assert (done.code, done.stderr) == (0, b"")
    assert done.stdout == bytes(range(256)) * 1000 + b"\x1b[31m"
    assert project("runs", "logs", "last", "nothing").stdout == b""


def test_the_log_of_an_attempt(project: Project) -> None:
    def attempt(run: Run, text: bytes) -> None:
        with run.job("a") as log:
            descriptor = log.create_log()
            os.write(descriptor, text)
            os.close(descriptor)
            log.end("failed")

    with RunStore(".lorchestra", "os").create_run("p", ["a"]) as run:
        attempt(run, b"first\n")
        attempt(run, b"second\n")
    assert project("runs", "logs", "last", "a").out == "second\n"
    assert project("runs", "logs", "last", "a", "--attempt", "1").out == "first\n"
    assert project("runs", "logs", run.id[:35], "a", "--attempt", "2").out == "second\n"
    assert project("runs", "logs", "last", "a", "--attempt", "3").code == 2


def test_a_job_that_did_not_run_has_no_log(project: Project) -> None:
    project.pipeline({"a": "exit 1", "b": "true"}, stop_on_failure=True)
    project.run()
    done = project("runs", "logs", "last", "b")
    assert (done.code, done.stdout) == (2, b"")
    assert done.errors == ["lorchestra: job 'b' (cancelled) has no log"]
