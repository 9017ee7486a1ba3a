"""A file system in memory that remembers what is on the disk and what a power cut would take.

It stands in for `os` inside `runstore.files`, the only door to the disk, so the store runs on it
unchanged. Every operation is noted; from any prefix of them every state can be made that a crash
at that moment may leave: what was not synced is there, or not, or cut at any byte.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import posixpath
import random
import stat as stat_module
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from runstore import files

ROOT = "/memory"
FOLDER = None
Tree = dict[str, bytes | None]


@dataclass(frozen=True, slots=True)
class Op:
    """One operation: what, on which path or file, and with which bytes.

    `what` is `mkdir`, `create`, `write`, `sync`, `syncdir`, `rename`, `unlink`, `rmdir`, or `ack`:
    the store has told its caller that something is safe, which `label` names.
    """

    what: str
    path: str = ""
    inode: int = 0
    data: bytes = b""
    target: str = ""
    label: Any = None


@dataclass(slots=True)
class _Open:
    inode: int
    at: int = 0
    listing: str | None = None


@dataclass(slots=True)
class MemoryOs:
    """What `runstore.files` needs of the module `os`, in memory, POSIX rules."""

    entries: dict[str, int | None] = field(default_factory=lambda: {ROOT: FOLDER, "/": FOLDER})
    contents: dict[int, bytearray] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    _open: dict[int, _Open] = field(default_factory=dict)
    _next: Iterator[int] = field(default_factory=lambda: itertools.count(1000))

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    @property
    def path(self) -> Any:
        return SimpleNamespace(
            dirname=posixpath.dirname,
            abspath=posixpath.normpath,
            realpath=posixpath.normpath,
            isdir=lambda path: stat_module.S_ISDIR(self._mode(path)),
            exists=lambda path: self._mode(path) != 0,
            ismount=lambda path: path == ROOT,
            lexists=lambda path: self._mode(path) != 0,
        )

    def _mode(self, path: str) -> int:
        """What stands there; 0: nothing, or it cannot be seen, as `os.path` has it."""
        try:
            mode: int = self.lstat(path).st_mode
        except OSError:
            return 0
        return mode

    def ack(self, label: Any) -> None:
        """Note that the store has said that something is safe."""
        self.ops.append(Op("ack", label=label))

    def open(self, path: str, flags: int, _mode: int = 0) -> int:
        if flags & os.O_CREAT:
            if path in self.entries:
                raise FileExistsError(errno.EEXIST, "exists", path)
            if posixpath.dirname(path) not in self.entries:
                raise FileNotFoundError(errno.ENOENT, "no such folder", path)
            inode = next(self._next)
            self.entries[path] = inode
            self.contents[inode] = bytearray()
            self.ops.append(Op("create", path, inode))
            return self._descriptor(_Open(inode))
        if path not in self.entries:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        inode_or_folder = self.entries[path]
        if inode_or_folder is FOLDER:
            return self._descriptor(_Open(0, listing=path))
        return self._descriptor(_Open(inode_or_folder))

    def _descriptor(self, opened: _Open) -> int:
        descriptor = next(self._next)
        self._open[descriptor] = opened
        return descriptor

    def fdopen(self, descriptor: int, _mode: str) -> io.BytesIO:
        return io.BytesIO(bytes(self.contents[self._open.pop(descriptor).inode]))

    def close(self, descriptor: int) -> None:
        del self._open[descriptor]

    def write(self, descriptor: int, data: bytes) -> int:
        inode = self._open[descriptor].inode
        self.contents[inode] += data
        self.ops.append(Op("write", inode=inode, data=bytes(data)))
        return len(data)

    def read(self, descriptor: int, size: int) -> bytes:
        opened = self._open[descriptor]
        data = bytes(self.contents[opened.inode][opened.at : opened.at + size])
        opened.at += len(data)
        return data

    def lseek(self, descriptor: int, offset: int, _whence: int) -> int:
        self._open[descriptor].at = offset
        return offset

    def fdatasync(self, descriptor: int) -> None:
        self.ops.append(Op("sync", inode=self._open[descriptor].inode))

    def fsync(self, descriptor: int) -> None:
        opened = self._open[descriptor]
        if opened.listing is None:
            self.ops.append(Op("sync", inode=opened.inode))
        else:
            self.ops.append(Op("syncdir", opened.listing))

    def mkdir(self, path: str, _mode: int = 0) -> None:
        if path in self.entries:
            raise FileExistsError(errno.EEXIST, "exists", path)
        if posixpath.dirname(path) not in self.entries:
            raise FileNotFoundError(errno.ENOENT, "no such folder", path)
        self.entries[path] = FOLDER
        self.ops.append(Op("mkdir", path))

    def rename(self, source: str, target: str) -> None:
        if source not in self.entries:
            raise FileNotFoundError(errno.ENOENT, "no such file", source)
        self.entries[target] = self.entries.pop(source)
        self.ops.append(Op("rename", source, target=target))

    replace = rename

    def unlink(self, path: str) -> None:
        if self.entries.pop(path, FOLDER) is FOLDER:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        self.ops.append(Op("unlink", path))

    def rmdir(self, path: str) -> None:
        if self.listdir(path):
            raise OSError(errno.ENOTEMPTY, "not empty", path)
        del self.entries[path]
        self.ops.append(Op("rmdir", path))

    def listdir(self, path: str) -> list[str]:
        if path not in self.entries:
            raise FileNotFoundError(errno.ENOENT, "no such folder", path)
        if self.entries[path] is not FOLDER:
            raise NotADirectoryError(errno.ENOTDIR, "no folder", path)
        start = f"{path}/"
        return [
            name[len(start) :]
            for name in self.entries
            if name.startswith(start) and "/" not in name[len(start) :]
        ]

    def lstat(self, path: str) -> SimpleNamespace:
        if path not in self.entries:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        inode = self.entries[path]
        if inode is FOLDER:
            return SimpleNamespace(st_mode=stat_module.S_IFDIR, st_size=0)
        return SimpleNamespace(st_mode=stat_module.S_IFREG, st_size=len(self.contents[inode]))

    stat = lstat

    def fstat(self, descriptor: int) -> SimpleNamespace:
        opened = self._open[descriptor]
        if opened.listing is not None:
            return SimpleNamespace(st_mode=stat_module.S_IFDIR, st_size=0)
        size = len(self.contents[opened.inode])
        return SimpleNamespace(st_mode=stat_module.S_IFREG, st_size=size)

    def scandir(self, path: str) -> Any:
        raise NotImplementedError(path)

    def settle(self) -> None:
        """Put all on the disk that is there, and begin anew to note operations."""
        self.ops = []
        folders = sorted(path for path, inode in self.entries.items() if inode is FOLDER)
        self.ops += [Op("mkdir", path) for path in folders if path not in {"/", ROOT}]
        for path, inode in self.entries.items():
            if inode is not FOLDER:
                self.ops += [Op("create", path, inode)]
                self.ops += [Op("write", inode=inode, data=bytes(self.contents[inode]))]
                self.ops += [Op("sync", inode=inode)]
        self.ops += [Op("syncdir", path) for path in folders]


def holding(tree: Tree) -> MemoryOs:
    """A file system that holds these files and folders, all of it on the disk."""
    memory = MemoryOs()
    for path, content in tree.items():
        if content is None:
            memory.entries[path] = FOLDER
        else:
            inode = next(memory._next)
            memory.entries[path] = inode
            memory.contents[inode] = bytearray(content)
    return memory


@contextlib.contextmanager
def mounted(memory: MemoryOs) -> Iterator[MemoryOs]:
    """Let the store use a file system in memory while the context lasts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "os", memory)
        yield memory


