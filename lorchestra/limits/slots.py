"""The units of limits of this machine: locks of the system. The only user of portalocker.

A unit is a numbered file that is locked while it is taken: `NamedBoundedSemaphore` of portalocker,
of which each instance holds one. A lock goes with the descriptor: a job's process that inherits it
keeps the unit taken should the runner be killed, and where nobody is left it is free at once. The
runner itself unlocks when the job has ended, whoever else still has the descriptor by then: a
background process that the job left, or a fork of the runner.

Whose capacity is smaller uses only the first files, so runs with different ones get along: each
takes what is free among its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portalocker import NamedBoundedSemaphore

_LOCK = "lock"
_SLOT = "{name}.{number:03d}.slot"


class Slots:
    """Units that are taken."""

    def __init__(self) -> None:
        self._held: list[NamedBoundedSemaphore] = []

    def take(self, folder: Path, name: str, capacity: int, units: int) -> int:
        """Take units, as far as there are any; gives how many.

        Args:
            folder: Where the files are.
            name: What they are called.
            capacity: How many there are.
            units: How many are wanted.

        Raises:
            OSError: A file cannot be made or locked.
        """
        from portalocker import NamedBoundedSemaphore

        taken, left = 0, 0
        while taken < units:
            semaphore = NamedBoundedSemaphore(capacity, name, _SLOT, str(folder))
            files = semaphore.get_filenames()
            with _errors_of_the_system():
                if not semaphore.try_lock(files[left:]) or semaphore.lock is None:
                    break
            self._held.append(semaphore)
            # Those before it are taken, by us or by others.
            left = files.index(Path(semaphore.lock.filename)) + 1
            taken += 1
        return taken

    def descriptors(self) -> list[int]:
        """The descriptors of the locks."""
        locks = [semaphore.lock for semaphore in self._held]
        return [lock.fh.fileno() for lock in locks if lock is not None and lock.fh is not None]

    def release(self) -> None:
        """Unlock all."""
        for semaphore in self._held:
            semaphore.release()
        self._held.clear()


@contextlib.contextmanager
def turn(folder: Path) -> Iterator[bool]:
    """Have the folder to oneself for a moment, if nobody else has; tells whether it is so.

    It does not wait: who has it may have been suspended, and a wait for a lock cannot be cancelled.

    Raises:
        OSError: The file of the lock cannot be made or locked.
    """
    from portalocker import AlreadyLocked, Lock

    lock = Lock(folder / _LOCK, "ab", fail_when_locked=True)
    try:
        with _errors_of_the_system():
            lock.acquire()
    except AlreadyLocked:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextlib.contextmanager
def _errors_of_the_system() -> Iterator[None]:
    """Raise the error of the system that portalocker has wrapped, where it is not `is locked`."""
    from portalocker import AlreadyLocked, LockException

    try:
        yield
    except AlreadyLocked:
        raise
    except LockException as error:
        cause = error.__cause__
        raise (cause if isinstance(cause, OSError) else OSError(0, str(error))) from error
