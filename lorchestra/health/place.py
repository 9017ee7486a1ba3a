"""The place where the store is, or will be: what kind it is, and whether it keeps what it says."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from lorchestra.health.finding import Finding

# As Linux, macOS and Windows name them; `fuse.` may stand before.
_OF_NETWORKS = frozenset(
    {
        *("9p", "afpfs", "afs", "beegfs", "ceph", "cephfs", "cifs", "davfs", "glusterfs", "gpfs"),
        *("lustre", "nfs", "nfs4", "s3fs", "smb3", "smbfs", "sshfs", "vboxsf", "virtiofs"),
        "webdav",
    }
)
_OF_MEMORY = frozenset({"ramfs", "tmpfs"})
_FEW_BYTES, _FEW_FILES = 100_000_000, 10_000
_SYNCS = 15
# A flash disk with a cache that survives a power cut takes some 20 microseconds.
_TOO_FAST_S, _SLOW_S = 15e-6, 0.05


def check_room(folder: Path) -> Iterator[Finding]:
    """Whether there is room for more records.

    Args:
        folder: A folder in that place.
    """
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:,.1f} GB free"
    advice = "remove old runs with lorchestra runstore prune, or set store to another place"
    if free < _FEW_BYTES:
        yield Finding("room", "note", text, advice)
    elif (inodes := _free_inodes(folder)) is not None and inodes < _FEW_FILES:
        yield Finding("room", "note", f"{text}, but for {inodes:,} files", advice)
    else:
        yield Finding("room", "ok", text)


def check_kind(folder: Path) -> Iterator[Finding]:
    """Which file system it is, and whether it tells upper from lower case."""
    kind = kind_of(folder)
    plain = (kind or "").removeprefix("fuse.").casefold()
    named = kind or "of a kind that the system does not name"
    if plain in _OF_NETWORKS:
        advice = (
            "records are safe there, since no two processes write one file; but run a pipeline "
            "from one machine at a time: a guard may not hold between machines"
        )
        yield Finding("file system", "note", f"{named}, which is a network's", advice)
    elif plain in _OF_MEMORY:
        advice = "set store to a folder on a disk if runs are to be remembered"
        yield Finding("file system", "note", f"{named}: it is empty after a restart", advice)
    else:
        yield Finding("file system", "ok", named)
    (folder / "case").write_bytes(b"")
    if (folder / "CASE").exists():
        text = "upper and lower case are the same here: file names of records are made for that"
        yield Finding("file names", "ok", text)
    else:
        yield Finding("file names", "ok", "upper and lower case are told apart")


def check_sync(folder: Path) -> Iterator[Finding]:
    """How long it takes until the disk has what it is given, and whether that can be true."""
    took = []
    descriptor = os.open(folder / "sync", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        for _ in range(_SYNCS):
            os.write(descriptor, b"x" * 4096)
            began = time.perf_counter()
            os.fsync(descriptor)
            took.append(time.perf_counter() - began)
    finally:
        os.close(descriptor)
    seconds = statistics.median(took)
    text = f"takes {seconds * 1e3:.3g} ms (median of {_SYNCS})"
    in_memory = (kind_of(folder) or "").casefold() in _OF_MEMORY
    if seconds < _TOO_FAST_S and not in_memory:
        advice = (
            "something between here and the disk says done before it is: after a power cut, "
            "verify with --receipt"
        )
        yield Finding("sync", "note", f"{text}, which is less than any disk needs", advice)
    elif seconds > _SLOW_S:
        advice = (
            "each job waits for it as it begins and ends; with --durability os it does not, and a "
            "power cut may cost the last seconds of records"
        )
        yield Finding("sync", "note", text, advice)
    else:
        yield Finding("sync", "ok", text)


def kind_of(folder: Path) -> str | None:
    """The name of the file system that a folder is on; None: the system does not say."""
    import psutil

    try:
        places = {place.mountpoint: place.fstype for place in psutil.disk_partitions(all=True)}
    except OSError:
        return None
    path = Path(os.path.realpath(folder))
    return next(
        (places[str(each)] or None for each in (path, *path.parents) if str(each) in places), None
    )


def _free_inodes(folder: Path) -> int | None:
    """How many more files there may be; None: the file system has no such limit, or none known."""
    if not hasattr(os, "statvfs"):
        return None
    known = os.statvfs(folder)
    return known.f_favail if known.f_files else None
