"""How long a run will take, by how long its jobs took before.

It is played through with the queue that the run itself uses, in a time that only jumps: so the
order in which jobs start, ceilings, limits and rates count as they will. What cannot be known
beforehand does not: failures, waits between attempts, and what other runs on the machine take.
"""

from __future__ import annotations

import heapq
import itertools
import statistics
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lorchestra.limits import Limits
from lorchestra.model import Job, Outcome, Pipeline, Stage
from lorchestra.ordering import start_order
from lorchestra.plan import workers_for
from lorchestra.queue import StageQueue, Wait
from lorchestra.retrying import Turn

_DONE = Outcome("succeeded")
# More workers are only better if they save as much as that.
_WORTH = 0.02
_MOST_WORKERS = 64


@dataclass(frozen=True, slots=True)
class StageForecast:
    """One stage of a run that has not been.

    Attributes:
        name: The stage.
        workers: How many jobs at once.
        seconds: How long it will take.
        last_job: The job that will end last; None: there is none to run.
    """

    name: str
    workers: int
    seconds: float
    last_job: str | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """A run that has not been.

    Attributes:
        stages: Its stages.
        unknown: The jobs that have not run before: they count as the middle of the others.
    """

    stages: tuple[StageForecast, ...]
    unknown: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """How long it will take."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def workers(self) -> int:
        """How many jobs at once, where it has most."""
        return max((stage.workers for stage in self.stages), default=0)


def forecast(
    pipeline: Pipeline,
    seconds: Mapping[str, float],
    max_workers: int | None,
    without: Collection[str] = (),
) -> Forecast | None:
    """Forecast a run.

    Args:
        pipeline: What will run, unfolded as far as it can be: a loop that is not takes the items
            that it had before.
        seconds: How long jobs took before.
        max_workers: How many at once; None: as the stages say.
        without: The jobs that will not run.

    Returns:
        The forecast; None: no job that will run has run before.
    """
    return _forecast(_to_run(pipeline, seconds, without), seconds, max_workers)


def _forecast(
    pipeline: Pipeline, seconds: Mapping[str, float], max_workers: int | None
) -> Forecast | None:
    known = [seconds[job.id] for job in pipeline.jobs if job.id in seconds]
    if not known:
        return None
    middle = statistics.median(known)
    took = {job.id: seconds.get(job.id, middle) for job in pipeline.jobs}
    limits = Limits(quota for quota in pipeline.limits if quota.scope == "run")
    now, found = 0.0, []
    for stage in pipeline.stages:
        workers = workers_for(stage, max_workers)
        order = start_order(stage.jobs, workers, pipeline.schedule, lambda: seconds)
        end, last = _played(_queue(stage, limits, order), took, workers, now)
        found.append(StageForecast(stage.name, workers, end - now, last))
        now = end
    return Forecast(tuple(found), tuple(job.id for job in pipeline.jobs if job.id not in seconds))


def by_workers(
    pipeline: Pipeline, seconds: Mapping[str, float], without: Collection[str] = ()
) -> list[tuple[int, float]]:
    """How long a run will take with 1 worker, with 2, and so on, as long as more are worth it."""
    pipeline = _to_run(pipeline, seconds, without)
    most = min(_MOST_WORKERS, max((len(stage.jobs) for stage in pipeline.stages), default=0))
    found: list[tuple[int, float]] = []
    for workers in _counts(most):
        run = _forecast(pipeline, seconds, workers)
        if run is None:
            break
        found.append((workers, run.seconds))
    least = min((took for _, took in found), default=0.0)
    enough = (workers for workers, took in found if took <= least * (1 + _WORTH))
    last = next(enough, 0)
    return [(workers, took) for workers, took in found if workers <= last]


def _counts(most: int) -> Iterator[int]:
    """1, 2, 3, 4, 6, 8, 12, 16, 24 and so on."""
    for power in itertools.count():
        for workers in sorted({2**power, 3 * 2**power // 2}):
            if workers > most:
                return
            yield workers


def _to_run(pipeline: Pipeline, seconds: Mapping[str, float], without: Collection[str]) -> Pipeline:
    """The pipeline with what will run, and with the items of before in place of other loops."""
    items: dict[str, list[str]] = defaultdict(list)
    for job_id in seconds:
        items[job_id.partition("[")[0]].append(job_id)
    return replace(
        pipeline,
        stages=tuple(
            replace(
                stage,
                loop=None,
                jobs=tuple(
                    replace(job, id=job_id, loop=None)
                    for job in stage.jobs
                    if job.id not in without
                    for job_id in ([job.id] if job.id in seconds else items[job.id] or [job.id])
                ),
            )
            for stage in pipeline.stages
        ),
    )


def _queue(stage: Stage, limits: Limits, order: Sequence[Job] | None) -> StageQueue:
    return StageQueue(stage.jobs, stop_on_failure=False, limits=limits, order=order)


def _played(
    queue: StageQueue, took: Mapping[str, float], workers: int, now: float
) -> tuple[float, str | None]:
    """Play a stage through; gives when it ends, and with which job."""
    at_work: list[tuple[float, int, Turn]] = []
    numbers, last = itertools.count(), None
    while True:
        queue.held(now)  # else it would ask to be looked at again, to tell of those who wait
        found = queue.next(now) if len(at_work) < workers else Wait(None)
        if isinstance(found, Turn):
            heapq.heappush(at_work, (now + took[found.job.id], next(numbers), found))
            continue
        pause = found.seconds if isinstance(found, Wait) else None
        if at_work and (pause is None or at_work[0][0] <= now + pause):
            now, _, turn = heapq.heappop(at_work)
            queue.finished(turn, _DONE, None, now)
            last = turn.job.id
        elif pause is not None:
            now += max(pause, 1e-6)
        else:
            return now, last
