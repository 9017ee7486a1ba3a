"""Plain lines, one a change, each with the time: for logs of cron and CI, and for any terminal."""

from __future__ import annotations

import time
from collections.abc import Callable

from lorchestra.plan import NOT_SELECTED
from lorchestra.progress.events import (
    Event,
    InChild,
    ItemGone,
    JobChosen,
    JobFinished,
    JobGivenUp,
    JobHeld,
    JobNotRun,
    JobStarted,
    LoopUnfolded,
    OrphanFound,
    RunFinished,
    RunStarted,
    StageStarted,
)
from lorchestra.report.text import counted, duration, short, status_counts


class PlainProgress:
    """A handler that says a line for every change."""

    def __init__(
        self, say: Callable[[str], object], clock: Callable[[], str] | None = None
    ) -> None:
        """Say lines.

        Args:
            say: Called with each, without its line feed.
            clock: Gives the time that stands before it; None: that of now.
        """
        self._say = say
        self._clock = clock or now

    def __call__(self, event: Event) -> None:
        """Say the line of one event."""
        text = _line(event)
        if text is not None:
            self._say(f"{self._clock()} {text}")


def now() -> str:
    """The time of day."""
    return time.strftime("%H:%M:%S")


def _line(event: Event) -> str | None:
    match event:
        case RunStarted():
            size = f"{counted(event.jobs, 'job')} in {counted(event.stages, 'stage')}"
            return f"run {event.run_id} of {short(event.pipeline_id)}: {size}"
        case OrphanFound() | JobChosen() | ItemGone():
            return _of_resume(event)
        case LoopUnfolded() | InChild():
            return _of_fan_out(event)
        case StageStarted():
            size = f"{counted(event.jobs, 'job')}, {counted(event.workers, 'worker')}"
            return f"stage {short(event.stage)}: {size}{', longest first' * event.longest_first}"
        case JobNotRun() if event.reason.startswith(NOT_SELECTED):
            return None  # the last line counts them
        case JobHeld() | JobStarted() | JobFinished() | JobGivenUp() | JobNotRun():
            return _of_job(event)
        case RunFinished():
            return f"run {event.status} in {duration(event.duration_s)}: " + status_counts(
                event.counts
            )
        case _:
            return None


def _of_fan_out(event: LoopUnfolded | InChild) -> str | None:
    if isinstance(event, LoopUnfolded):
        names = ", ".join(map(short, event.job_ids))
        return f"{names}: {counted(event.items, 'item')}"
    text = _line(event.event)
    return None if text is None else f"{short(event.job_id)}: {text}"


def _of_job(event: JobHeld | JobStarted | JobFinished | JobGivenUp | JobNotRun) -> str:
    match event:
        case JobHeld():
            return f"{short(event.job_id)} waits for {', '.join(event.limits)}"
        case JobStarted():
            return f"{_name(event.job_id, event.attempt)} started"
        case JobFinished():
            return _finished(event)
        case JobGivenUp():
            return f"{short(event.job_id)} is not tried again: {short(event.reason)}"
        case JobNotRun():
            what = event.status if event.before is None else f"stays {event.before}"
            return f"{short(event.job_id)} {what}: {short(event.reason)}"


def _of_resume(event: OrphanFound | JobChosen | ItemGone) -> str:
    if isinstance(event, ItemGone):
        return f"{short(event.job_id)} left out: no item of the loop any more"
    if isinstance(event, JobChosen):
        what = "kept" if event.is_kept else "to run"
        return f"{short(event.job_id)} {what}: {event.reason}"
    what = "it is stopped" if event.is_stopped else "waiting for it"
    return f"{short(event.job_id)} (pid {event.pid}) is still at work: {what}"


def _finished(event: JobFinished) -> str:
    ended = f"{event.outcome.status} in {duration(event.duration_s)}"
    error = f": {short(event.outcome.error)}" if event.outcome.error else ""
    again = "" if event.again_in_s is None else f"; again in {duration(event.again_in_s)}"
    return f"{_name(event.job_id, event.attempt)} {ended}{error}{again}"


def _name(job_id: str, attempt: int) -> str:
    return short(job_id) if attempt == 1 else f"{short(job_id)} (attempt {attempt})"
