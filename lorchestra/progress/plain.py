"""Plain lines, one a change, each with the time: for logs of cron and CI, and for any terminal."""

from __future__ import annotations

import time
from typing import TextIO

from lorchestra.progress.events import (
    Event,
    JobFinished,
    JobNotRun,
    JobStarted,
    RunFinished,
    RunStarted,
    StageStarted,
)
from lorchestra.report.text import counted, duration, status_counts


class PlainProgress:
    """A handler that writes lines to a stream; a stream that is gone is no reason to stop."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        """Write the line of one event."""
        text = _line(event)
        if text is not None:
            # One write a line: the lines of other programs on the same stream stay whole.
            self._stream.write(f"{time.strftime('%H:%M:%S')} {text}\n")
            self._stream.flush()


def _line(event: Event) -> str | None:
    match event:
        case RunStarted():
            size = f"{counted(event.jobs, 'job')} in {counted(event.stages, 'stage')}"
            return f"run {event.run_id} of {event.pipeline_id}: {size}"
        case StageStarted():
            size = f"{counted(event.jobs, 'job')}, {counted(event.workers, 'worker')}"
            return f"stage {event.stage}: {size}"
        case JobStarted():
            return f"{_name(event.job_id, event.attempt)} started"
        case JobFinished():
            return _finished(event)
        case JobNotRun():
            return f"{_shown(event.job_id)} {event.status}: {_shown(event.reason)}"
        case RunFinished():
            return f"run {event.status} in {duration(event.duration_s)}: " + status_counts(
                event.counts
            )
        case _:
            return None


def _finished(event: JobFinished) -> str:
    ended = f"{event.outcome.status} in {duration(event.duration_s)}"
    error = f": {_shown(event.outcome.error)}" if event.outcome.error else ""
    return f"{_name(event.job_id, event.attempt)} {ended}{error}"


def _name(job_id: str, attempt: int) -> str:
    return _shown(job_id) if attempt == 1 else f"{_shown(job_id)} (attempt {attempt})"


def _shown(text: str) -> str:
    """A text of the user's on one line, without anything that moves the cursor."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
