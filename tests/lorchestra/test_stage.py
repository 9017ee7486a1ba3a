"""One stage: what starts, and why it stops, also when functions hang and records fail."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lorchestra.attempt import JobAttempt, Surroundings
from lorchestra.binding import Values
from lorchestra.call import importing_from
from lorchestra.capture import captured
from lorchestra.model import Job, Outcome, Pipeline, Stage
from lorchestra.progress import Event, JobFinished, JobStarted
from lorchestra.signals import Interruptible
from lorchestra.stage import StageRun
from lorchestra.stop import Stop
from runstore import RunStore
from tests.lorchestra.running import call, eventually, module, shell

FUNCTIONS = """
    import threading
    begun, go_on = threading.Barrier(2), threading.Event()
    def hang():
        begun.wait(20)
        go_on.wait(20)
"""


KILLED = shell("killed", ": > killed; exec sleep 600")


class Staged:
    """One stage in a run of its own, stopped when all its functions hang."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = RunStore(folder / "store", "os")
        self.functions = module(folder, FUNCTIONS)
        self.stop = Stop()
        self.events: list[Event] = []

    def run(self, *jobs: Job, workers: int) -> StageRun:
        pipeline = Pipeline("p", (Stage("s", jobs),), self.folder)
        with self.store.create_run(pipeline="p", jobs=[job.id for job in jobs]) as run:
            values = Values(pipeline, {}, {})
            around = Surroundings(pipeline, run, run.id, self.stop, {}, Interruptible(), values)
            self.stage_run = StageRun(around, pipeline.stages[0], stop_on_failure=False)
            self.stage_run.run(workers, self.events.append)
            self.run_id = run.id
            return self.stage_run

    def force_when_begun(self) -> threading.Thread:
        def force() -> None:
            # A module is listed before its names are there.
            eventually(lambda: hasattr(sys.modules.get(self.functions), "hang"))
            sys.modules[self.functions].begun.wait(20)
            eventually((self.folder / "killed").exists)
            self.stop.request(15)
            self.stop.force()

        thread = threading.Thread(target=force)
        thread.start()
        return thread

    def let_go(self) -> None:
        sys.modules[self.functions].go_on.set()


@pytest.fixture
def staged(tmp_path: Path) -> Iterator[Staged]:
    stage = Staged(tmp_path)
    with importing_from(tmp_path), captured():
        try:
            yield stage
        finally:
            if stage.functions in sys.modules:
                stage.let_go()


def test_counts_tell_how_jobs_ended(staged: Staged) -> None:
    stage_run = staged.run(shell("a", ":"), shell("b", "false"), shell("c", ":"), workers=2)
    assert stage_run.counts == {"succeeded": 2, "failed": 1}
    assert (stage_run.hung, stage_run.queue.rest()) == (False, [])


def test_a_function_that_hangs_is_given_up_and_the_others_are_waited_for(staged: Staged) -> None:
    thread = staged.force_when_begun()
    jobs = [call("hung", f"{staged.functions}:hang"), KILLED]
    stage_run = staged.run(*jobs, shell("rest", ":"), workers=2)
    thread.join()
    assert stage_run.hung
    assert stage_run.counts == {"interrupted": 2}
    assert [job.id for job, _ in stage_run.queue.rest()] == ["rest"]
    assert staged.stop.when_forced is None
    finished = {e.job_id: e.outcome.status for e in staged.events if isinstance(e, JobFinished)}
    assert finished == {"hung": "interrupted", "killed": "interrupted"}


def test_the_start_of_a_job_is_heard_before_its_end_even_of_one_given_up(staged: Staged) -> None:
    thread = staged.force_when_begun()
    staged.run(call("hung", f"{staged.functions}:hang"), KILLED, workers=2)
    thread.join()
    for job_id in ("hung", "killed"):
        told = [type(e) for e in staged.events if getattr(e, "job_id", None) == job_id]
        assert told == [JobStarted, JobFinished]


@pytest.mark.parametrize("error", [OSError(28, "No space left"), RuntimeError("a bug")])
def test_an_abandoned_attempt_that_cannot_be_recorded_is_an_error_and_nobody_waits(
    staged: Staged, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_attempt: JobAttempt) -> None:
        raise error

    monkeypatch.setattr(JobAttempt, "abandon", fail)
    thread = staged.force_when_begun()
    jobs = [call("hung", f"{staged.functions}:hang"), KILLED]
    with pytest.raises(type(error)):
        staged.run(*jobs, workers=2)
    thread.join()
    assert staged.stage_run.hung
    assert [e.job_id for e in staged.events if isinstance(e, JobFinished)] == ["killed"]


def test_one_that_ends_by_itself_at_that_moment_is_no_hung_one(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = JobAttempt.abandon

    def abandon(attempt: JobAttempt) -> Outcome | None:
        staged.let_go()
        eventually(lambda: attempt.duration_s)
        return real(attempt)

    monkeypatch.setattr(JobAttempt, "abandon", abandon)
    thread = staged.force_when_begun()
    jobs = [call("a", f"{staged.functions}:hang"), KILLED]
    stage_run = staged.run(*jobs, workers=2)
    thread.join()
    assert not stage_run.hung
    assert stage_run.counts == {"succeeded": 1, "interrupted": 1}


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_error_of_a_worker_is_raised_when_all_have_left(
    staged: Staged, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    run: Callable[[JobAttempt], Outcome | None] = JobAttempt.run

    def failing(attempt: JobAttempt) -> Outcome | None:
        outcome = run(attempt)
        if attempt.job.id == "bad":
            raise RuntimeError("a bug")
        return outcome

    monkeypatch.setattr(JobAttempt, "run", failing)
    line = "until [ -e slow ]; do sleep 0.01; done" if workers == 2 else ":"
    jobs = [shell("bad", line), shell("slow", ": > slow; sleep 0.1"), shell("rest", ":")]
    with pytest.raises(RuntimeError, match="a bug"):
        staged.run(*jobs, workers=workers)
    (run_id,) = staged.store.run_ids()
    statuses = {job.id: job.status for job in staged.store.read(run_id).jobs.values()}
    assert statuses == {
        "bad": "succeeded",
        "slow": "succeeded" if workers == 2 else "planned",
        "rest": "planned",
    }
    assert [e.job_id for e in staged.events if isinstance(e, JobFinished)] == (
        ["slow"] if workers == 2 else []
    )
