"""A job that has succeeded in another run counts as succeeded, whatever comes of the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from runstore import RecordError, Run, RunStore


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "store", "os")


def keep(run: Run, output: object = None) -> None:
    run.kept("a", "elsewhere", run="r", attempt=2, sha256="s", output=output)


def test_it_has_succeeded_without_an_attempt(store: RunStore) -> None:
    with store.create_run("p", [{"id": "a", "key": "k"}, "b"]) as run:
        keep(run, {"rows": 7})
        with run.job("b"):
            pass
    view = store.read(run.id)
    job = view.jobs["a"]
    assert (view.status, view.end["counts"]) == ("succeeded", {"succeeded": 2})
    assert (job.status, job.reason, job.attempts, job.output) == (
        *("succeeded", "elsewhere", []),
        {"rows": 7},
    )
    assert {name: job.kept[name] for name in ("run", "attempt_there", "sha256", "key")} == {
        "run": "r",
        "attempt_there": 2,
        "sha256": "s",
        "key": "k",
    }
    assert store.verify(strict=True).ok


@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_resume_does_not_undo_it(store: RunStore, is_compacted: bool) -> None:
    with store.create_run("p", ["a", "b"]) as run:
        keep(run)
        run.not_run("b", "cancelled", "no")
    if is_compacted:
        store.compact(run.id)
    with store.resume_run(run.id, [{"id": "a", "key": "other"}, "b"]) as run, run.job("b"):
        pass
    view = store.read(run.id)
    assert [job.status for job in view.jobs.values()] == ["succeeded", "succeeded"]
    assert view.end["counts"] == {"succeeded": 2}
    assert view.jobs["a"].kept["key"] is None


def test_one_that_was_to_run_again_and_did_not_keeps_it(store: RunStore) -> None:
    with store.create_run("p", ["a"]) as run:
        keep(run)
    with store.resume_run(run.id) as run:
        run.not_run("a", "cancelled", "no")
    view = store.read(run.id)
    assert (view.jobs["a"].status, view.end["counts"]) == ("succeeded", {"succeeded": 1})


def test_attempts_before_it_do_not_count_and_those_after_it_do(store: RunStore) -> None:
    with store.create_run("p", ["a"]) as run:
        run.job("a").end("failed")
    with store.resume_run(run.id) as run:
        keep(run)
    view = store.read(run.id)
    assert (view.jobs["a"].status, view.end["counts"]) == ("succeeded", {"succeeded": 1})
    with store.resume_run(run.id) as run:
        run.job("a").end("timed_out")
    view = store.read(run.id)
    assert (view.jobs["a"].status, view.end["counts"]) == ("timed_out", {"timed_out": 1})
    assert (view.jobs["a"].kept, view.jobs["a"].reason) == ({}, None)


def test_it_is_written_by_the_store_alone(store: RunStore) -> None:
    with store.create_run("p", ["a"]) as run:
        with pytest.raises(RecordError, match="written by the store"):
            run.append("kept", reason="x")
        keep(run)


def test_plans_are_read_where_runs_begin(store: RunStore) -> None:
    with store.create_run("p", [{"id": "a", "key": "k"}]) as run:
        run.job("a").end("failed")
    store.resume_run(run.id, [{"id": "a", "key": "l"}]).__exit__(None, None, None)
    with store.create_run("q", ["a"]):
        pass
    store.create_run("p").__exit__(None, None, None)
    newest, (run_id, jobs) = store.plans("p")
    assert newest[1] == []
    assert (run_id, [job["key"] for job in jobs]) == (run.id, ["k", "l"])
    store.compact(run.id)
    assert list(store.plans("p")) == [newest, (run_id, jobs)]
