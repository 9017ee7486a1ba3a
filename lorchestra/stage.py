"""Run the jobs of one stage, and stop starting them when there is a reason to."""

from __future__ import annotations

import threading
from collections import Counter

from lorchestra.attempt import JobAttempt, Surroundings
from lorchestra.executors import Say, ThreadTeam
from lorchestra.model import Job, Outcome, Stage
from lorchestra.plan import StageQueue
from lorchestra.progress import Event, JobFinished, JobStarted


class StageRun:
    """One stage of one run.

    Attributes:
        queue: The jobs that have not started, and why they will not.
        counts: How many jobs ended how.
        hung: Whether functions are still in their threads that did not react to a stop.
    """

    def __init__(self, around: Surroundings, stage: Stage, *, stop_on_failure: bool) -> None:
        self.queue = StageQueue(stage.jobs, stop_on_failure=stop_on_failure)
        self.counts: Counter[str] = Counter()
        self.hung = False
        self._around = around
        self._stage = stage
        self._turn = threading.Lock()
        self._running: dict[int, JobAttempt] = {}
        self._error: BaseException | None = None

    def run(self, workers: int, hear: Say[Event]) -> None:
        """Run the jobs: one worker in this thread, more in the threads of a pool.

        Args:
            workers: How many jobs run at once.
            hear: Called in this thread with every event.

        Raises:
            RunStoreError, OSError: The record cannot be written. Running jobs were waited for.
        """
        if workers == 1:
            self._work(0, hear)
        else:
            team: ThreadTeam[Event] = ThreadTeam(workers)
            self._around.stop.when_forced = team.look_up
            team.run(self._work, hear, self._give_up_hung)
            self._around.stop.when_forced = None
        if self._error is not None:
            raise self._error

    def _work(self, worker: int, say: Say[Event]) -> None:
        """Run one job after another until there is none to start."""
        try:
            while (job := self._next()) is not None:
                self._run_job(worker, job, say)
        except BaseException as error:  # noqa: BLE001 - raised again by `run`, in its thread
            self._note(error)

    def _note(self, error: BaseException) -> None:
        with self._turn:
            self._error = self._error or error

    def _next(self) -> Job | None:
        with self._turn:
            if self._around.is_stopping():
                self.queue.halt("the run was interrupted")
            if self._error is not None:
                self.queue.halt("the record cannot be written")
            return self.queue.next()

    def _run_job(self, worker: int, job: Job, say: Say[Event]) -> None:
        attempt = JobAttempt(self._around, job)
        say(JobStarted(self._stage.name, job.id, attempt.number))
        self._running[worker] = attempt
        try:
            outcome = attempt.run()
        finally:
            del self._running[worker]
        if outcome is not None:
            self._finish(attempt, outcome, say)

    def _finish(self, attempt: JobAttempt, outcome: Outcome, say: Say[Event]) -> None:
        with self._turn:
            self.counts[outcome.status] += 1
            self.queue.finished(attempt.job, outcome)
        say(
            JobFinished(
                self._stage.name,
                attempt.job.id,
                attempt.number,
                outcome,
                attempt.duration_s,
                attempt.log_path,
            )
        )

    def _give_up_hung(self, say: Say[Event]) -> set[int]:
        """Record as interrupted the functions that did not react to the stop in time."""
        hung = set()
        for worker, attempt in list(self._running.items()):
            if attempt.is_in_thread and self._abandon(attempt, say):
                hung.add(worker)
        self.hung = bool(hung)
        return hung

    def _abandon(self, attempt: JobAttempt, say: Say[Event]) -> bool:
        """Wait for an attempt no more; False: it has just ended by itself."""
        try:
            outcome = attempt.abandon()
        except BaseException as error:  # noqa: BLE001 - raised again by `run`
            self._note(error)
            return True
        if outcome is not None:
            self._finish(attempt, outcome, say)
        return outcome is not None
