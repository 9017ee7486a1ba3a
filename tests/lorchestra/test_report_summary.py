"""One run as one object: every status, and what is not known yet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lorchestra.report import run_object
from lorchestra.report.summary import error_of, job_duration_s
from runstore import Attempt, Job, Run, RunStore


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "store", "os")


def end(run: Run, job_id: str, status: str, **fields: Any) -> None:
    with run.job(job_id) as log:
        log.end(status, **fields)


def test_every_status_is_counted_where_it_belongs(store: RunStore) -> None:
    statuses = ["succeeded", "failed", "timed_out", "crashed", "interrupted", "cancelled"]
    with store.create_run("p", [*statuses, "later", "planned"]) as run:
        for status in statuses[:-1]:
            end(run, status, status, error=f"it {status}")
        run.not_run("cancelled", "cancelled", "why")
        run.not_run("later", "skipped", "why")
        run.end("failed")
    found = run_object(store.read(run.id))
    assert (found["total"], found["succeeded"], found["failed"]) == (8, 1, 4)
    assert found["failures"] == [
        {"job_id": status, "error": f"it {status}"} for status in ("failed", "timed_out", "crashed")
    ]
    assert found["stopped_early"] is True
    assert [job["status"] for job in found["jobs"]] == [*statuses, "skipped", "planned"]


@pytest.mark.parametrize("status", ["cancelled", "skipped"])
def test_a_run_with_a_job_that_was_not_to_run_was_stopped_early(
    store: RunStore, status: str
) -> None:
    with store.create_run("p", ["a"]) as run:
        run.not_run("a", status, "why")
    assert run_object(store.read(run.id))["stopped_early"] is True


def test_a_run_of_no_jobs(store: RunStore) -> None:
    with store.create_run("p") as run:
        run.end()
    found = run_object(store.read(run.id))
    assert (found["success"], found["total"], found["jobs"]) == (True, 0, [])
    assert (found["failures"], found["stopped_early"]) == ([], False)


def test_all_attempts_of_a_job_count_and_the_last_one_tells_how_it_ended(store: RunStore) -> None:
    with store.create_run("p", [{"id": "a", "stage": "s"}]) as run:
        end(run, "a", "failed", exit_code=3, duration_s=1.5, error="first")
        end(run, "a", "succeeded", exit_code=0, duration_s=2.25)
    (job,) = run_object(store.read(run.id))["jobs"]
    assert job == {
        "job_id": "a",
        "stage": "s",
        "status": "succeeded",
        "attempts": 2,
        "exit_code": 0,
        "duration_ms": 3750.0,
        "log": None,
    }


def test_the_log_is_that_of_the_last_attempt(store: RunStore) -> None:
    with store.create_run("p", ["a"]) as run:
        for _ in range(2):
            with run.job("a") as log:
                os.close(log.create_log())
                log.end("succeeded")
    (job,) = run_object(store.read(run.id))["jobs"]
    assert Path(job["log"]) == Path(log.log_path)
    assert job["log"].endswith(".a2.log")


def test_the_duration_is_the_one_measured(store: RunStore) -> None:
    with store.create_run("p") as run:
        run.end("succeeded", duration_s=12.3456789)
    assert run_object(store.read(run.id))["duration_ms"] == 12345.679


@pytest.mark.parametrize("measured", [None, "long"])
def test_without_one_it_is_by_the_wall_clock(store: RunStore, measured: str | None) -> None:
    fields = {} if measured is None else {"duration_s": measured}
    with store.create_run("p") as run:
        run.end("succeeded", **fields)
    assert 0 <= run_object(store.read(run.id))["duration_ms"] < 60_000


def test_of_a_run_at_work_what_is_not_known_is_none(store: RunStore) -> None:
    with store.create_run("p", ["a", "b"]) as run, run.job("a") as log:
        found = run_object(store.read(run.id))
        log.end("succeeded")
    assert (found["status"], found["success"]) == ("running", False)
    assert (found["duration_ms"], found["receipt"]) == (None, None)
    assert (found["failed"], found["stopped_early"]) == (0, False)
    running, planned = found["jobs"]
    assert (running["status"], running["attempts"], running["duration_ms"]) == ("running", 1, None)
    assert (planned["status"], planned["attempts"], planned["exit_code"]) == ("planned", 0, None)


def job(status: str, *attempts: Attempt, reason: str | None = None) -> Job:
    return Job("a", "s", status, reason, list(attempts))


@pytest.mark.parametrize(
    ("of", "text"),
    [
        (job("failed", Attempt(1, error="first"), Attempt(2, error="second")), "second"),
        (job("failed", Attempt(1, error="first"), Attempt(2)), "the job ended with status failed"),
        (job("skipped", reason="why"), "why"),
        (job("cancelled"), "the job ended with status cancelled"),
        (job("crashed", Attempt(1)), "was running when the run was killed"),
    ],
)
def test_why_a_job_did_not_succeed_is_a_sentence(of: Job, text: str) -> None:
    assert error_of(of) == text


@pytest.mark.parametrize(
    ("durations", "total"),
    [([], None), ([None], None), ([1.5, None, 2.0], 3.5), (["long"], None)],
)
def test_the_durations_that_are_known_are_added(durations: list[Any], total: float | None) -> None:
    attempts = [Attempt(number, duration_s=each) for number, each in enumerate(durations, 1)]
    assert job_duration_s(job("failed", *attempts)) == total
