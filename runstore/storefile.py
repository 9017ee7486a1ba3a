"""The file that makes a folder a store: created at once, checked before anything else is read."""

from __future__ import annotations

import contextlib
from zlib import crc32

import orjson

from runstore import files, layout
from runstore.errors import StoreFormatError

STORE_VERSION = 1
_SUPPORTED = f"stores of version {STORE_VERSION}"
_CONTENT = b'{"format":"runstore","version":1'
_LINE = b'%b,"crc":"%08x"}\n' % (_CONTENT, crc32(_CONTENT))
_MAX_BYTES = 1 << 16
_MAX_SHOWN = 40
_OWN_NAMES = frozenset({layout.IGNORE_FILE, layout.RUNS, layout.LOCKS})


def create_store(store: str, *, sync: bool) -> None:
    """Make a folder a store, unless it is one.

    Several processes may do this at once. After a crash in the middle the folder is still free to
    become a store.

    Raises:
        StoreFormatError: Something else is there.
        OSError: The folder cannot be made or written.
    """
    if check_store(store):
        return
    was_there = files.exists(store)
    try:
        _make(store, sync=sync)
    except OSError:
        if not was_there:
            # On a full disk, say, no empty folders are left.
            with contextlib.suppress(OSError):
                files.remove_empty_folder(f"{store}/{layout.RUNS}")
                files.remove_empty_folder(store)
        raise


def _make(store: str, *, sync: bool) -> None:
    files.make_folders(f"{store}/{layout.RUNS}", sync=False)
    if sync:
        # All of them: those that are there may be of one who did not come to that.
        files.sync_names(f"{files.resolved(store)}/{layout.RUNS}")
    files.publish(f"{store}/{layout.IGNORE_FILE}", b"*\n", sync=sync)
    files.publish(f"{store}/{layout.STORE_FILE}", _LINE, sync=sync)


def check_store(store: str) -> bool:
    """Tell whether a store is there; False: nothing is, and one can be made.

    Raises:
        StoreFormatError: What is there is no store, or one of a newer version.
        OSError: It cannot be read.
    """
    if not files.exists(store):
        return False
    if not files.is_folder(files.resolved(store)):
        raise StoreFormatError(store, "is a file, not a folder", _SUPPORTED)
    # Listed once: another process may be making the store at this moment.
    names = files.names(store)
    if layout.STORE_FILE in names:
        _refuse_other_version(f"{store}/{layout.STORE_FILE}")
        return True
    foreign = [name for name in names if not _is_own(name)]
    if foreign:
        found = f"is a folder of something else (it has {foreign[0]!r} and no store.json)"
        raise StoreFormatError(store, found, _SUPPORTED)
    return False


def whole_store_file() -> bytes:
    """What the store's own file holds."""
    return _LINE


def store_file_problem(store: str) -> str | None:
    """What is wrong with the store's own file, as a sentence; None: nothing."""
    content = _read(f"{store}/{layout.STORE_FILE}")
    return None if content == _LINE else "the store's own file is not what was written"


def _is_own(name: str) -> bool:
    """Tell whether a name can be there before the store's own file is: a crash can leave it."""
    return name in _OWN_NAMES or name.endswith(layout.TEMPORARY_SUFFIX)


def _refuse_other_version(path: str) -> None:
    """Refuse a file that says it is of another format or version; damage is left to verify."""
    try:
        content = _read(path)
    except FileNotFoundError:
        # It was listed: another process puts the same in its place, which on some file systems
        # (ntfs-3g) is two steps.
        return
    if _differing_bytes(content) <= 1:
        # One byte is damage: a file of another version has another checksum as well.
        return
    try:
        fields = orjson.loads(content)
    except ValueError:
        return
    if not isinstance(fields, dict) or fields.get("format") != "runstore":
        raise StoreFormatError(path, "is no store's file", _SUPPORTED)
    version = fields.get("version")
    if version != STORE_VERSION:
        raise StoreFormatError(path, f"is of version {_short(version)}", _SUPPORTED)


def _short(version: object) -> str:
    """A version in one line, whatever another program calls one."""
    if isinstance(version, dict | list):
        return f"a {type(version).__name__}"
    text = repr(version)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _read(path: str) -> bytes:
    try:
        descriptor = files.open_read(path)
    except files.NotAFileError:
        return b""
    try:
        return files.read(descriptor, _MAX_BYTES)
    finally:
        files.close(descriptor)


def _differing_bytes(content: bytes) -> int:
    """How many bytes are not what was written; all of them when there are more or fewer."""
    if len(content) != len(_LINE):
        return len(_LINE)
    return sum(one != two for one, two in zip(content, _LINE, strict=True))
