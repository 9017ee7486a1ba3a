"""Whether a job is tried again, when, and how long the next attempt may take: pure decisions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from lorchestra.deadline import Limit
from lorchestra.durations import written
from lorchestra.model import Job, Outcome, Retries
from lorchestra.stop import Cause


@dataclass(slots=True)
class Turn:
    """A job that is to be started, for the first time or again.

    Attributes:
        job: The job.
        tries: How many attempts it has had, the one at work counted; those of before a resume are
            not.
        began: When the first of them started, by the monotonic clock; None: it has had none.
        descriptors: What keeps its limits taken while its process is at work.
    """

    job: Job
    tries: int = 0
    began: float | None = None
    descriptors: Sequence[int] = ()

    def left_s(self, now: float) -> float | None:
        """Seconds that are left to all attempts together; None: they are not limited."""
        if self.job.total_timeout_s is None:
            return None
        return self.job.total_timeout_s - (0.0 if self.began is None else now - self.began)


def limit(turn: Turn, now: float, grace_s: float) -> Limit | None:
    """How long the attempt that starts now may take; None: for ever."""
    job, left_s = turn.job, turn.left_s(now)
    if left_s is not None and (job.timeout_s is None or left_s < job.timeout_s):
        text = f"timed out: all attempts together may take {written(job.total_timeout_s or 0)}"
        return Limit(left_s, Cause(text, "timed_out"), grace_s)
    if job.timeout_s is None:
        return None
    return Limit(
        job.timeout_s, Cause(f"timed out after {written(job.timeout_s)}", "timed_out"), grace_s
    )


def delay_s(
    turn: Turn, outcome: Outcome, now: float, chance: random.Random | None = None
) -> float | None:
    """How many seconds after this outcome the job is tried again; None: it is not.

    Args:
        turn: The job, with the attempt that has just ended counted.
        outcome: How that ended.
        now: When, by the monotonic clock.
        chance: What shortens a wait with jitter; None: the random numbers of the program.
    """
    retries = turn.job.retries
    if retries is None or turn.tries > retries.max or not _is_worth_it(retries, outcome):
        return None
    delay = backoff_s(retries, turn.tries, chance)
    left_s = turn.left_s(now)
    return None if left_s is not None and delay >= left_s else delay


def backoff_s(retries: Retries, tries: int, chance: random.Random | None = None) -> float:
    """How long to wait after so many attempts, in seconds.

    Exponential backoff. With jitter it is "equal jitter": half of the wait for certain, the other
    half times a random number (Marc Brooker, "Exponential Backoff And Jitter", AWS, 2015).
    """
    try:
        wait = retries.backoff_s * retries.factor ** (tries - 1)
    except OverflowError:
        wait = retries.max_backoff_s
    wait = min(wait, retries.max_backoff_s)
    if retries.jitter:
        wait *= 0.5 + 0.5 * (chance.random() if chance else random.random())  # noqa: S311
    return round(wait, 6)


def _is_worth_it(retries: Retries, outcome: Outcome) -> bool:
    if outcome.status not in {"failed", "timed_out"}:
        return False
    return retries.on_exit_codes is None or outcome.exit_code in retries.on_exit_codes
