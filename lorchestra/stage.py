"""Run the jobs of one stage, and stop starting them when there is a reason to."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lorchestra.attempt import JobAttempt, Surroundings
from lorchestra.durations import written
from lorchestra.model import Job, Outcome, Stage, SubPipeline
from lorchestra.progress import Event, JobFinished, JobGivenUp, JobHeld, JobStarted
from lorchestra.queue import GivenUp, Held, StageQueue, Wait
from lorchestra.retrying import Turn
from lorchestra.seats import Seats
from lorchestra.stop import Cause

if TYPE_CHECKING:
    from lorchestra.executors import Say


class StageRun:
    """One stage of one run.

    Attributes:
        queue: The jobs that have not started, and why they will not.
        counts: How many jobs ended how.
        hung: Whether functions are still in their threads that did not react to a stop.
    """

    def __init__(
        self,
        around: Surroundings,
        stage: Stage,
        *,
        stop_on_failure: bool,
        order: Sequence[Job] | None = None,
    ) -> None:
        """Line the jobs up; `order`: in which they start, None: as written."""
        self.queue = StageQueue(
            stage.jobs,
            stop_on_failure=stop_on_failure,
            limits=around.limits,
            seating=_Seating(around.seats),
            order=order,
        )
        self.counts: Counter[str] = Counter()
        self.hung = False
        self._stop_on_failure = stop_on_failure
        self._around = around
        self._stage = stage
        self._changed = threading.Condition(threading.Lock())
        self._idle = 0  # workers that wait for something to start
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
        stop, seats = self._around.stop, self._around.seats
        stop.when_requested = self._wake
        if seats is not None:
            seats.listen(self._wake)
        if workers == 1 and not self._must_be_left():
            self._work(0, hear)
        else:
            # Not before: one after another is done without a pool.
            from lorchestra.executors import ThreadTeam

            team: ThreadTeam[Event] = ThreadTeam(workers)
            stop.when_forced = team.look_up
            team.run(self._work, hear, self._give_up_hung)
        stop.when_requested = stop.when_forced = None
        if seats is not None:
            seats.leave(self._wake)
        if self._error is not None:
            raise self._error
        if self._around.is_stopping():
            # Where all workers were given up, none of them has come to ask for the next job.
            self.queue.halt(self._around.why_stopping())
        for given in self.queue.given_up():
            self._tell_given_up(given, self.queue.halted_by or "", hear)

    def _must_be_left(self) -> bool:
        """Whether a function may run here that nothing can interrupt: this thread must not wait."""
        in_main_thread = threading.current_thread() is threading.main_thread()
        return not in_main_thread and any(job.is_in_thread for job in self._stage.jobs)

    def _work(self, worker: int, say: Say[Event]) -> None:
        """Run one job after another until there is none to start."""
        try:
            while (turn := self._next(say)) is not None:
                self._run_job(worker, turn, say)
        except BaseException as error:  # noqa: BLE001 - raised again by `run`, in its thread
            self._note(error)

    def _note(self, error: BaseException) -> None:
        self._around.lost.set()
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def _wake(self) -> None:
        """Let the workers that wait look again."""
        with self._changed:
            self._changed.notify_all()

    def _next(self, say: Say[Event]) -> Turn | None:
        """Wait until there is a job to start; None: there will be none."""
        while True:
            # Outside the lock: asking may stop the run, which wakes those who wait under it.
            is_stopping = self._around.is_stopping()
            with self._changed:
                if is_stopping:
                    self.queue.halt(self._around.why_stopping())
                if self._around.lost.is_set():
                    self.queue.halt("the record cannot be written")
                now = time.monotonic()
                overdue = self.queue.overdue(now)
                found, held = self.queue.next(now), self.queue.held(now)
                if not isinstance(found, Wait):
                    self._leave_line()
                    self._changed.notify_all()
                elif not held and not overdue and not self._around.stop.requested:
                    self._wait(found.seconds)
            for each in held:
                self._tell_held(each, say)
            for given in overdue:
                total = written(given.job.total_timeout_s or 0)
                self._tell_given_up(given, f"all attempts together may take {total}", say)
            if not isinstance(found, Wait):
                return found

    def _wait(self, seconds: float | None) -> None:
        self._idle += 1
        try:
            self._changed.wait(seconds)
        finally:
            self._idle -= 1

    def _leave_line(self) -> None:
        """Let other runs have the limits that nobody here waits for any more."""
        if self._idle == 0:
            self._around.limits.stand_aside()

    def _tell_held(self, held: Held, say: Say[Event]) -> None:
        """Record and tell that a job waits for limits, and for which."""
        what = tuple(map(str, held.shortages))
        self._around.run.append("limit_wait", of=held.job.id, limits=list(what))
        say(JobHeld(self._stage.name, held.job.id, what))

    def _run_job(self, worker: int, turn: Turn, say: Say[Event]) -> None:
        try:
            self._try_job(worker, turn, say)
        finally:
            _Seating(self._around.seats).leave(turn.job)

    def _try_job(self, worker: int, turn: Turn, say: Say[Event]) -> None:
        attempt = JobAttempt(self._around, turn, say)
        say(JobStarted(self._stage.name, turn.job.id, attempt.number, attempt.log_path))
        self._running[worker] = attempt
        try:
            outcome = attempt.run()
        finally:
            del self._running[worker]
        if outcome is not None:
            self._finish(attempt, outcome, say)

    def _finish(self, attempt: JobAttempt, outcome: Outcome, say: Say[Event]) -> None:
        again_in_s = attempt.again_in_s
        with self._changed:
            if again_in_s is None:
                self.counts[outcome.status] += 1
            self.queue.finished(attempt.turn, outcome, again_in_s, time.monotonic())
            self._changed.notify_all()
        self._stop_others(attempt, outcome)
        say(
            JobFinished(
                self._stage.name,
                attempt.job.id,
                attempt.number,
                outcome,
                attempt.duration_s,
                attempt.log_path,
                again_in_s,
            )
        )

    def _stop_others(self, attempt: JobAttempt, outcome: Outcome) -> None:
        """Stop the jobs at work, if this one's failure means that."""
        is_failure = attempt.again_in_s is None and not (outcome.succeeded or outcome.allowed)
        if is_failure and self._stop_on_failure and self._around.pipeline.halt == "now":
            self._around.stop.end(Cause(f"stopped because job {attempt.job.id!r} did not succeed"))

    def _tell_given_up(self, given: GivenUp, reason: str, hear: Say[Event]) -> None:
        """Record that a job that was to be tried again will not be."""
        job, tries, outcome = given
        self._around.run.append("retry_cancelled", of=job.id, reason=reason)
        with self._changed:
            self.counts[outcome.status] += 1
        hear(JobGivenUp(self._stage.name, job.id, tries, outcome, reason))

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


class _Seating:
    """Where the jobs of a stage sit; one that is a pipeline needs no seat: its jobs do."""

    def __init__(self, seats: Seats | None) -> None:
        self._seats = seats

    def has_seat(self, job: Job) -> bool:
        """Whether there is a seat, or the job needs none."""
        seats = self._for(job)
        return seats is None or seats.has_free()

    def sit_down(self, job: Job) -> bool:
        """Take a seat if the job needs one; False: there is none."""
        seats = self._for(job)
        return seats is None or seats.take()

    def leave(self, job: Job) -> None:
        """Give it back when the job has ended; all who wait for one look again."""
        if (seats := self._for(job)) is not None:
            seats.give_back()

    def _for(self, job: Job) -> Seats | None:
        return None if isinstance(job.action, SubPipeline) else self._seats
