"""What jobs print, shown while the run goes on: whole at their end, or line by line as it comes.

It is read from their logs, so it costs the jobs nothing, and no line is ever mixed with another.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import BinaryIO, Self

from lorchestra.masking import Mask
from lorchestra.progress.events import Event, InChild, JobFinished, JobStarted
from lorchestra.progress.folding import Folding
from lorchestra.report.logs import printable_line
from lorchestra.report.text import duration, short

_LOOK_S = 0.1
_PIECE_BYTES = 1 << 16

Say = Callable[[str], object]


class GroupedLogs:
    """A handler that shows all that an attempt has printed, once it has ended."""

    def __init__(self, say: Say, mask: Mask, folding: Folding | None = None) -> None:
        """Show lines by calling `say` with each.

        Args:
            say: Called with each line, without its line feed.
            mask: What takes secrets out of them.
            folding: How the lines of an attempt fold; None: they do not.
        """
        self._say = say
        self._mask = mask
        self._folding = folding

    def __call__(self, event: Event) -> None:
        """Show the log of an attempt that has ended, if it printed anything."""
        name, inner = named(event)
        if not isinstance(inner, JobFinished) or inner.outcome.log_bytes == 0:
            return
        title = f"{name} {inner.outcome.status} in {duration(inner.duration_s)}"
        lines: Iterator[str] = (f"    | {each}" for each in _lines_of(inner.log_path, self._mask))
        if self._folding is not None:
            lines = self._folding.around(title, lines)
        else:
            self._say(f"--- {title}")
        for line in lines:
            self._say(line)


class PrefixedLogs:
    """A handler that shows each line that a job prints when it is whole, after the job's name.

    A context manager: a thread of its own looks ten times a second at the logs of the jobs at work.
    """

    def __init__(self, say: Say, mask: Mask) -> None:
        """Show lines by calling `say` with each, from any thread.

        Args:
            say: Called with each line, without its line feed.
            mask: What takes secrets out of them.
        """
        self._say = say
        self._mask = mask
        self._at_work: dict[str, _Growing] = {}
        self._turn = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lorchestra-logs", daemon=True)

    def __call__(self, event: Event) -> None:
        """Take in that an attempt has begun, or show the rest of one that has ended."""
        name, inner = named(event)
        if isinstance(inner, JobStarted) and inner.log_path:
            with self._turn:
                self._at_work[inner.log_path] = _Growing(name, inner.log_path, self._mask)
        elif isinstance(inner, JobFinished):
            with self._turn:
                growing = self._at_work.pop(inner.log_path, None)
                if growing is not None:
                    self._show(growing, is_over=True)
                    growing.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        for growing in self._at_work.values():
            self._show(growing, is_over=True)
            growing.close()

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_S):
            with self._turn:
                for growing in self._at_work.values():
                    self._show(growing, is_over=False)

    def _show(self, growing: _Growing, *, is_over: bool) -> None:
        for line in growing.lines(is_over=is_over):
            self._say(f"{growing.name} | {line}")


class _Growing:
    """A log that is still written: what has come to it since it was looked at last."""

    def __init__(self, name: str, path: str, mask: Mask) -> None:
        self.name = name
        self._path = path
        self._mask = mask
        self._file: BinaryIO | None = None
        self._rest = b""

    def lines(self, *, is_over: bool) -> Iterator[str]:
        """The lines that are whole by now; at the end also one without its line feed."""
        with contextlib.suppress(OSError):
            if self._file is None:
                self._file = open(self._path, "rb")  # noqa: SIM115 - until it is over
            while piece := self._file.read(_PIECE_BYTES):
                *whole, self._rest = (self._rest + piece).split(b"\n")
                yield from (_shown(line, self._mask) for line in whole)
                if len(self._rest) > _PIECE_BYTES:  # no line of a text
                    yield _shown(self._rest, self._mask)
                    self._rest = b""
        if is_over and self._rest:
            yield _shown(self._rest, self._mask)
            self._rest = b""

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def named(event: Event) -> tuple[str, Event]:
    """The name of an event's job, with those of all jobs around it, and the innermost event."""
    names = []
    while isinstance(event, InChild):
        names.append(event.job_id)
        event = event.event
    if isinstance(event, JobStarted | JobFinished):
        attempt = "" if event.attempt == 1 else f" (attempt {event.attempt})"
        names.append(f"{event.job_id}{attempt}")
    return ": ".join(map(short, names)), event


def _lines_of(path: str, mask: Mask) -> Iterator[str]:
    growing = _Growing("", path, mask)
    try:
        yield from growing.lines(is_over=True)
    finally:
        growing.close()


def _shown(line: bytes, mask: Mask) -> str:
    return printable_line(mask.content(line.rstrip(b"\r")).decode("utf-8", "replace"))
