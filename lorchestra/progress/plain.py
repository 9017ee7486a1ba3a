"""Plain lines, one a change, each with the time: for logs of cron and CI, and for any terminal."""

from __future__ import annotations

import time
from collections.abc import Callable

from lorchestra.plan import NOT_SELECTED
from lorchestra.progress.events import (
    Event,
    JobFinished,
    JobNotRun,
    JobStarted,
    RunFinished,
    RunStarted,
    StageStarted,
)
from lorchestra.report.text import counted, duration, short, status_counts


class PlainProgress:
    """A handler that says a line for every change."""

    def __init__(self, say: Callable[[str], object]) -> None:
        """Say lines by calling `say` with each, without its line feed."""
        self._say = say

    def __call__(self, event: Event) -> None:
        """Say the line of one event."""
        text = _line(event)
        if text is not None:
            self._say(f"{time.strftime('%H:%M:%S')} {text}")


def _line(event: Event) -> str | None:
    match event:
        case RunStarted():
            size = f"{counted(event.jobs, 'job')} in {counted(event.stages, 'stage')}"
            return f"run {event.run_id} of {short(event.pipeline_id)}: {size}"
        case StageStarted():
            size = f"{counted(event.jobs, 'job')}, {counted(event.workers, 'worker')}"
            return f"stage {short(event.stage)}: {size}"
        case JobStarted():
            return f"{_name(event.job_id, event.attempt)} started"
        case JobFinished():
            return _finished(event)
        case JobNotRun() if event.reason.startswith(NOT_SELECTED):
            return None  # the last line counts them
        case JobNotRun():
            return f"{short(event.job_id)} {event.status}: {short(event.reason)}"
        case RunFinished():
            return f"run {event.status} in {duration(event.duration_s)}: " + status_counts(
                event.counts
            )
        case _:
            return None


def _finished(event: JobFinished) -> str:
    ended = f"{event.outcome.status} in {duration(event.duration_s)}"
    error = f": {short(event.outcome.error)}" if event.outcome.error else ""
    return f"{_name(event.job_id, event.attempt)} {ended}{error}"


def _name(job_id: str, attempt: int) -> str:
    return short(job_id) if attempt == 1 else f"{short(job_id)} (attempt {attempt})"
