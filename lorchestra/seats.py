"""How many jobs are at work at once, over all pipelines of a run that contain each other.

A job that is a pipeline takes no seat itself: its jobs do. So nobody who has a seat waits for one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_WORKERS = 1_000_000


@dataclass(slots=True)
class _Row:
    """The seats of one stage."""

    free: int


@dataclass(slots=True)
class _Room:
    """All seats of a run, and who waits for one."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    listeners: list[Callable[[], None]] = field(default_factory=list)


class Seats:
    """The seats of one stage. Whoever takes one takes one of each stage around it too. Thread-safe.

    Attributes:
        most: How many can be taken at once, by what this stage and all around it have.
        rows: Those of this stage, and of all around it.
        room: Where they are.
    """

    def __init__(self, count: int, outer: Seats | None = None) -> None:
        self.most: int = count if outer is None else min(count, outer.most)
        self.rows: tuple[_Row, ...] = (_Row(count), *(outer.rows if outer is not None else ()))
        self.room: _Room = _Room() if outer is None else outer.room

    def take(self) -> bool:
        """Take a seat; False: there is none."""
        with self.room.turn:
            if not all(row.free for row in self.rows):
                return False
            for row in self.rows:
                row.free -= 1
            return True

    def has_free(self) -> bool:
        """Whether there is one; a moment later there may be none."""
        with self.room.turn:
            return all(row.free for row in self.rows)

    def give_back(self) -> None:
        """Give a seat back, and let all who wait for one look again."""
        with self.room.turn:
            for row in self.rows:
                row.free += 1
            listeners = list(self.room.listeners)
        for listener in listeners:
            listener()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` when a seat has been given back, from any thread."""
        with self.room.turn:
            self.room.listeners.append(listener)

    def leave(self, listener: Callable[[], None]) -> None:
        """Call it no more."""
        with self.room.turn:
            self.room.listeners.remove(listener)
