"""A limit on how long something may take: it is asked to end, and after the grace made to."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import NamedTuple, Self

from lorchestra.stop import Cause, Stoppable


class Limit(NamedTuple):
    """How long something may take.

    Attributes:
        seconds: So long, from now.
        cause: What is said when that is over.
        grace_s: Seconds from being asked to end until it is killed.
    """

    seconds: float
    cause: Cause
    grace_s: float


class Deadline:
    """Ends what takes too long, while the context lasts. Without a limit it does nothing.

    It has a thread of its own while it waits: waiting for a process with a timeout would poll.
    """

    def __init__(self, limit: Limit | None, target: Stoppable) -> None:
        self._limit = limit
        self._target = target
        self._over: threading.Event | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._limit is not None:
            self._over = threading.Event()
            self._thread = threading.Thread(
                target=self._watch,
                args=(self._limit, self._over),
                name="lorchestra-deadline",
                daemon=True,
            )
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._over is not None and self._thread is not None:
            self._over.set()
            self._thread.join()

    def _watch(self, limit: Limit, over: threading.Event) -> None:
        if over.wait(max(0.0, limit.seconds)):
            return
        self._target.ask_to_end(limit.cause)
        if not over.wait(limit.grace_s):
            self._target.kill()
