"""Stopping a run: who is told, in what order, and that nobody is missed.

The first request: nothing new starts, and every running process is asked to end (SIGTERM). When
the grace is over, or at a second request, they are killed (SIGKILL). A process that starts in the
same instant is told as well: it enters the list under the same lock under which the list is read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

GRACE_S = 10.0


class Stoppable(Protocol):
    """A running job that can be asked to end, and made to. Both may come after it has ended."""

    def ask_to_end(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it."""


class Stop:
    """What all parts of a run look at to know whether to go on. Thread-safe.

    Attributes:
        signal: The number of the signal that asked for the stop; None: nobody asked.
        forced: Whether what runs has been killed.
        when_forced: Called once, when it is; None: nobody wants to know.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.forced = False
        self.when_forced: Callable[[], None] | None = None
        self._turn = threading.Lock()
        self._running: set[Stoppable] = set()

    @property
    def requested(self) -> bool:
        """Whether the run is to stop."""
        return self.signal is not None

    def request(self, signal: int) -> None:
        """Ask everything that runs to end, and let nothing new start."""
        with self._turn:
            if self.signal is not None:
                return
            self.signal = signal
            for job in self._running:
                job.ask_to_end()

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
            if self.forced:
                job.kill()
            elif self.requested:
                job.ask_to_end()

    def leave(self, job: Stoppable) -> None:
        """Note that a job has ended."""
        with self._turn:
            self._running.discard(job)
