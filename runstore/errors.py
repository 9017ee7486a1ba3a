"""The errors of runstore.

Every error keeps what it was made from as attributes, builds its message from them, and survives
pickling. An `OSError` of the system is never wrapped: it passes through as it is. Damage is not an
error here either: readers step over it, and `verify` reports it.
"""

from __future__ import annotations

from typing import Any

_MOST_SHOWN = 200  # characters of a text of the user's


class RunStoreError(Exception):
    """Base of all errors of runstore."""


class RecordError(RunStoreError, ValueError):
    """A record, a job id or a name cannot be stored as it is; nothing was written."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class RunNotFoundError(RunStoreError, LookupError):
    """The store has no run of this id."""

    def __init__(self, run_id: str, store: str) -> None:
        super().__init__(run_id, store)
        self.run_id = run_id
        self.store = store

    def __str__(self) -> str:
        return f"no run {self.run_id!r} in the store {self.store}"


class RunIsAliveError(RunStoreError):
    """The run's process is at work, or cannot be seen from here, so the run must not be changed."""

    def __init__(self, run_id: str, host: str, pid: int) -> None:
        super().__init__(run_id, host, pid)
        self.run_id = run_id
        self.host = host
        self.pid = pid

    def __str__(self) -> str:
        return f"run {self.run_id} is at work: process {self.pid} on {self.host}"


class RunNotEndedError(RunStoreError):
    """The run has no `end`: it was killed, so what is to be done with an ended one cannot be."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id

    def __str__(self) -> str:
        return f"run {self.run_id} has not ended: it was killed"


class RunNotBegunError(RunStoreError):
    """The run was killed before its first record, so there is nothing of it to go on with."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id

    def __str__(self) -> str:
        return f"run {self.run_id} was killed before it began"


class RunResumedError(RunStoreError):
    """Another process, or thread, has resumed the run first."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id

    def __str__(self) -> str:
        return f"run {self.run_id} has been resumed by another process meanwhile"


class RunDamagedError(RunStoreError):
    """The run is damaged, and must be repaired first.

    Attributes:
        run_id: The run.
        found: What is wrong with it, as `verify` says it.
    """

    def __init__(self, run_id: str, found: str) -> None:
        super().__init__(run_id, found)
        self.run_id = run_id
        self.found = found

    def __str__(self) -> str:
        return f"run {self.run_id} is damaged, repair it first: {self.found}"


class StoreNotFoundError(RunStoreError, LookupError):
    """There is no store at the path; the first run makes one."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}: there is no store; the first run makes one"


class StoreFormatError(RunStoreError):
    """The path is not a store that this version can read.

    Attributes:
        path: The store, or the file in it that says so.
        found: What stands there.
        supported: What this version reads.
    """

    def __init__(self, path: str, found: str, supported: str) -> None:
        super().__init__(path, found, supported)
        self.path = path
        self.found = found
        self.supported = supported

    def __str__(self) -> str:
        return f"{self.path}: {self.found}; this version reads {self.supported}"


class CorruptSegmentError(RunStoreError):
    """A file that must hold records cannot be read as one.

    Attributes:
        path: The file.
        offset: Where in it, in bytes from the start.
        reason: What is wrong there.
    """

    def __init__(self, path: str, offset: int, reason: str) -> None:
        super().__init__(path, offset, reason)
        self.path = path
        self.offset = offset
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: at byte {self.offset}: {self.reason}"


class SegmentPoisonedError(RunStoreError):
    """An earlier write to this file failed or was cut short, so it takes nothing more.

    What was acknowledged before is safe. What failed may stand in the file in part, where readers
    find it as a torn tail; writing it again could double it.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: takes no more records: {self.reason}"


class GuardTimeoutError(RunStoreError, TimeoutError):
    """Another run holds the guard, or the run key.

    Attributes:
        path: The file that is locked.
        timeout_s: How long it was waited for, in seconds.
        holder: What the holder says of itself: `run`, `host`, `pid`, `token`, `since`; empty when
            it has not said yet.
        run_key: The key that is held; None: it is the guard.
    """

    def __init__(
        self,
        path: str,
        timeout_s: float,
        holder: dict[str, Any] | None = None,
        run_key: str | None = None,
    ) -> None:
        super().__init__(path, timeout_s, holder, run_key)
        self.path = path
        self.timeout_s = timeout_s
        self.holder = holder or {}
        self.run_key = run_key

    def __str__(self) -> str:
        what = "the guard" if self.run_key is None else f"the run key {_short(self.run_key)!r}"
        if not self.holder:
            return f"{what} is held by another run; its lock is {self.path}"
        run, host, pid, since = (
            self.holder.get(key, "unknown") for key in ("run", "host", "pid", "since")
        )
        held = f"run {run} (host {host}, pid {pid}, since {since})"
        return f"{what} is held by {held}; its lock is {self.path}"


def _short(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


class GuardUnavailableError(RunStoreError):
    """The guard needs a library that is not installed; `library` names it."""

    def __init__(self, library: str) -> None:
        super().__init__(library)
        self.library = library

    def __str__(self) -> str:
        return f"the guard needs {self.library}, which is not installed"


class SegmentClosedError(RunStoreError):
    """The attempt or the run has ended; nothing follows an `end`."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}: has ended; nothing follows an end"
