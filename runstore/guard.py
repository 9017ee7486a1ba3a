"""The optional guard: one run of a pipeline at a time, across processes. The only user of filelock.

Nothing in the store depends on it: it keeps work from being done twice, not files from being
damaged. It is a lock of the operating system, so a holder that dies lets it go; where its jobs
inherit the descriptor, it is let go when the last of them has ended too.

    locks/<name>.lock               the file that is locked; it stays when it is free
    locks/<name>.<run_id>.holder    who holds it, as JSON, for those who find it held
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal

import orjson

from runstore import files, layout
from runstore.errors import GuardTimeoutError, GuardUnavailableError
from runstore.liveness import this_process
from runstore.record import timestamp

if TYPE_CHECKING:
    from filelock import BaseFileLock

GuardMaker = Callable[..., AbstractContextManager[Any]]
GuardKind = Literal["filelock"] | GuardMaker | None

_POLL_S = 0.05
_MAX_HOLDER_BYTES = 1 << 16


class Guard:
    """What keeps a second run of a pipeline away. Made by `hold`, released by `release`.

    Attributes:
        descriptor: The descriptor of the locked file, for jobs to inherit; None: there is none.
    """

    def __init__(self) -> None:
        self.descriptor: int | None = None

    def announce(self, run_id: str) -> None:
        """Tell those who find the guard held which run holds it."""

    def release(self) -> None:
        """Let the guard go."""


class FileGuard(Guard):
    """A guard by a lock of the operating system on a file of the store."""

    def __init__(self, store: str, pipeline: str) -> None:
        super().__init__()
        self._folder = f"{store}/{layout.LOCKS}"
        self._name = layout.job_name(pipeline)
        self._holder_file: str | None = None
        self.path = f"{self._folder}/{self._name}.lock"
        self._lock = self._make_lock()

    def hold(self, timeout_s: float) -> None:
        """Wait for the lock and take it.

        Args:
            timeout_s: How long to wait, in seconds; 0: not at all; negative: without limit.

        Raises:
            GuardTimeoutError: Another run holds it; the error names it.
            OSError: The file system has no locks, or the file cannot be made.
        """
        from filelock import Timeout

        files.make_folders(self._folder, sync=False)
        try:
            self._lock.acquire(timeout=timeout_s)
        except Timeout:
            holder = self._read_holder()
            raise GuardTimeoutError(self.path, timeout_s, holder) from None

    def announce(self, run_id: str) -> None:
        """Write who holds the guard, in place of those who held it before."""
        for stale in self._holder_files():
            files.remove(f"{self._folder}/{stale}")
        holder = {"run": run_id, **this_process().fields(), "since": timestamp()}
        self._holder_file = f"{self._folder}/{self._name}.{run_id}{layout.HOLDER_SUFFIX}"
        files.publish(self._holder_file, orjson.dumps(holder), sync=False)

    def release(self) -> None:
        """Let the guard go; a second time does nothing."""
        if self._holder_file is not None:
            with contextlib.suppress(OSError):
                files.remove(self._holder_file)
            self._holder_file = None
        self._lock.release()

    def _make_lock(self) -> BaseFileLock:
        try:
            from filelock import FileLock
        except ImportError:
            raise GuardUnavailableError("filelock") from None
        # By default a FileLock belongs to the thread that took it, removes its file, and turns into
        # a file that marks by being there, which goes stale, where the system has no locks.
        return FileLock(
            self.path,
            mode=files.FILE_MODE,
            thread_local=False,
            poll_interval=_POLL_S,
            fallback_to_soft=False,
            preserve_lock_file=True,
            on_acquired=self._note_descriptor,
        )

    def _note_descriptor(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def _holder_files(self) -> list[str]:
        start = f"{self._name}."
        return [
            name
            for name in files.names(self._folder)
            if name.startswith(start)
            and name.endswith(layout.HOLDER_SUFFIX)
            and layout.is_run_id(name[len(start) : -len(layout.HOLDER_SUFFIX)])
        ]

    def _read_holder(self) -> dict[str, Any]:
        """What the newest holder says of itself; empty: it has not said yet."""
        for name in reversed(self._holder_files()):
            with contextlib.suppress(OSError, ValueError):
                holder = orjson.loads(files.read_whole(f"{self._folder}/{name}", _MAX_HOLDER_BYTES))
                if isinstance(holder, dict):
                    return holder
        return {}


class OwnGuard(Guard):
    """A guard of the caller's own: any context manager."""

    def __init__(self, manager: AbstractContextManager[Any]) -> None:
        super().__init__()
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(manager)

    def release(self) -> None:
        """Leave the context manager; a second time does nothing."""
        self._stack.close()


def hold(kind: GuardKind, store: str, pipeline: str, timeout_s: float) -> Guard:
    """Take the guard of a pipeline in a store.

    Args:
        kind: None: no guard. `"filelock"`: a lock of the operating system. A callable: it gives a
            context manager, and is given the path of a file that stands for the pipeline if it
            takes an argument.
        store: The store's path.
        pipeline: The pipeline's name.
        timeout_s: How long to wait, in seconds; 0: not at all; negative: without limit. A guard of
            the caller's own waits as it likes.

    Raises:
        GuardTimeoutError: Another run holds it.
        GuardUnavailableError: filelock is not installed.
    """
    if kind is None:
        return Guard()
    if kind == "filelock":
        guard = FileGuard(store, pipeline)
        guard.hold(timeout_s)
        return guard
    path = f"{store}/{layout.LOCKS}/{layout.job_name(pipeline)}.lock"
    if _takes_argument(kind):
        files.make_folders(f"{store}/{layout.LOCKS}", sync=False)
        return OwnGuard(kind(path))
    return OwnGuard(kind())


def _takes_argument(maker: GuardMaker) -> bool:
    try:
        inspect.signature(maker).bind("path")
    except (TypeError, ValueError):
        return False
    return True
