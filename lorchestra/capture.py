"""What a function prints goes to its job's log, while others print to theirs in other threads.

For the time of a run `sys.stdout` and `sys.stderr` are replaced by streams that look up, at every
write, whose context the caller runs in. Threads that a function starts inherit its context, as
they do by themselves from Python 3.14 on (`sys.flags.thread_inherit_context`).
"""

from __future__ import annotations

import contextlib
import contextvars
import io
import os
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, TextIO, cast

_log: ContextVar[TextIO | None] = ContextVar("lorchestra_log", default=None)
_installed = threading.Lock()
_users = 0


class _Router:
    """A text stream that is the log of the job whose function calls, or else the real stream."""

    def __init__(self, real: TextIO) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        log = _log.get()
        # A thread that outlives its job's function finds the log closed.
        return getattr(self._real if log is None or log.closed else log, name)


class _LogStream(io.TextIOWrapper):
    """A log as a text stream that threads may share: each write is one piece in the file."""

    def __init__(self, descriptor: int) -> None:
        # A descriptor of its own: a function that cannot be stopped may print long after the
        # runner has closed the log, and must not hit a file that got the same number.
        raw = io.FileIO(os.dup(descriptor), "a")
        super().__init__(
            cast("Any", raw), encoding="utf-8", errors="backslashreplace", write_through=True
        )
        self._turn = threading.Lock()

    def write(self, text: str) -> int:
        with self._turn:
            return super().write(text)


def open_log_stream(descriptor: int) -> TextIO:
    """A text stream onto a log, with a descriptor of its own; the caller closes it."""
    return _LogStream(descriptor)


def print_to(stream: TextIO) -> None:
    """Send what the calling context prints from now on to a stream; `captured` must be active."""
    _log.set(stream)


@contextlib.contextmanager
def captured() -> Iterator[None]:
    """Route the standard streams while the context lasts; may be entered several times at once."""
    global _users  # noqa: PLW0603 - the standard streams are the process's, so is the count
    with _installed:
        _users += 1
        if _users == 1:
            _install()
    try:
        yield
    finally:
        with _installed:
            _users -= 1
            if _users == 0:
                _uninstall()


_real_start = threading.Thread.start


def _install() -> None:
    sys.stdout = cast("TextIO", _Router(sys.stdout))
    sys.stderr = cast("TextIO", _Router(sys.stderr))
    if not getattr(sys.flags, "thread_inherit_context", False):
        threading.Thread.start = _start_in_same_context  # type: ignore[method-assign,assignment]


def _uninstall() -> None:
    threading.Thread.start = _real_start  # type: ignore[method-assign]
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        # Somebody else may have replaced it meanwhile; then it is theirs to put back.
        if isinstance(stream, _Router):
            setattr(sys, name, stream._real)  # noqa: SLF001 - of this module


def _start_in_same_context(thread: threading.Thread) -> None:
    """`Thread.start`, but a thread started by a job's function belongs to that job."""
    if _log.get() is not None:
        context, run = contextvars.copy_context(), thread.run
        thread.run = lambda: context.run(run)  # type: ignore[method-assign]
    _real_start(thread)
