"""Write one file of records: created exclusively, one writer, never reopened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runstore import files
from runstore.errors import SegmentClosedError, SegmentPoisonedError
from runstore.lines.record import NO_PREVIOUS, Position, encode
from runstore.writing import forks

_UNFINISHED = "a write was interrupted before its outcome was known"


class SegmentWriter:
    """The only writer that a file of records has in its life.

    One thread at a time. A child made by `fork` may not write. After any failed or short write, and
    after a failed sync, it is poisoned: every later call raises `SegmentPoisonedError`, and neither
    the write nor the sync is tried again.
    """

    def __init__(self, path: str) -> None:
        """Create the file.

        Raises:
            FileExistsError: Something stands there already.
            OSError: It cannot be created.
        """
        self.path = path
        self._descriptor = files.create(path)
        self._generation = forks.generation
        self._next_n = 0
        self._previous = NO_PREVIOUS
        self._poison: str | None = None
        self._closed = False

    @property
    def position(self) -> Position | None:
        """Where the last record stands; None before the first."""
        return Position(self._next_n - 1, self._previous) if self._next_n else None

    def append(self, event: str, fields: Mapping[str, Any]) -> Position:
        """Append one record with a single write; the system has it when this returns.

        Raises:
            RecordError: It cannot be encoded; nothing was written.
            SegmentPoisonedError: An earlier write failed.
            SegmentClosedError: The file was closed.
            OSError: The write failed; the writer is poisoned.
        """
        if self._poison is not None or self._closed or self._generation != forks.generation:
            self._refuse_unusable()
        line, position = encode(self._next_n, self._previous, event, fields)
        # Poisoned first and freed last: an exception that comes from outside, such as
        # KeyboardInterrupt, leaves the writer poisoned wherever in between it strikes.
        self._poison = _UNFINISHED
        try:
            files.append(self._descriptor, line)
        except OSError as error:
            self._poison = f"a write failed: {error}"
            _name(error, self.path)
            raise
        self._next_n = position.n + 1
        self._previous = position.crc
        self._poison = None
        return position

    def sync(self) -> None:
        """Put every record so far on the disk.

        Raises:
            OSError: The sync failed; the writer is poisoned, because the system may have dropped
                what it could not write.
        """
        self._refuse_unusable()
        self._poison = "a sync was interrupted before its outcome was known"
        try:
            files.sync_file(self._descriptor)
        except OSError as error:
            self.poison(f"a sync failed: {error}")
            _name(error, self.path)
            raise
        self._poison = None

    def poison(self, reason: str) -> None:
        """Take nothing more, for a reason outside the file: its folder could not be synced."""
        self._poison = reason

    def refuse_forked(self) -> None:
        """Raise `SegmentPoisonedError` in a process that was forked from the writer's."""
        if self._generation != forks.generation:
            raise SegmentPoisonedError(self.path, "this process was forked from its writer")

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        if not self._closed:
            self._closed = True
            files.close(self._descriptor)

    def _refuse_unusable(self) -> None:
        if self._poison is not None:
            raise SegmentPoisonedError(self.path, self._poison)
        if self._closed:
            raise SegmentClosedError(self.path)
        self.refuse_forked()


def _name(error: OSError, path: str) -> None:
    """Let an error of a descriptor say of which file it is."""
    if error.filename is None:
        error.filename = path
