"""A file system in memory of which one operation fails, once or ever after."""

from __future__ import annotations

import errno
import io
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from runstore.layout import RUNS, STORE_FILE
from tests.faults.memory import MemoryOs, Tree, holding

WRITING = frozenset({"open", "write", "fdatasync", "fsync", "close", "mkdir", "rename", "unlink"})
READING = frozenset({"open", "read", "close", "listdir", "lseek", "lstat", "fstat"})
MENDING = WRITING | READING | {"rmdir"}


@dataclass(frozen=True, slots=True)
class Failure:
    """Which operation fails, and how.

    Attributes:
        number: Which one, from 1, of those of these kinds.
        kinds: The kinds of operations that count.
        error: The `errno` that it fails with; None: it is a write, and is cut short.
        for_ever: Whether all later ones of its kind fail too.
        kept: How much is written of a write that is cut short: all but one byte at the most.
    """

    number: int
    kinds: frozenset[str]
    error: int | None
    for_ever: bool = False
    kept: float = 0.5


class FailingOs(MemoryOs):
    """What `runstore.files` needs of the module `os`, with one failure.

    Attributes:
        failure: The failure; None: nothing fails any more.
        steps: How many operations there were of its kinds.
        tried_again: What must not be: a file written or synced again, or a folder synced again,
            after that has failed. Of folders those of one run.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__()
        self.failure: Failure | None = failure
        self.steps = 0
        self.tried_again: list[str] = []
        self._failed_kind: str | None = None
        self._spoilt: set[int | str] = set()

    def take(self, tree: Tree) -> None:
        """Hold these files and folders."""
        held = holding(tree)
        self.entries, self.contents, self._next = held.entries, held.contents, held._next

    @property
    def descriptors(self) -> int:
        """How many are open."""
        return len(self._open)

    def _fails(self, kind: str) -> bool:
        failure = self.failure
        if failure is None or kind not in failure.kinds:
            return False
        self.steps += 1
        if self.steps == failure.number:
            self._failed_kind = kind
            return True
        return failure.for_ever and kind == self._failed_kind

    def _pass(self, kind: str) -> None:
        """Raise when an operation of this kind is to fail now."""
        if self._fails(kind):
            assert self.failure is not None
            raise OSError(self.failure.error, "injected")

    def _pass_once(self, kind: str, target: int | str) -> None:
        """The same, for what must not be tried again."""
        if target in self._spoilt:
            self.tried_again.append(f"{kind} of {target}")
        try:
            self._pass(kind)
        except OSError:
            self._spoilt.add(target)
            raise

    def open(self, path: str, flags: int, mode: int = 0) -> int:
        self._pass("open")
        return super().open(path, flags, mode)

    def close(self, descriptor: int) -> None:
        super().close(descriptor)  # as Linux does, whatever it says
        self._pass("close")

    def write(self, descriptor: int, data: bytes) -> int:
        failure, inode = self.failure, self._open[descriptor].inode
        if failure is None or failure.error is not None:
            self._pass_once("write", inode)
        elif self._fails("write"):
            self._spoilt.add(inode)
            data = data[: min(len(data) - 1, int(len(data) * failure.kept))]
        elif inode in self._spoilt:
            self.tried_again.append(f"write of {inode}")
        return super().write(descriptor, data)

    def read(self, descriptor: int, size: int) -> bytes:
        self._pass("read")
        return super().read(descriptor, size)

    def lseek(self, descriptor: int, offset: int, whence: int) -> int:
        self._pass("lseek")
        return super().lseek(descriptor, offset, whence)

    def fdopen(self, descriptor: int, _mode: str) -> Any:
        return io.BufferedReader(_Stream(self, descriptor))

    def fdatasync(self, descriptor: int) -> None:
        inode = self._open[descriptor].inode
        if any(self.entries.get(path) == inode for path in self._store_files()):
            # Each run syncs it for itself, as it does the folders above its own. If the system has
            # dropped it, verify says so; no record depends on it.
            self._pass("fdatasync")
        else:
            self._pass_once("fdatasync", inode)
        super().fdatasync(descriptor)

    def _store_files(self) -> list[str]:
        return [path for path in self.entries if path.endswith(f"/{STORE_FILE}")]

    def fsync(self, descriptor: int) -> None:
        folder = self._open[descriptor].listing or ""
        if f"/{RUNS}/" in folder:
            self._pass_once("fsync", folder)
        else:  # each run syncs the folders above its own for itself
            self._pass("fsync")
        super().fsync(descriptor)

    def mkdir(self, path: str, mode: int = 0) -> None:
        self._pass("mkdir")
        super().mkdir(path, mode)

    def rename(self, source: str, target: str) -> None:
        self._pass("rename")
        super().rename(source, target)

    replace = rename

    def unlink(self, path: str) -> None:
        self._pass("unlink")
        super().unlink(path)

    def rmdir(self, path: str) -> None:
        self._pass("rmdir")
        super().rmdir(path)

    def listdir(self, path: str) -> list[str]:
        self._pass("listdir")
        return super().listdir(path)

    def lstat(self, path: str) -> SimpleNamespace:
        self._pass("lstat")
        return super().lstat(path)

    stat: Any = lstat

    def fstat(self, descriptor: int) -> SimpleNamespace:
        self._pass("fstat")
        return super().fstat(descriptor)


class _Stream(io.RawIOBase):
    """What a buffered reader reads from: each of its calls may fail as well."""

    def __init__(self, memory: FailingOs, descriptor: int) -> None:
        self._memory = memory
        self._descriptor = descriptor

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._memory.read(self._descriptor, len(buffer))
        except InterruptedError as error:
            # The buffered reader would try again, for ever.
            raise OSError(errno.EIO, "interrupted") from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._memory.close(self._descriptor)