class CrashPoint:
    """What is on the disk for certain after some operations, and what may be.

    The model is that of POSIX: a name is on the disk for certain once its folder was synced after
    it was made, the bytes of a file once the file was; renames are atomic; everything else may be
    there or not, in any combination, and of the last bytes any part, or NUL bytes instead.
    """

    def __init__(self, ops: list[Op]) -> None:
        self.written: dict[int, bytes] = {}
        self.synced: dict[int, int] = {}
        self.names: dict[str, int | None] = {ROOT: FOLDER}
        self.sure_names: dict[str, int | None] = {ROOT: FOLDER}
        self.last_write: tuple[int, int] | None = None
        for op in ops:
            self._apply(op)

    def _apply(self, op: Op) -> None:
        self.last_write = None
        match op.what:
            case "mkdir":
                self.names[op.path] = FOLDER
            case "create":
                self.names[op.path] = op.inode
                self.written[op.inode], self.synced[op.inode] = b"", 0
            case "write":
                self.written[op.inode] += op.data
                self.last_write = op.inode, len(op.data)
            case "sync":
                self.synced[op.inode] = len(self.written[op.inode])
            case "syncdir":
                self._sync_names(op.path)
            case "rename":
                self.names[op.target] = self.names.pop(op.path)
            case "unlink" | "rmdir":
                del self.names[op.path]

    def _sync_names(self, folder: str) -> None:
        for name in set(self.names) | set(self.sure_names):
            if posixpath.dirname(name) == folder:
                if name in self.names:
                    self.sure_names[name] = self.names[name]
                else:
                    self.sure_names.pop(name, None)

    def only_killed(self) -> CrashPoint:
        """Let it be a kill: it takes nothing that was written, but can cut the last write."""
        self.sure_names = dict(self.names)
        self.synced = {inode: len(data) for inode, data in self.written.items()}
        return self

    def states(self, at_most: int, chance: random.Random, *, every_cut: int = 1) -> Iterator[Tree]:
        """The states that a crash here may leave.

        Args:
            at_most: How many combinations of what is there and what is not: all, or so many drawn
                by chance.
            chance: Where chance comes from.
            every_cut: Cut the last write at every so many bytes.
        """
        doubtful_names = [
            name for name in self.names if self.sure_names.get(name, -1) != self.names[name]
        ]
        doubtful_names += [name for name in self.sure_names if self._is_removed(name)]
        doubtful_files = [
            inode for inode, data in self.written.items() if self.synced[inode] < len(data)
        ]
        choices = [(True, False)] * len(doubtful_names)
        choices += [("all", "none", "nul")] * len(doubtful_files)  # type: ignore[list-item]
        total = 2 ** len(doubtful_names) * 3 ** len(doubtful_files)
        if total <= at_most:
            drawn: Iterator[tuple[Any, ...]] = itertools.product(*choices)
        else:
            drawn = (
                _drawn(len(doubtful_names), len(doubtful_files), chance) for _ in range(at_most)
            )
        for choice in drawn:
            kept = dict(zip(doubtful_names, choice[: len(doubtful_names)], strict=True))
            fate = dict(zip(doubtful_files, choice[len(doubtful_names) :], strict=True))
            yield self._tree(kept, {inode: self._left(inode, how) for inode, how in fate.items()})
        yield from self._torn(every_cut)

    def _torn(self, every: int) -> Iterator[Tree]:
        """The last write cut at every byte: with all else there, and with nothing else that is not
        on the disk for certain."""
        if self.last_write is None:
            return
        inode, size = self.last_write
        data = self.written[inode]
        for cut in range(len(data) - size, len(data), every):
            yield self._tree({}, {inode: data[:cut]})
            lost = {
                other: self.written[other][: self.synced[other]]
                for other in self.written
                if other != inode
            }
            yield self._tree({}, {**lost, inode: data[:cut]})

    def _is_removed(self, name: str) -> bool:
        """Tell whether a name is gone that is on the disk for certain, and was not changed."""
        inode = self.sure_names[name]
        is_moved = inode is not FOLDER and inode in self.names.values()
        return name not in self.names and not is_moved

    def _left(self, inode: int, how: str) -> bytes:
        data, sure = self.written[inode], self.synced[inode]
        if how == "all":
            return data
        return data[:sure] + (b"" if how == "none" else b"\0" * (len(data) - sure))

    def _tree(self, kept: dict[str, bool], contents: dict[int, bytes]) -> Tree:
        names = {name: inode for name, inode in self.names.items() if kept.get(name, True)}
        there = {inode for inode in names.values() if inode is not FOLDER}
        for name, inode in self.sure_names.items():
            # What did not reach the disk has not happened: a name that was removed, changed or
            # given to another file is the old one still. For a removed one, kept means removed.
            is_undone = name not in names and (name in self.names or not kept.get(name, False))
            if is_undone and inode not in there:
                names[name] = inode
        tree: Tree = {}
        for name, found in sorted(names.items()):
            above = posixpath.dirname(name)
            if name == ROOT or above in tree:  # what is below a lost folder is lost
                tree[name] = None if found is FOLDER else contents.get(found, self.written[found])
        return tree


def _drawn(names: int, contents: int, chance: random.Random) -> tuple[Any, ...]:
    """What of so many names and contents is there; without a folder nothing below it is."""
    kept = chance.choice((0.5, 0.9, 0.98))
    return (
        *(chance.random() < kept for _ in range(names)),
        *(chance.choice(("all", "none", "nul")) for _ in range(contents)),
    )
