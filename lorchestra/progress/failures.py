"""At the end, the failures: each with the last lines of its log, and where the whole log is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lorchestra.masking import Mask
from lorchestra.progress.events import Event, InChild, JobFinished, JobStarted
from lorchestra.progress.folding import Folding
from lorchestra.report.logs import TAIL_LINES, log_tail
from lorchestra.report.text import counted, printable, short

_SHOWN = 10
_NO_FAILURE = frozenset({"succeeded", "interrupted"})


class Failures:
    """A handler that keeps the attempts that failed; those stopped with the run are none."""

    def __init__(
        self, mask: Mask | None = None, folding: Folding | None = None, *, with_logs: bool = True
    ) -> None:
        """Decide how they are reported.

        Args:
            mask: What takes secrets out of the logs; None: there are none.
            folding: How a CI service is told of failures; None: there is none.
            with_logs: Whether the last lines of their logs are shown.
        """
        self._mask = mask
        self._folding = folding
        self._with_logs = with_logs
        self._finished: list[JobFinished] = []

    def __call__(self, event: Event) -> None:
        """Keep the event if it is a failure that no further attempt can make good."""
        if isinstance(event, InChild):
            self._take_inner(event)
        elif isinstance(event, JobFinished) and event.outcome.status not in _NO_FAILURE:
            self._finished.append(event)
        elif isinstance(event, JobStarted) and event.attempt > 1:
            self._finished = [each for each in self._finished if each.job_id != event.job_id]

    def _take_inner(self, event: InChild) -> None:
        """Keep a failure inside a pipeline that is a job, with the names of all jobs around it."""
        name, inner = event.job_id, event.event
        while isinstance(inner, InChild):
            name, inner = f"{name}: {inner.job_id}", inner.event
        if isinstance(inner, JobFinished | JobStarted):
            self(replace(inner, job_id=f"{name}: {inner.job_id}"))

    def lines(self, more: str) -> Iterator[str]:
        """The report, line by line, each fit to print; nothing when nothing failed.

        Args:
            more: Where to read of those beyond the first ten, as a command.
        """
        for event in self._finished[:_SHOWN]:
            yield from self._block(event)
        hidden = len(self._finished) - _SHOWN
        if hidden > 0:
            yield f"and {counted(hidden, 'more failure')}: {more}"

    def _block(self, event: JobFinished) -> Iterator[str]:
        title, error = f"{short(event.job_id)} {event.outcome.status}", event.outcome.error or ""
        yield ""
        yield f"--- {title}: {short(error)}"
        tail = log_tail(event.log_path, mask=self._mask) if self._with_logs else []
        for line in tail:
            yield f"    | {line}"
        is_cut = len(tail) == TAIL_LINES
        printed = f"the last {TAIL_LINES} lines; the whole log" if is_cut else "log"
        yield f"    {printed}: {printable(event.log_path)}"
        if self._folding is not None:
            yield self._folding.failure(title, short(error))
