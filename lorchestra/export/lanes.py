"""Which attempts were at work side by side: as few lanes as there were workers."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

from lorchestra.report.text import moment_of
from runstore import Attempt, Job, RunView


class Span(NamedTuple):
    """One attempt in time.

    Attributes:
        begin_s: When it began, in seconds since 1970.
        end_s: When it ended; that of the last thing known where nothing tells.
        lane: Which worker it may have been on, from 0: no two attempts of one lane overlap.
        job: Its job.
        attempt: What is recorded of it.
    """

    begin_s: float
    end_s: float
    lane: int
    job: Job
    attempt: Attempt


def spans(view: RunView, now_s: float | None = None) -> list[Span]:
    """The attempts of a run in the order in which they began.

    Args:
        view: The run.
        now_s: Until when those without an end are drawn, in seconds since 1970; None: until the
            last moment that another one tells.

    Attempts whose own beginning is not recorded are left out. Costs n log n.
    """
    known = sorted(_timed(view), key=lambda each: each[0])
    last_s = now_s or max((end or begin for begin, end, _, _ in known), default=0.0)
    found: list[Span] = []
    at_work: list[tuple[float, int]] = []
    free: list[int] = []
    for begin_s, ended_s, job, attempt in known:
        end_s = max(begin_s, last_s if ended_s is None else ended_s)
        while at_work and at_work[0][0] <= begin_s:
            heapq.heappush(free, heapq.heappop(at_work)[1])
        lane = heapq.heappop(free) if free else len(at_work)
        heapq.heappush(at_work, (end_s, lane))
        found.append(Span(begin_s, end_s, lane, job, attempt))
    return found


def _timed(view: RunView) -> Iterator[tuple[float, float | None, Job, Attempt]]:
    for job in (*view.jobs.values(), *view.removed.values()):
        for attempt in job.attempts:
            began, ended = moment_of(attempt.started), moment_of(attempt.ended)
            if began is not None:
                yield began.timestamp(), ended.timestamp() if ended else None, job, attempt
