"""In which order the jobs of a stage start: as written, or the longest first. Pure, no I/O.

Longest first is list scheduling by processing time (Graham, "Bounds on Multiprocessing Timing
Anomalies", 1969): with M workers it takes at most 4/3 - 1/(3 M) of the shortest time there is, and
mostly far less than that, where an order that knows nothing can take 2 - 1/M.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from lorchestra.model import DECLARED, Job

# Times that differ by less than a tenth, or are below a tenth of a second, are taken for equal: so
# chance does not reorder jobs that are alike.
_ALIKE, _SHORT_S = 1.1, 0.1


def start_order(
    jobs: Sequence[Job],
    workers: int,
    schedule: str,
    seconds: Callable[[], Mapping[str, float]],
) -> list[Job] | None:
    """In which order the jobs of a stage start; None: as written.

    Args:
        jobs: The jobs of the stage.
        workers: How many at once.
        schedule: One of `model.SCHEDULES`.
        seconds: Gives how long jobs took before; called only where that makes a difference.
    """
    if schedule == DECLARED or workers == 1 or workers >= len(jobs):
        return None
    return longest_first(jobs, seconds())


def longest_first(jobs: Sequence[Job], seconds: Mapping[str, float]) -> list[Job] | None:
    """The jobs, those that took longest before at the front; else as they stand.

    Args:
        jobs: The jobs of a stage.
        seconds: How long some of them took, or other items of their loops.

    Returns:
        The order; None: it is the one that they have.

    One that has not run before counts as the middle of the other items of its loop, else of all
    others. In a loop of a stage an item counts as all of its jobs that are still to run.
    """
    guessed = _guesses(jobs, seconds)
    if not guessed:
        return None
    ahead = dict(guessed)
    for job in reversed(jobs):
        if job.item is not None and job.item.after in ahead:
            ahead[job.item.after] += ahead[job.id]
    ordered = sorted(jobs, key=lambda job: -_size(ahead[job.id]))
    return None if ordered == [*jobs] else ordered


def _guesses(jobs: Sequence[Job], seconds: Mapping[str, float]) -> dict[str, float]:
    """How long each job will take; empty: nothing is known of any."""
    known = [seconds[job.id] for job in jobs if job.id in seconds]
    if not known:
        return {}
    of_loop: dict[str, list[float]] = defaultdict(list)
    for job in jobs:
        if job.item is not None and job.id in seconds:
            of_loop[job.item.of].append(seconds[job.id])
    middle = statistics.median(known)
    middles = {name: statistics.median(each) for name, each in of_loop.items()}
    return {
        job.id: seconds.get(job.id, middles.get(job.item.of if job.item else "", middle))
        for job in jobs
    }


def _size(seconds: float) -> int:
    return math.ceil(math.log(seconds / _SHORT_S, _ALIKE)) if seconds > _SHORT_S else 0
