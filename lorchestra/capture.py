"""What a function prints goes to its job's log, while others print to theirs in other threads.

For the time of a run the standard streams are replaced by ones that look up, at every use, whose
context the caller runs in; a job's standard input is empty. Threads that a function starts inherit
its context, as they do by themselves where `sys.flags.thread_inherit_context` is set.
"""

from __future__ import annotations

import contextlib
import contextvars
import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple, TextIO, cast


class LogStream(io.TextIOWrapper):
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
        """Write a text as one piece."""
        with self._turn:
            return super().write(text)


class _Streams(NamedTuple):
    """The standard streams of one function."""

    stdin: io.TextIOWrapper
    output: LogStream


_streams: ContextVar[_Streams | None] = ContextVar("lorchestra_streams", default=None)


class _Router:
    """A text stream that is the one of the job whose function calls, or else the real one."""

    def __init__(self, real: TextIO, of_job: Callable[[_Streams], TextIO]) -> None:
        self._real = real
        self._of_job = of_job

    def _stream(self) -> Any:
        streams = _streams.get()
        return self._real if streams is None else self._of_job(streams)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream(), name)

    def close(self) -> None:
        """Do nothing for a job: its traceback, and other jobs, still need the stream."""
        if _streams.get() is None:
            self._real.close()

    # What statements use is looked up in the class.
    def __iter__(self) -> Iterator[str]:
        return iter(self._stream())

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


@contextlib.contextmanager
def printing_to(log: int) -> Iterator[None]:
    """Send to a log what the calling context prints.

    Args:
        log: Its descriptor, which is not needed any more once the context has been entered.
    """
    output = LogStream(log)
    _streams.set(_Streams(io.TextIOWrapper(io.BytesIO()), output))
    # A function that is given up prints on, and must not hit the data on stdout after the run.
    with captured(), _alone_at_first():
        try:
            yield
        finally:
            # The function may have closed what is below.
            with contextlib.suppress(ValueError, OSError):
                output.close()


_turn = threading.Lock()
_users = 0
_put_back: Callable[[], None]
_functions = 0
_routers: tuple[TextIO, TextIO, TextIO]


@contextlib.contextmanager
def _alone_at_first() -> Iterator[None]:
    """Take away what an earlier function has left in place of the standard streams.

    Not while others are running: it may be theirs, and for a time only.
    """
    global _functions  # noqa: PLW0603 - as below
    with _turn:
        if _functions == 0:
            sys.stdin, sys.stdout, sys.stderr = _routers
        _functions += 1
    try:
        yield
    finally:
        with _turn:
            _functions -= 1


@contextlib.contextmanager
def captured() -> Iterator[None]:
    """Route the standard streams while the context lasts; may be entered several times at once."""
    global _users, _put_back  # noqa: PLW0603 - the standard streams are the process's, so is this
    with _turn:
        if _users == 0:
            _put_back = _install()
        _users += 1
    try:
        yield
    finally:
        with _turn:
            _users -= 1
            if _users == 0:
                _put_back()


def _install() -> Callable[[], None]:
    """Replace the standard streams; gives what puts them back, whatever stands there by then."""
    global _routers  # noqa: PLW0603 - the standard streams are the process's, so are these
    stdin, stdout, stderr = sys.stdin, sys.stdout, sys.stderr

    def output(streams: _Streams) -> TextIO:
        # What a thread prints that outlives its job's function must not mix with data on stdout.
        return stderr if streams.output.closed else streams.output

    _routers = (
        cast("TextIO", _Router(stdin, lambda streams: streams.stdin)),
        cast("TextIO", _Router(stdout, output)),
        cast("TextIO", _Router(stderr, output)),
    )
    sys.stdin, sys.stdout, sys.stderr = _routers
    start = threading.Thread.start
    if not getattr(sys.flags, "thread_inherit_context", False):
        threading.Thread.start = _in_same_context(start)  # type: ignore[method-assign]

    def put_back() -> None:
        sys.stdin, sys.stdout, sys.stderr = stdin, stdout, stderr
        threading.Thread.start = start  # type: ignore[method-assign]

    return put_back


def _in_same_context(start: Callable[..., None]) -> Callable[..., None]:
    """`Thread.start`, but a thread started by a job's function belongs to that job."""

    def start_in_same_context(thread: threading.Thread) -> None:
        if _streams.get() is not None:
            context, run = contextvars.copy_context(), thread.run
            thread.run = lambda: context.run(run)  # type: ignore[method-assign]
        start(thread)

    return start_in_same_context
