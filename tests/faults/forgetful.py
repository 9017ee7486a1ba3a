"""A file system (FUSE) that forgets at a power cut whatever was not synced.

What is written to a file is on its disk after the file's fsync, a name after that of the folder
that has it, and not a moment earlier: the least that POSIX promises. Real file systems keep more.

`mounted` mounts it, in a process of its own; `Power` cuts its power and restores it.
"""

from __future__ import annotations

import errno
import importlib
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tests.faults.machine import to_start, unmount

CUT_AFTER, RESTORE, FORMAT = "user.cut_after", "user.restore", "user.format"
START_S = 30.0


@dataclass(slots=True)
class File:
    """A file: its bytes, and those of them that are on the disk."""

    data: bytearray = field(default_factory=bytearray)
    synced: bytes = b""

    def sync(self) -> None:
        """Put its bytes on the disk."""
        self.synced = bytes(self.data)

    def forget(self) -> None:
        """Lose what is not on the disk."""
        self.data = bytearray(self.synced)


@dataclass(slots=True)
class Folder:
    """A folder: its names, and those of them that are on the disk."""

    data: dict[str, File | Folder] = field(default_factory=dict)
    synced: dict[str, File | Folder] = field(default_factory=dict)

    def sync(self) -> None:
        """Put its names on the disk."""
        self.synced = dict(self.data)

    def forget(self) -> None:
        """Lose what is not on the disk, here and below."""
        self.data = dict(self.synced)
        for each in self.data.values():
            each.forget()


class ForgetfulFiles:
    """What FUSE calls. One thread."""

    use_ns = True

    def __init__(self) -> None:
        """Begin with nothing, and with power."""
        self._root = Folder()
        self._left: int | None = None

    def setxattr(self, _path: str, name: str, value: bytes, _options: int, *_: int) -> int:
        """Cut the power after so many changes and syncs more, restore it, or make all empty."""
        if name == CUT_AFTER:
            self._left = int(value)
        elif name == RESTORE:
            self._left = None
            self._root.forget()
        elif name == FORMAT:
            self._root = Folder()
        return 0

    def getattr(self, path: str, _descriptor: int | None = None) -> dict[str, int]:
        """Give the kind and the size of what stands there."""
        found = self._at(path)
        if isinstance(found, Folder):
            return {"st_mode": stat.S_IFDIR | 0o700, "st_nlink": 2}
        return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": len(found.data)}

    def readdir(self, path: str, _descriptor: int) -> list[str]:
        """Give the names in a folder."""
        return [".", "..", *self._folder(path).data]

    def mkdir(self, path: str, _mode: int) -> int:
        """Make a folder."""
        self._change()
        folder, name = self._above(path)
        folder.data[name] = Folder()
        return 0

    def create(self, path: str, _mode: int) -> int:
        """Make an empty file."""
        self._change()
        folder, name = self._above(path)
        folder.data[name] = File()
        return 0

    def open(self, path: str, _flags: int) -> int:
        """Open a file."""
        self._file(path)
        return 0

    def read(self, path: str, size: int, offset: int, _descriptor: int) -> bytes:
        """Read from a file."""
        return bytes(self._file(path).data[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, _descriptor: int) -> int:
        """Write to a file; into memory only."""
        self._change()
        self._file(path).data[offset : offset + len(data)] = data
        return len(data)

    def fsync(self, path: str, _data_only: int, _descriptor: int) -> int:
        """Put a file's bytes on the disk; its name stays in memory."""
        self._change()
        self._file(path).sync()
        return 0

    def fsyncdir(self, path: str, _data_only: int, _descriptor: int) -> int:
        """Put a folder's names on the disk."""
        self._change()
        self._folder(path).sync()
        return 0

    def rename(self, old: str, new: str) -> int:
        """Give something another name; in memory only."""
        self._change()
        source, old_name = self._above(old)
        target, new_name = self._above(new)
        target.data[new_name] = source.data.pop(old_name)
        return 0

    def unlink(self, path: str) -> int:
        """Remove a file; in memory only."""
        self._change()
        folder, name = self._above(path)
        del folder.data[name]
        return 0

    def _change(self) -> None:
        """Let one change or sync through, if there is power for it."""
        if self._left:
            self._left -= 1
        elif self._left is not None:
            raise OSError(errno.EIO, "there is no power")

    def _at(self, path: str) -> File | Folder:
        found: File | Folder = self._root
        for name in PurePosixPath(path).parts[1:]:
            if not isinstance(found, Folder) or name not in found.data:
                raise FileNotFoundError(errno.ENOENT, "nothing is there", path)
            found = found.data[name]
        return found

    def _file(self, path: str) -> File:
        found = self._at(path)
        if isinstance(found, Folder):
            raise IsADirectoryError(errno.EISDIR, "is a folder", path)
        return found

    def _folder(self, path: str) -> Folder:
        found = self._at(path)
        if isinstance(found, File):
            raise NotADirectoryError(errno.ENOTDIR, "is a file", path)
        return found

    def _above(self, path: str) -> tuple[Folder, str]:
        above, _, name = path.rpartition("/")
        return self._folder(above or "/"), name


@dataclass(frozen=True, slots=True)
class Power:
    """The power of the file system that is mounted at a folder."""

    folder: Path

    def cut_after(self, changes: int) -> None:
        """Let so many changes and syncs through; each one after them fails."""
        self._tell(CUT_AFTER, changes)

    def restore(self) -> None:
        """Forget what was not synced, and work again."""
        self._tell(RESTORE)

    def format(self) -> None:
        """Begin with an empty disk."""
        self._tell(FORMAT)

    def _tell(self, what: str, number: int = 0) -> None:
        if sys.platform == "linux":  # no other has it, as the checker of types knows
            os.setxattr(self.folder, what, b"%d" % number)


@contextmanager
def mounted(folder: Path) -> Iterator[Power]:
    """Mount the file system at a folder while the context lasts; for what runs apart."""
    folder.mkdir()
    server = subprocess.Popen([*to_start("tests.faults.forgetful"), str(folder)])
    until = time.monotonic() + START_S
    try:
        while not folder.is_mount():
            assert server.poll() is None, "the file system has ended"
            assert time.monotonic() < until, "the file system does not start"
            time.sleep(0.01)
        yield Power(folder)
        unmount(folder)
    finally:
        server.kill()
        server.wait()


def serve(folder: str) -> None:
    """Mount the file system, and answer until it is unmounted."""
    fuse: Any = importlib.import_module("mfusepy")
    # The kernel must remember nothing either.
    fresh = {"attr_timeout": 0, "entry_timeout": 0, "negative_timeout": 0, "direct_io": True}
    fuse.FUSE(ForgetfulFiles(), folder, foreground=True, nothreads=True, **fresh)


if __name__ == "__main__":
    serve(sys.argv[1])
