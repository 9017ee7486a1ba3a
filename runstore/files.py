"""The only door to the disk: every system call of the store, and how platforms differ in it.

A test that wants to record, fail, cut short or reorder an operation replaces a function of this
module; the others call them through the module for that reason. Paths are text with `/`.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import secrets
import shutil
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

FOLDER_MODE = 0o700
FILE_MODE = 0o600
_BLOCK_BYTES = 1 << 20

_CREATE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND
_READ = os.O_RDONLY
if sys.platform == "win32":
    _CREATE |= os.O_BINARY | os.O_NOINHERIT
    _READ |= os.O_BINARY | os.O_NOINHERIT
else:
    # A FIFO in the place of a file must not hang a reader, and a link must not lead it elsewhere.
    _CREATE |= os.O_CLOEXEC
    _READ |= os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW


class NotAFileError(OSError):
    """A folder, link or device stands where a regular file must be."""


def create(path: str) -> int:
    """Create a file that must not exist yet, for appending, and give its descriptor.

    Raises:
        FileExistsError: It exists; a file has one writer in its life.
    """
    return os.open(path, _CREATE, FILE_MODE)


def append(descriptor: int, data: bytes) -> None:
    """Append bytes with a single write.

    Raises:
        OSError: The write failed, or was short: then part of the bytes are in the file.
    """
    written = os.write(descriptor, data)
    if written != len(data):
        raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes were written")


def sync_file(descriptor: int) -> None:
    """Put the file's bytes and its length on the disk; a failure is final, never try again."""
    if sys.platform == "darwin":
        import fcntl

        # fsync alone leaves the bytes in the drive's cache there (fsync(2) of macOS).
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    elif sys.platform == "win32":
        os.fsync(descriptor)
    else:
        os.fdatasync(descriptor)


def sync_folder(path: str) -> None:
    """Put the entries of a folder on the disk: the names of files made in it.

    Windows cannot open a folder for that; NTFS journals its entries.
    """
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if sys.platform == "darwin":
            sync_file(descriptor)
        else:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_name(path: str) -> None:
    """Put a folder's own name on the disk.

    Nothing happens where the one above may not be opened for that: who may not list it has hardly
    made something in it.
    """
    with contextlib.suppress(PermissionError):
        sync_folder(os.path.dirname(path))


def sync_content(path: str) -> None:
    """Put a file on the disk that somebody else has written, where the system lets a reader do so.

    Windows does not.
    """
    if sys.platform == "win32":
        return
    descriptor = open_read(path)
    try:
        sync_file(descriptor)
    finally:
        os.close(descriptor)


def sync_names(path: str) -> None:
    """Put a folder's own name on the disk, and those of all above it on its file system."""
    while not os.path.ismount(path) and path != os.path.dirname(path):
        sync_name(path)
        path = os.path.dirname(path)


