"""One run of a pipeline at a time, or under a key, across processes. The only user of filelock.

Nothing in the store depends on it: it keeps work from being done twice, not files from being
damaged. It is a lock of the operating system, so a holder that dies lets it go; where its jobs
inherit the descriptor, it is let go when the last of them has ended too.

    locks/<name>.lock               the file that is locked; it stays when it is free
    locks/<hash>~key.lock           the same of a run key
    locks/<hash>.<run_id>.holder    who holds it, as JSON, for those who find it held

`<hash>` is of the pipeline's name, and of the key: a name and an id are too long for one file name.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import orjson

from runstore import files, layout
from runstore.errors import GuardTimeoutError, GuardUnavailableError
from runstore.lines.record import timestamp
from runstore.liveness import this_process

if TYPE_CHECKING:
    from filelock import BaseFileLock

GuardMaker = Callable[..., AbstractContextManager[Any]]
GuardKind = Literal["filelock"] | GuardMaker | None

_POLL_S = 0.05
# Some 30 years. filelock takes "without limit" for a deadlock when the same thread has taken the
# lock before, even if it has given it to another one since.
_NO_LIMIT_S = 1e9
_MAX_HOLDER_BYTES = 1 << 16
_HOLDER_FIELDS = {"host": str, "pid": int, "token": str, "since": str}


class Guard:
    """What keeps a second run of a pipeline away. Made by `hold`, released by `release`.

    It is held by the process that took it: a child made by `fork` can neither release it nor keep
    it held.

    Attributes:
        descriptor: The descriptor of the locked file, for jobs to inherit; None: there is none.
    """

    def __init__(self) -> None:
        self.descriptor: int | None = None
        self._pid = os.getpid()

    def announce(self, run_id: str) -> None:
        """Tell those who find the guard held which run holds it."""

    def release(self) -> None:
        """Let the guard go; a second time, or in a child made by `fork`, nothing happens."""
        self.descriptor = None
        if self._pid == os.getpid():
            self._let_go()

    def _let_go(self) -> None:
        pass


class FileGuard(Guard):
    """A guard by a lock of the operating system on a file of the store.

    Attributes:
        path: The file.
        run_key: The key that it stands for; None: it is that of a pipeline.
    """

    run_key: str | None = None

    def __init__(self, store: str, pipeline: str) -> None:
        super().__init__()
        self._folder = f"{store}/{layout.LOCKS}"
        name, self._hash = self._names(pipeline)
        self.path = f"{self._folder}/{name}.lock"
        self._run_id: str | None = None
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
            self._lock.acquire(_NO_LIMIT_S if timeout_s < 0 else min(timeout_s, _NO_LIMIT_S))
        except Timeout:
            holder = self._read_holder()
            raise GuardTimeoutError(self.path, timeout_s, holder, self.run_key) from None
        except OSError as error:
            if error.filename is not None:
                raise
            reason = f"the guard's file cannot be locked: {error.strerror}"
            raise OSError(error.errno, reason, self.path) from error
        # Who is named there held it before, and was killed.
        for run_id in self._holders():
            self._remove_holder(run_id)

    def announce(self, run_id: str) -> None:
        """Write who holds the guard; where that fails it is held all the same."""
        holder = {"run": run_id, **this_process().fields(), "since": timestamp()}
        self._run_id = run_id
        with contextlib.suppress(OSError):
            files.publish(self._holder_file(run_id), orjson.dumps(holder), sync=False)

    def _names(self, pipeline: str) -> tuple[str, str]:
        """What the file that is locked is called, and how those that name the holder begin."""
        return layout.job_name(pipeline), hashlib.sha256(pipeline.encode()).hexdigest()[:16]

    def _let_go(self) -> None:
        if self._run_id is not None:
            self._remove_holder(self._run_id)
            self._run_id = None
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

    def _holder_file(self, run_id: str) -> str:
        return f"{self._folder}/{self._hash}.{run_id}{layout.HOLDER_SUFFIX}"

    def _remove_holder(self, run_id: str) -> None:
        with contextlib.suppress(OSError):
            files.remove(self._holder_file(run_id))

    def _holders(self) -> list[str]:
        """The runs that are named as holders, oldest first; all but the last one are gone."""
        start, end = f"{self._hash}.", layout.HOLDER_SUFFIX
        names: list[str] = []
        with contextlib.suppress(OSError):
            names = files.names(self._folder)
        ids = [
            name[len(start) : -len(end)]
            for name in names
            if name.startswith(start) and name.endswith(end)
        ]
        return list(filter(layout.is_run_id, ids))

    def _read_holder(self) -> dict[str, Any]:
        """What is known of the holder; empty: it has not said yet."""
        holders = self._holders()
        if not holders:
            return {}
        said: Any = None
        with contextlib.suppress(OSError, ValueError):
            said = orjson.loads(files.read_whole(self._holder_file(holders[-1]), _MAX_HOLDER_BYTES))
        known = said if isinstance(said, dict) else {}
        fields = {
            name: known[name]
            for name, kind in _HOLDER_FIELDS.items()
            if type(known.get(name)) is kind
        }
        return {"run": holders[-1], **fields}


class RunKey(FileGuard):
    """A run key that is held, so that no other run works under it: a context manager.

    It is let go when a run that was made with it ends, or the context, whichever comes first.

    Attributes:
        pipeline: Of which pipeline the runs are that it names.
        run_key: The key.
    """

    run_key: str

    def __init__(self, store: str, pipeline: str, run_key: str) -> None:
        """Prepare to hold it; the store does this.

        Raises:
            RecordError: It is no run key.
            GuardUnavailableError: filelock is not installed.
        """
        self.pipeline = pipeline
        self.run_key = run_key
        super().__init__(store, pipeline)

    def _names(self, pipeline: str) -> tuple[str, str]:
        name = layout.key_name(pipeline, self.run_key)
        return name, name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


class OwnGuard(Guard):
    """A guard of the caller's own: any context manager."""

    def __init__(self, manager: AbstractContextManager[Any]) -> None:
        super().__init__()
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(manager)

    def _let_go(self) -> None:
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


def release(guards: Iterable[Guard]) -> None:
    """Let several guards go, each whatever happens to the others."""
    with contextlib.ExitStack() as stack:
        for guard in guards:
            stack.callback(guard.release)


def _takes_argument(maker: GuardMaker) -> bool:
    import inspect

    try:
        inspect.signature(maker).bind("path")
    except (TypeError, ValueError):
        return False
    return True
