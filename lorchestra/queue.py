"""Which job of a stage starts next, and which one has to wait: pure decisions, no I/O, no clock.

Jobs start in the order written; in a loop one of an item starts when the one before it has ended.
One that is to be tried again waits its time out here: it takes up no worker meanwhile. Not
thread-safe.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from lorchestra.model import Job, Outcome
from lorchestra.retrying import Turn


class Wait(NamedTuple):
    """There is nothing to start now, but there may be later.

    Attributes:
        seconds: When; None: not before something has ended.
    """

    seconds: float | None


class GivenUp(NamedTuple):
    """A job that was to be tried again, and will not be."""

    job: Job
    tries: int
    outcome: Outcome


class NotStarted(NamedTuple):
    """A job that never started, and why."""

    job: Job
    reason: str


class _Waiting(NamedTuple):
    ready_at: float
    number: int
    turn: Turn
    outcome: Outcome


class StageQueue:
    """The jobs of a stage that are to be started.

    Attributes:
        halted_by: Why nothing more is started; None: more is.
    """

    def __init__(self, jobs: Sequence[Job], *, stop_on_failure: bool) -> None:
        self.halted_by: str | None = None
        self._stop_on_failure = stop_on_failure
        self._order = {job.id: number for number, job in enumerate(jobs)}
        # One whose predecessor does not run, because that is kept for example, does not wait.
        self._followers = {
            job.item.after: job
            for job in jobs
            if job.item is not None and job.item.after in self._order
        }
        following = {job.id for job in self._followers.values()}
        self._jobs = deque(job for job in jobs if job.id not in following)
        self._without = dict[str, NotStarted]()  # those whose predecessor did not succeed
        self._waiting: list[_Waiting] = []
        self._numbers = itertools.count()
        self._may_bring_more = 0  # jobs at work that may be tried again, or that others wait for

    def next(self, now: float) -> Turn | Wait | None:
        """What to start now; None: there is nothing to start any more.

        Args:
            now: The time, by a clock that never steps back, in seconds.
        """
        found = self.look(now)
        if isinstance(found, Turn):
            self.take(found, now)
        return found

    def look(self, now: float) -> Turn | Wait | None:
        """What `next` would give, which stays where it is."""
        if self.halted_by is not None:
            return None
        if self._waiting and self._waiting[0].ready_at <= now:
            return self._waiting[0].turn
        if self._jobs:
            return Turn(self._jobs[0])
        if self._waiting:
            return Wait(self._waiting[0].ready_at - now)
        return Wait(None) if self._may_bring_more else None

    def take(self, turn: Turn, now: float) -> None:
        """Start what `look` has just given."""
        if self._waiting and self._waiting[0].turn is turn:
            heapq.heappop(self._waiting)
        else:
            self._jobs.popleft()
        turn.tries += 1
        turn.began = now if turn.began is None else turn.began
        self._may_bring_more += self._brings_more(turn.job)

    def finished(self, turn: Turn, outcome: Outcome, again_in_s: float | None, now: float) -> None:
        """Take in how an attempt ended.

        Args:
            turn: What was started.
            outcome: How it ended.
            again_in_s: When the job is to be tried again; None: it is not.
            now: The time.
        """
        self._may_bring_more -= self._brings_more(turn.job)
        if again_in_s is not None:
            waiting = _Waiting(now + again_in_s, next(self._numbers), turn, outcome)
            heapq.heappush(self._waiting, waiting)
            return
        is_failure = not (outcome.succeeded or outcome.allowed)
        self._let_follow(turn.job, is_failure=is_failure)
        if self._stop_on_failure and is_failure:
            self.halt(f"job {turn.job.id!r} did not succeed")

    def halt(self, reason: str) -> None:
        """Start nothing more."""
        self.halted_by = self.halted_by or reason

    def rest(self) -> list[NotStarted]:
        """The jobs that never started, in the order written."""
        halted = [*self._jobs, *self._followers.values()]
        reasons = {job.id: NotStarted(job, self.halted_by or "") for job in halted} | self._without
        return sorted(reasons.values(), key=lambda each: self._order[each.job.id])

    def _brings_more(self, job: Job) -> bool:
        return job.retries is not None or job.id in self._followers

    def _let_follow(self, job: Job, *, is_failure: bool) -> None:
        """Let the next job of the item start, or none of the item's any more."""
        follower = self._followers.pop(job.id, None)
        if follower is None:
            return
        if not is_failure:
            self._jobs.appendleft(follower)
            return
        reason = f"job {job.id!r} did not succeed"
        while follower is not None:
            self._without[follower.id] = NotStarted(follower, reason)
            follower = self._followers.pop(follower.id, None)

    def given_up(self) -> list[GivenUp]:
        """The jobs that were to be tried again when the queue was halted, in that order."""
        found = sorted(self._waiting)
        self._waiting.clear()
        return [GivenUp(each.turn.job, each.turn.tries, each.outcome) for each in found]
