"""Which job of a stage starts next, and which one has to wait: pure decisions, no I/O, no clock.

Jobs start in the order written. One that is to be tried again waits its time out here: it takes up
no worker meanwhile. Not thread-safe.
"""

from __future__ import annotations

import heapq
import itertools
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
        self._jobs = iter(jobs)
        self._stop_on_failure = stop_on_failure
        self._waiting: list[_Waiting] = []
        self._numbers = itertools.count()
        self._may_come_back = 0  # jobs at work that may be tried again

    def next(self, now: float) -> Turn | Wait | None:
        """What to start now; None: there is nothing to start any more.

        Args:
            now: The time, by a clock that never steps back, in seconds.
        """
        if self.halted_by is not None:
            return None
        turn = self._due(now) or self._new()
        if turn is not None:
            turn.tries += 1
            turn.began = now if turn.began is None else turn.began
            self._may_come_back += turn.job.retries is not None
            return turn
        if self._waiting:
            return Wait(self._waiting[0].ready_at - now)
        return Wait(None) if self._may_come_back else None

    def finished(self, turn: Turn, outcome: Outcome, again_in_s: float | None, now: float) -> None:
        """Take in how an attempt ended.

        Args:
            turn: What was started.
            outcome: How it ended.
            again_in_s: When the job is to be tried again; None: it is not.
            now: The time.
        """
        self._may_come_back -= turn.job.retries is not None
        if again_in_s is not None:
            waiting = _Waiting(now + again_in_s, next(self._numbers), turn, outcome)
            heapq.heappush(self._waiting, waiting)
        elif self._stop_on_failure and not (outcome.succeeded or outcome.allowed):
            self.halt(f"job {turn.job.id!r} did not succeed")

    def halt(self, reason: str) -> None:
        """Start nothing more."""
        self.halted_by = self.halted_by or reason

    def rest(self) -> list[Job]:
        """The jobs that never started."""
        return list(self._jobs)

    def given_up(self) -> list[GivenUp]:
        """The jobs that were to be tried again when the queue was halted, in that order."""
        found = sorted(self._waiting)
        self._waiting.clear()
        return [GivenUp(each.turn.job, each.turn.tries, each.outcome) for each in found]

    def _due(self, now: float) -> Turn | None:
        """The job whose wait is over."""
        if self._waiting and self._waiting[0].ready_at <= now:
            return heapq.heappop(self._waiting).turn
        return None

    def _new(self) -> Turn | None:
        job = next(self._jobs, None)
        return None if job is None else Turn(job)
