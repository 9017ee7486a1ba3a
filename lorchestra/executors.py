"""Where the jobs of a stage run: in this thread, one after another, or in the threads of a pool.

A worker is a function that takes one job after another until none is left, and says what happens.
Long-lived workers cost a tenth of what a future for every job does.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Generic, NamedTuple, TypeVar

Message = TypeVar("Message")
# More than so many messages in such a time are much.
_MUCH, _MOMENT_S = 8, 0.02
Say = Callable[[Message], None]
Work = Callable[[int, Say[Message]], None]
GivenUp = Callable[[Say[Message]], set[int]]


class _Left(NamedTuple):
    """A worker has no more jobs."""

    worker: int


class _LookUp(NamedTuple):
    """Something has happened that the listener has to look at."""


class ThreadTeam(Generic[Message]):
    """So many workers, each in a thread; one listener, in the thread that runs the team.

    Waking the listener costs a tenth of a millisecond, which a worker of short jobs would pay twice
    a job. So when much is said, the listener sleeps for a moment and then hears all of it.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._messages: deque[Message | _Left | _LookUp] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._rings_for_all = True
        self._heard = 0
        self._counting_since = time.monotonic()

    def look_up(self) -> None:
        """Make the listener look whether workers are to be given up. Any thread may call it."""
        self._say_at_once(_LookUp())

    def run(self, work: Work[Message], hear: Say[Message], given_up: GivenUp[Message]) -> None:
        """Run all workers until each has left.

        Args:
            work: What each does; it is given the worker's number and how to say something.
            hear: Called in this thread with what they say, one message at a time, in order; within
                20 ms.
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
            message = self._next_message()
            if isinstance(message, _Left):
                expected.discard(message.worker)
            elif isinstance(message, _LookUp):
                hung |= given_up(self._say)
                for worker in hung:
                    self._say_at_once(_Left(worker))
            else:
                hear(message)
        pool.shutdown(wait=not hung)

    def _work(self, work: Work[Message], worker: int) -> None:
        try:
            work(worker, self._say)
        finally:
            self._say_at_once(_Left(worker))

    def _say(self, message: Message) -> None:
        self._messages.append(message)
        if self._rings_for_all:
            self._bell.put(None)

    def _say_at_once(self, message: _Left | _LookUp) -> None:
        self._messages.append(message)
        self._bell.put(None)

    def _next_message(self) -> Message | _Left | _LookUp:
        while not self._messages:
            self._wait()
        self._heard += 1
        return self._messages.popleft()

    def _wait(self) -> None:
        """Wait until something is said; while much is said, for what is urgent, or a moment.

        Whoever speaks looks at `_rings_for_all` last, and the listener at the messages: so one of
        them sees what the other has done.
        """
        now = time.monotonic()
        if now - self._counting_since >= _MOMENT_S:
            self._rings_for_all = self._heard <= _MUCH
            self._counting_since, self._heard = now, 0
        if not self._messages:
            with contextlib.suppress(Empty):
                self._bell.get(timeout=None if self._rings_for_all else _MOMENT_S)
