"""Stopping a run: who is told, in what order, and that nobody is missed.

The first request: nothing new starts, and every running process is asked to end (SIGTERM). When
the grace is over, or at a second request, they are killed (SIGKILL). A process that starts in the
same instant is told as well: it enters the list under the same lock under which the list is read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple, Protocol

GRACE_S = 10.0


class Cause(NamedTuple):
    """Why something that runs is ended before its time.

    Attributes:
        text: As the beginning of a sentence, `stopped with the run` for example.
        status: What it is recorded as.
    """

    text: str
    status: str = "interrupted"


INTERRUPTED = Cause("stopped with the run")


class Stoppable(Protocol):
    """A running job that can be asked to end, and made to. Both may come after it has ended."""

    def ask_to_end(self, cause: Cause) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it."""


class Stop:
    """What all parts of a run look at to know whether to go on. Thread-safe.

    Attributes:
        signal: The number of the signal that interrupted the run; None: none did.
        cause: Why it is to stop, as the first who asked said; None: nobody asked.
        forced: Whether what runs has been killed.
        when_requested: Called once, when it is to stop; None: nobody wants to know.
        when_forced: Called once, when it is killed; None: nobody wants to know.
    """

    def __init__(self, grace_s: float = GRACE_S) -> None:
        """Start with nothing to stop.

        Args:
            grace_s: Seconds from the request until what still runs is killed, where it is not a
                signal that asks: those that pass signals on know of a second one, too.
        """
        self.signal: int | None = None
        self.cause: Cause | None = None
        self.forced = False
        self.when_requested: Callable[[], None] | None = None
        self.when_forced: Callable[[], None] | None = None
        self._grace_s = grace_s
        self._turn = threading.Lock()
        self._running: set[Stoppable] = set()
        self._timer: threading.Timer | None = None

    @property
    def requested(self) -> bool:
        """Whether the run is to stop."""
        return self.cause is not None

    def request(self, signal: int) -> None:
        """Let a signal ask everything that runs to end, and let nothing new start."""
        with self._turn:
            self.signal = self.signal or signal
        self._ask(INTERRUPTED)

    def end(self, cause: Cause) -> None:
        """The same, for another reason; what still runs when the grace is over is killed."""
        if self._ask(cause):
            self._timer = threading.Timer(self._grace_s, self.force)
            self._timer.daemon = True
            self._timer.start()

    def pass_on(self, cause: Cause, signal: int | None) -> None:
        """The same, for what was asked of the run around this one, which will force it in time."""
        with self._turn:
            self.signal = self.signal or signal
        self._ask(cause)

    def force(self) -> None:
        """Kill everything that still runs."""
        with self._turn:
            if self.forced:
                return
            self.forced = True
            for job in self._running:
                job.kill()
            when_forced = self.when_forced
        if when_forced is not None:
            when_forced()

    def enter(self, job: Stoppable) -> None:
        """Note that a job runs; where the stop came first, it is told at once."""
        with self._turn:
            self._running.add(job)
            if self.cause is not None:
                job.ask_to_end(self.cause)
            if self.forced:
                job.kill()

    def leave(self, job: Stoppable) -> None:
        """Note that a job has ended."""
        with self._turn:
            self._running.discard(job)

    def close(self) -> None:
        """The run has ended: nothing is to be killed any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()

    def _ask(self, cause: Cause) -> bool:
        """Ask everything that runs to end; False: somebody has before."""
        with self._turn:
            if self.cause is not None:
                return False
            self.cause = cause
            for job in self._running:
                job.ask_to_end(cause)
            when_requested = self.when_requested
        if when_requested is not None:
            when_requested()
        return True