class FolderSync:
    """Syncs one folder for many files made in it, with no more syncs than needed.

    Threads that made a file at about the same time share one sync. Thread-safe. A failed sync is
    final: the system may have dropped the entries, and another sync would not tell.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._made = 0
        self._synced = 0
        self._failed = False
        self._turn = threading.Lock()

    def made(self) -> int:
        """Note that a file has just been made; gives the ticket to sync it by."""
        with self._turn:
            self._made += 1
            return self._made

    def sync(self, ticket: int) -> None:
        """Return when the entry of that ticket is on the disk.

        Raises:
            OSError: The sync failed, or an earlier one of this folder did.
        """
        with self._turn:
            if self._synced >= ticket:
                return
            if self._failed:
                raise OSError(errno.EIO, "an earlier sync of the folder failed", self._path)
            self._failed = True
            sync_folder(self._path)
            self._failed = False
            self._synced = self._made


def make_folder(path: str) -> None:
    """Make one folder, for its owner alone; `FileExistsError` when the name is taken."""
    os.mkdir(path, FOLDER_MODE)


def make_folders(path: str, *, sync: bool) -> None:
    """Make a folder and those above it that are missing, for their owner alone.

    Args:
        path: The folder; nothing happens when it is there.
        sync: Put the entries of those made on the disk.
    """
    if os.path.isdir(path):
        return
    above = os.path.dirname(path)
    if above != path:  # it is its own parent at a root that is not there, such as a drive
        make_folders(above, sync=sync)
    with contextlib.suppress(FileExistsError):
        make_folder(path)
    if sync:
        sync_folder(above)


def publish(path: str, data: bytes, *, sync: bool) -> None:
    """Create a whole file under its name at once, or leave the one that is there already.

    Others see no file or all of it. Two processes may do this at once with the same bytes. After a
    crash a `.tmp` file can be left beside it, which nothing reads.
    """
    temporary = temporary_beside(path)
    descriptor = create(temporary)
    try:
        try:
            append(descriptor, data)
            if sync:
                sync_file(descriptor)
        finally:
            os.close(descriptor)
        _rename_new(temporary, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = path
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if sync:
        sync_folder(os.path.dirname(path))


def temporary_beside(path: str) -> str:
    """A free name beside a file, for what is to take its place; nothing reads it."""
    return f"{os.path.dirname(path)}/{secrets.token_hex(8)}.tmp"


@contextlib.contextmanager
def writing(path: str) -> Iterator[Callable[[bytes], None]]:
    """Create a file, write it in pieces, and put it on the disk at the end of the context."""
    descriptor = create(path)
    try:
        yield functools.partial(append, descriptor)
        sync_file(descriptor)
    finally:
        os.close(descriptor)


def replace(source: str, path: str) -> None:
    """Give a file another name in one step, in place of what has it, and put that on the disk.

    Raises:
        OSError: On Windows, also when somebody has the file open that is to be replaced.
    """
    os.replace(source, path)
    sync_folder(os.path.dirname(path))


def rename(source: str, path: str) -> None:
    """Give a file another name in one step, in place of what has it; `sync_folder` is to follow."""
    os.replace(source, path)


def copy_into(path: str, write: Callable[[bytes], None], block_bytes: int) -> None:
    """Copy a file's bytes."""
    with open_binary(path) as file:
        while block := file.read(block_bytes):
            write(block)


def same_content(path: str, other: str) -> bool:
    """Tell whether two files hold the same bytes; False, too, when one is no file."""
    if not is_file(path) or not is_file(other) or size_bytes(path) != size_bytes(other):
        return False
    with open_binary(path) as one, open_binary(other) as two:
        while block := one.read(_BLOCK_BYTES):
            if block != two.read(_BLOCK_BYTES):
                return False
    return True


def open_binary(path: str) -> io.BufferedReader:
    """Open a regular file for reading, as a stream."""
    return os.fdopen(open_read(path), "rb")


@contextlib.contextmanager
def scratch_folder() -> Iterator[str]:
    """Make a folder of the system's temporary files (`TMPDIR`) for the time of the context."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="runstore-", ignore_cleanup_errors=True) as folder:
        yield absolute(folder)


def link(target: str, path: str) -> None:
    """Make a link to anything."""
    os.symlink(target, path)


def place(temporary: str, path: str) -> None:
    """Give a file a name that is free, in one step, and put that on the disk.

    Where somebody else was first, theirs stays and this one goes.
    """
    _rename_new(temporary, path)
    sync_folder(os.path.dirname(path))


def _rename_new(temporary: str, path: str) -> None:
    """Rename a file to a name that is free, or drop it where somebody else was first."""
    if not exists(path):
        try:
            os.rename(temporary, path)
        except OSError:
            # Windows refuses to rename over a file that another process has just put there.
            if not exists(path):
                raise
        else:
            return
    os.unlink(temporary)


def open_read(path: str) -> int:
    """Open a regular file for reading.

    Raises:
        NotAFileError: Something else stands there.
    """
    try:
        descriptor = os.open(path, _READ)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EMLINK, errno.ENXIO} or _is_other_kind(path):
            raise NotAFileError(errno.EINVAL, "is not a regular file", path) from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotAFileError(errno.EINVAL, "is not a regular file", path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _is_other_kind(path: str) -> bool:
    """Tell whether what cannot be opened is a folder, or a device that is not there."""
    with contextlib.suppress(OSError):
        return os.path.isdir(path) or not stat.S_ISREG(_mode(path) or stat.S_IFREG)
    return False


def read(descriptor: int, size: int) -> bytes:
    """Read `size` bytes from where the descriptor stands; fewer only where the file ends."""
    data = b""
    # A single read may give less than there is, on a network file system for one.
    while len(data) < size and (more := os.read(descriptor, size - len(data))):
        data += more
    return data


def read_whole(path: str, at_most: int) -> bytes:
    """Read a small file, or its first `at_most` bytes."""
    descriptor = open_read(path)
    try:
        return read(descriptor, at_most)
    finally:
        os.close(descriptor)


def read_part(path: str, offset: int, size: int) -> bytes:
    """Read `size` bytes of a file from an offset on; fewer only where it ends."""
    descriptor = open_read(path)
    try:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return read(descriptor, size)
    finally:
        os.close(descriptor)


def read_end(descriptor: int, size: int) -> bytes:
    """Read up to the last `size` bytes of a file."""
    os.lseek(descriptor, max(0, os.fstat(descriptor).st_size - size), os.SEEK_SET)
    return read(descriptor, size)


def seek(descriptor: int, offset: int) -> None:
    """Go to an offset, in bytes from the start of the file."""
    os.lseek(descriptor, offset, os.SEEK_SET)


def close(descriptor: int) -> None:
    """Close a descriptor."""
    os.close(descriptor)


def remove(path: str) -> None:
    """Remove a file; nothing happens when it is gone."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def remove_empty_folder(path: str) -> None:
    """Remove a folder that has nothing in it; nothing happens when it is gone, or has something."""
    try:
        os.rmdir(path)
    except OSError as error:
        if not _is_nowhere(error) and error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise


def remove_folder(path: str) -> None:
    """Remove a folder and all that is in it; links are removed, and not followed."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        pass
    except RecursionError:  # before Python 3.13 it goes down only so far
        reason = "has folders in folders, more than can be removed"
        raise OSError(errno.ENAMETOOLONG, reason, path) from None


class Measure(NamedTuple):
    """How many files there are, and how many bytes they have."""

    files: int
    size_bytes: int


def measure(path: str) -> Measure:
    """Count a file, or all files below a folder; links are neither followed nor counted."""
    count, size = 0, 0
    waiting = [path]
    while waiting:
        path = waiting.pop()
        try:
            found = os.lstat(path)
            if stat.S_ISDIR(found.st_mode):
                waiting.extend(f"{path}/{name}" for name in os.listdir(path))
            elif stat.S_ISREG(found.st_mode):
                count, size = count + 1, size + found.st_size
        except OSError as error:
            # What is removed meanwhile does not count, nor what stands deeper than a path can say.
            if not _is_nowhere(error) and error.errno != errno.ENAMETOOLONG:
                raise
    return Measure(count, size)


def names(path: str) -> list[str]:
    """The names in a folder, sorted; none when there is no such folder."""
    try:
        return sorted(os.listdir(path))
    except OSError as error:
        if not _is_nowhere(error):
            raise
        return []


def _is_nowhere(error: OSError) -> bool:
    """Tell whether a path leads to nothing: no such name, through a file, or in a circle."""
    return isinstance(error, FileNotFoundError | NotADirectoryError) or error.errno == errno.ELOOP


def is_file(path: str) -> bool:
    """Tell whether a regular file, and no link to one, stands there."""
    return stat.S_ISREG(_mode(path))


def is_folder(path: str) -> bool:
    """Tell whether a folder, and no link to one, stands there."""
    return stat.S_ISDIR(_mode(path))


def _mode(path: str) -> int:
    """What stands there, as `stat` tells it; 0: nothing. What cannot be seen is not nothing."""
    try:
        return os.lstat(path).st_mode
    except OSError as error:
        if not _is_nowhere(error):
            raise
        return 0


def exists(path: str) -> bool:
    """Tell whether anything stands there."""
    return _mode(path) != 0


def size_bytes(path: str) -> int:
    """The length of a file; 0 when there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def resolved(path: str) -> str:
    """A path with its links followed: a store itself may be reached by one."""
    return os.path.realpath(path)


def absolute(path: str | os.PathLike[str]) -> str:
    """An absolute path with `/`, links left as they are."""
    return os.path.abspath(os.fspath(path)).replace(os.sep, "/")
