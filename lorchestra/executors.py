"""Where the jobs of a stage run: in this thread, one after another, or in the threads of a pool.

A worker is a function that takes one job after another until none is left, and says what happens.
Long-lived workers cost a tenth of what a future for every job does.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Generic, NamedTuple, TypeVar

Message = TypeVar("Message")
Say = Callable[[Message], None]
Work = Callable[[int, Say[Message]], None]
GivenUp = Callable[[Say[Message]], set[int]]


class _Left(NamedTuple):
    """A worker has no more jobs."""

    worker: int


class _LookUp(NamedTuple):
    """Something has happened that the listener has to look at."""


class ThreadTeam(Generic[Message]):
    """So many workers, each in a thread; one listener, in the thread that runs the team."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._messages: SimpleQueue[Message | _Left | _LookUp] = SimpleQueue()

    def look_up(self) -> None:
        """Make the listener look whether workers are to be given up. Any thread may call it."""
        self._messages.put(_LookUp())

    def run(self, work: Work[Message], hear: Say[Message], given_up: GivenUp[Message]) -> None:
        """Run all workers until each has left.

        Args:
            work: What each does; it is given the worker's number and how to say something.
            hear: Called in this thread with what they say, one message at a time, in order.
            given_up: Asked after `look_up`: the workers that are not to be waited for any more.
                It says what is to be said of them, which is heard after what they said.
        """
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="lorchestra")
        expected = set(range(self._workers))
        for worker in range(self._workers):
            try:
                pool.submit(self._work, work, worker)
            except RuntimeError:
                # The system gives no more threads: the first that is free works for this one too.
                if worker == 0:
                    raise
        hung: set[int] = set()
        while expected:
            message = self._messages.get()
            if isinstance(message, _Left):
                expected.discard(message.worker)
            elif isinstance(message, _LookUp):
                hung |= given_up(self._messages.put)
                for worker in hung:
                    self._messages.put(_Left(worker))
            else:
                hear(message)
        pool.shutdown(wait=not hung)

    def _work(self, work: Work[Message], worker: int) -> None:
        try:
            work(worker, self._messages.put)
        finally:
            self._messages.put(_Left(worker))
