"""The rules of Windows on the file system in memory, where they differ from those of POSIX.

- A file that somebody has open cannot be replaced (error 5), renamed or removed (error 32).
- A rename does not replace what has the name; `replace` does.
- A folder cannot be opened, so its entries cannot be synced.
- Names are the same whatever their case; device names, some characters, and a dot or space at the
  end are refused here, where the system itself would write into nothing or drop them.

Simulated from the documentation of the system's calls; not measured on it.
"""

from __future__ import annotations

import contextlib
import errno
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from runstore import files
from tests.faults.memory import FOLDER, MemoryOs

_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9]|conin\$|conout\$)(\..*)?", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]')


@dataclass(slots=True)
class WindowsOs(MemoryOs):
    """`os` as `runstore.files` would find it on Windows."""

    def open(self, path: str, flags: int, mode: int = 0) -> int:
        self._check(path)
        same = self._same_name(path)
        if self.entries.get(same, -1) is FOLDER:
            raise PermissionError(errno.EACCES, "a folder cannot be opened", path)
        return MemoryOs.open(self, same, flags, mode)

    def mkdir(self, path: str, mode: int = 0) -> None:
        self._check(path)
        MemoryOs.mkdir(self, self._same_name(path), mode)

    def rename(self, source: str, target: str) -> None:
        self._check(target)
        if self._same_name(target) in self.entries:
            raise FileExistsError(errno.EEXIST, "the name is taken", target)
        self._move(source, target)

    def replace(self, source: str, target: str) -> None:
        self._check(target)
        if self._is_open(self._same_name(target)):
            raise PermissionError(errno.EACCES, "it is open (5)", target)
        self._move(source, self._same_name(target))

    def unlink(self, path: str) -> None:
        if self._is_open(path):
            raise PermissionError(errno.EACCES, "it is open (32)", path)
        MemoryOs.unlink(self, path)

    def _move(self, source: str, target: str) -> None:
        below = [name for name in self.entries if name == source or name.startswith(f"{source}/")]
        if any(map(self._is_open, below)):
            raise PermissionError(errno.EACCES, "it is open (32)", source)
        for name in below:
            self.entries[target + name[len(source) :]] = self.entries.pop(name)

    def _is_open(self, path: str) -> bool:
        inode = self.entries.get(path)
        return inode is not FOLDER and any(held.inode == inode for held in self._open.values())

    def _same_name(self, path: str) -> str:
        """The entry that this name means, whatever its case."""
        folded = path.casefold()
        return next((name for name in self.entries if name.casefold() == folded), path)

    def _check(self, path: str) -> None:
        name = posixpath.basename(path)
        refused = _DEVICE.fullmatch(name) or _FORBIDDEN.search(name) or name != name.rstrip(". ")
        if refused or len(name) > 255:
            raise OSError(errno.EINVAL, "no name for a file", path)


@contextlib.contextmanager
def windows() -> Iterator[WindowsOs]:
    """Let the store believe that it runs on Windows, while the context lasts."""
    with pytest.MonkeyPatch.context() as patch:
        memory = WindowsOs()
        patch.setattr(files, "os", memory)
        patch.setattr(files, "sys", SimpleNamespace(platform="win32"))
        yield memory
