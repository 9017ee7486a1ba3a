"""A store that fails during a run: the run ends in order, and claims nothing that is not there."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lorchestra import Job, Options, Pipeline, SubPipeline, run_pipeline
from lorchestra.progress import Event, JobFinished, RunFinished
from runstore import RunStoreError, files
from tests.leaks import nothing_left_behind
from tests.lorchestra.running import (
    Runner,
    call,
    eventually,
    is_running,
    module,
    pids_in,
    shell,
    stage,
)

FUNCTIONS = """
    import lorchestra, pathlib
    def work(root):
        job = lorchestra.current_job()
        (pathlib.Path(root) / "begun" / job.job_id).touch()
        job.append("metric", rows=1)
        (pathlib.Path(root) / "ended" / job.job_id).touch()
        return {"rows": 1}
"""
LINE = "echo $$ > pids/$LORCHESTRA_JOB_ID; : > begun/$LORCHESTRA_JOB_ID; sleep 0.02; "
LINE += ": > ended/$LORCHESTRA_JOB_ID"


class Disk:
    """Appends to files, until it is full."""

    def __init__(self, fails: Callable[[int], bool]) -> None:
        self.calls = 0
        self.failed = threading.Event()
        self._fails = fails
        self._append = files.append
        self._turn = threading.Lock()

    def append(self, descriptor: int, data: bytes) -> None:
        with self._turn:
            self.calls += 1
            number = self.calls
        if self._fails(number):
            self.failed.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        self._append(descriptor, data)


@contextmanager
def disk(fails: Callable[[int], bool]) -> Iterator[Disk]:
    with pytest.MonkeyPatch.context() as patch:
        full = Disk(fails)
        patch.setattr(files, "append", full.append)
        yield full


class Failing:
    """Runs of one pipeline on a disk that fails in the middle."""

    def __init__(self, run: Runner) -> None:
        self.runner = run
        self.functions = module(run.root, FUNCTIONS)
        for folder in ("begun", "ended", "pids"):
            (run.root / folder).mkdir()

    def run(self, workers: int, fails: Callable[[int], bool]) -> tuple[int, list[Event]]:
        """Run it, and hold what was told and what was done against the record.

        Gives how many records were to be written, and what was told.
        """
        for folder in ("begun", "ended", "pids"):
            for path in (self.runner.root / folder).iterdir():
                path.unlink()
        runs_before = set(self.runner.store.run_ids())
        events: list[Event] = []
        with disk(fails) as full, nothing_left_behind():
            raised = self._run(workers, events)
        assert (raised is not None) == full.failed.is_set(), "a failure must not go unnoticed"
        assert raised is None or "No space left on device" in str(raised)
        new = set(self.runner.store.run_ids()) - runs_before
        if not new:
            assert events == []
            return full.calls, events
        (run_id,) = new
        self._check(run_id, events, failed=full.failed.is_set())
        return full.calls, events

    def _run(self, workers: int, events: list[Event]) -> OSError | RunStoreError | None:
        store, options = self.runner.store, Options(workers)
        try:
            run_pipeline(self._pipeline(), store, options, handlers=[events.append])
        except (OSError, RunStoreError) as error:
            return error
        return None

    def _pipeline(self) -> Any:
        root = {"root": str(self.runner.root)}
        return self.runner.pipeline(
            stage(
                shell("s1", LINE),
                call("c1", f"{self.functions}:work", root),
                shell("s2", LINE),
                call("c2", f"{self.functions}:work", root),
                shell("s3", LINE),
                name="first",
            ),
            stage(shell("s4", LINE), call("c3", f"{self.functions}:work", root), name="second"),
        )

    def _check(self, run_id: str, events: list[Event], *, failed: bool) -> None:
        assert self.runner.store.verify(run_id, strict=True).errors == []
        view = self.runner.store.read(run_id)
        for event in events:
            if isinstance(event, JobFinished):
                job = view.jobs[event.job_id]
                assert job.status == event.outcome.status
                assert job.attempts[-1].end["status"] == event.outcome.status
        if failed:
            assert not any(isinstance(event, RunFinished) for event in events)
            assert view.status in {"running", "crashed", "failed"}
        root = self.runner.root
        shells = {name for name in os.listdir(root / "begun") if not name.startswith("c")}
        assert shells <= set(os.listdir(root / "ended")), "running jobs are waited for"
        assert not any(map(is_running, pids_in(root / "pids")))


@pytest.mark.parametrize("workers", [1, 4])
def test_a_disk_that_is_full_from_some_record_on(run: Runner, workers: int) -> None:
    failing = Failing(run)
    records, events = failing.run(workers, lambda _number: False)
    assert isinstance(events[-1], RunFinished)
    assert records > 30
    for first in range(1, records + 1):
        failing.run(workers, lambda number, first=first: number >= first)  # type: ignore[misc]


@pytest.mark.parametrize("workers", [1, 4])
def test_a_single_write_that_fails(run: Runner, workers: int) -> None:
    failing = Failing(run)
    records, _ = failing.run(workers, lambda _number: False)
    for which in range(2, records + 1, 3):
        failing.run(workers, lambda number, which=which: number == which)  # type: ignore[misc]


def test_jobs_that_run_are_waited_for_and_nothing_more_starts(run: Runner) -> None:
    line = (
        "while [ ! -e failed ]; do sleep 0.01; done; sleep 0.2; touch finished-$LORCHESTRA_JOB_ID"
    )
    jobs = [shell("bad", "true"), shell("slow1", line), shell("slow2", line)]
    rest = [shell(f"rest{n}", "touch must-not-be") for n in range(5)]
    events: list[Event] = []

    with pytest.MonkeyPatch.context() as patch:
        append = files.append

        def failing(descriptor: int, data: bytes) -> None:
            if b'"event":"end"' in data and b'"exit_code":0' in data and not failed():
                eventually(lambda: data_of("slow1") and data_of("slow2"))
                (run.root / "failed").touch()
                raise OSError(errno.EIO, "Input/output error")
            append(descriptor, data)

        def failed() -> bool:
            return (run.root / "failed").exists()

        def data_of(job: str) -> bool:
            return any(
                b'"process"' in path.read_bytes() for path in run.root.rglob(f"{job}.a1.jsonl")
            )

        patch.setattr(files, "append", failing)
        with pytest.raises(OSError, match="Input/output error"), nothing_left_behind():
            run_pipeline(
                run.pipeline(
                    stage(*jobs, *rest), stage(shell("later", "touch must-not-be"), name="x")
                ),
                run.store,
                Options(3),
                handlers=[events.append],
            )
    assert (run.root / "finished-slow1").exists()
    assert (run.root / "finished-slow2").exists()
    assert not (run.root / "must-not-be").exists()
    finished = {event.job_id for event in events if isinstance(event, JobFinished)}
    assert finished == {"slow1", "slow2"}
    (run_id,) = run.store.run_ids()
    view = run.store.read(run_id)
    assert {name: view.jobs[name].status for name in finished} == {
        "slow1": "succeeded",
        "slow2": "succeeded",
    }
    assert run.store.verify().ok


def test_a_log_that_cannot_be_made_ends_the_run_too(run: Runner, tmp_path: Path) -> None:
    def remove_logs(event: Event) -> None:
        if type(event).__name__ == "StageStarted":
            (logs,) = run.root.glob("store/runs/*/logs")
            logs.rmdir()

    jobs = [shell("a", "touch must-not-be"), shell("b", "touch must-not-be")]
    with nothing_left_behind(), pytest.raises(FileNotFoundError):
        run_pipeline(run.pipeline(*jobs), run.store, Options(2), handlers=[remove_logs])
    assert not (tmp_path / "must-not-be").exists()
    assert run.store.verify().ok


def test_a_child_python_whose_start_cannot_be_recorded_ends_all_the_same(run: Runner) -> None:
    def fails(_number: int) -> bool:
        return any(b'"begin"' in path.read_bytes() for path in run.root.rglob("a.a1.jsonl"))

    with disk(fails), nothing_left_behind(), pytest.raises(OSError, match="No space left"):
        run_pipeline(run.pipeline(call("a", "os:getpid", env={"A": "1"})), run.store)


def test_where_the_record_of_an_inner_run_is_lost_no_other_goes_on(run: Runner) -> None:
    names = [f"j{n}" for n in range(50)]
    inner = [
        Pipeline(f"inner{n}", (stage(*(shell(name, ":") for name in names)),), run.root)
        for n in range(3)
    ]
    jobs = [Job(each.id, SubPipeline(each.id, each)) for each in inner]
    with (
        disk(lambda number: number == 120),
        nothing_left_behind(),
        pytest.raises(OSError, match="No"),
    ):
        run_pipeline(run.pipeline(*jobs), run.store, Options(3))
    assert len(run.store.run_ids()) == 4
    for run_id in run.store.run_ids():
        view = run.store.read(run_id)
        assert view.status != "succeeded"
        begun = [job for job in view.jobs.values() if job.attempts]
        assert len(begun) < len(names)
