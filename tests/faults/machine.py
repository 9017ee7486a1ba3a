"""What the machine offers to the faults: mounts of their own, file systems, FUSE; if not, why not.

What mounts something runs apart: in a mount and a process namespace of its own. However it ends,
by a kill as well, the kernel then takes away its mounts, the loop devices behind them and the
processes that it started, and nothing that others made.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
APART = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--")
PACKAGES = {
    "mkfs.btrfs": "btrfs-progs",
    "mkfs.exfat": "exfatprogs",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.ntfs": "ntfs-3g",
    "mkfs.vfat": "dosfstools",
    "mkfs.xfs": "xfsprogs",
    "mount": "mount",
    "mount.exfat-fuse": "exfat-fuse",
    "mount.lowntfs-3g": "ntfs-3g",
    "mount.ntfs-3g": "ntfs-3g",
    "unshare": "util-linux",
}
# Last in the path: the store that is tested is the one that is installed.
START = f"""
import runpy, sys
sys.path.append({str(ROOT)!r})
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""
SBIN = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


class UnmountableError(Exception):
    """The machine has no such file system; the text says why, as `mount` does."""


@dataclass(frozen=True, slots=True)
class FileSystem:
    """A file system that can be made in a file.

    Attributes:
        name: What it is called.
        programs: What makes it, with its options, and what else it needs; none for one that is
            made by mounting it.
        smallest_mb: How large a file it needs, in MiB; most of that is a hole.
        mount_type: What `mount -t` calls it.
        options: For `mount -o`; `{bytes}` stands for the size of the file.
    """

    name: str
    programs: tuple[tuple[str, ...], ...]
    smallest_mb: int
    mount_type: str
    options: str = "loop"

    def why_not(self) -> str | None:
        """Which program is missing, as a sentence; None: none is."""
        return first_reason(*(missing_program(program[0]) for program in self.programs))

    def make(self, image: Path, size_mb: int = 0) -> None:
        """Make it in a new file.

        Args:
            image: The file.
            size_mb: Its size, in MiB; as small as can be, if that is more.

        Raises:
            UnmountableError: The program that makes it refuses to.
        """
        with image.open("xb") as file:
            file.truncate(max(size_mb, self.smallest_mb) << 20)
        if self.programs:
            try:
                command(*self.programs[0], str(image))
            except subprocess.CalledProcessError as error:
                raise UnmountableError(f"{self.programs[0][0]} fails") from error

    def mount(self, image: Path, folder: Path) -> None:
        """Mount the one that is in a file; for what runs apart.

        Raises:
            UnmountableError: The kernel does not know it, say.
        """
        options = self.options.format(bytes=image.stat().st_size)
        try:
            command("mount", "-t", self.mount_type, "-o", options, str(image), str(folder))
        except subprocess.CalledProcessError as error:
            said = error.stderr.strip().splitlines() or [f"mount gives {error.returncode}"]
            raise UnmountableError(said[0].rpartition(f"{folder}: ")[-1].rstrip(".")) from error

    @contextlib.contextmanager
    def mounted(self, folder: Path, size_mb: int = 0) -> Iterator[Path]:
        """Make one and mount it at a new folder while the context lasts; for what runs apart."""
        image = folder.with_suffix(".image")
        folder.mkdir()
        self.make(image, size_mb)
        self.mount(image, folder)
        try:
            yield folder
        finally:
            unmount(folder)
            image.unlink()


TMPFS = FileSystem("tmpfs", (), 4, "tmpfs", "size={bytes}")
EXT4 = FileSystem("ext4", (("mkfs.ext4", "-q"),), 64, "ext4")
XFS = FileSystem("xfs", (("mkfs.xfs", "-q"),), 320, "xfs")
# Small files inline stand among the names, where there is room when the disk is full.
BTRFS = FileSystem("btrfs", (("mkfs.btrfs", "-q"),), 128, "btrfs", "loop,max_inline=0")
NTFS = FileSystem(
    "ntfs-3g",
    (("mkfs.ntfs", "-q", "-F"), ("mount.ntfs-3g",)),
    64,
    "ntfs-3g",
    "loop,windows_names",
)
CASELESS_NTFS = FileSystem(
    "ntfs-3g without case",
    (("mkfs.ntfs", "-q", "-F"), ("mount.lowntfs-3g",)),
    64,
    "lowntfs-3g",
    "loop,windows_names,ignore_case",
)
EXFAT = FileSystem("exfat", (("mkfs.exfat",), ("mount.exfat-fuse",)), 64, "exfat-fuse")
VFAT = FileSystem("vfat", (("mkfs.vfat",),), 64, "vfat")


def first_reason(*reasons: str | None) -> str | None:
    """The first reason there is; None: there is none."""
    return next((reason for reason in reasons if reason is not None), None)


def missing_program(name: str) -> str | None:
    """Why a program cannot be used, as a sentence; None: it can."""
    if shutil.which(name, path=SBIN) is not None:
        return None
    return f"{name} is missing (Debian package {PACKAGES[name]})"


@functools.cache
def cannot_mount() -> str | None:
    """Why nothing can be mounted here, as a sentence; None: it can."""
    if sys.platform != "linux":
        return "it needs the namespaces and mounts of Linux"
    if os.geteuid() != 0:
        return "it needs root, to mount file systems"
    missing = first_reason(missing_program("unshare"), missing_program("mount"))
    if missing is not None:
        return missing
    try_it = [*APART, "mount", "-t", "tmpfs", "none", "/mnt"]
    tried = subprocess.run(try_it, check=False, capture_output=True, text=True)
    said = tried.stderr.strip().rpartition("/mnt: ")[-1]
    return None if tried.returncode == 0 else f"mounting is refused: {said}"


@functools.cache
def cannot_fuse() -> str | None:
    """Why no file system can be made with FUSE here, as a sentence; None: it can."""
    if not os.path.exists("/dev/fuse"):
        return "the kernel offers no /dev/fuse"
    if importlib.util.find_spec("mfusepy") is None:
        return "mfusepy is not installed (`tox -e privileged` has it)"
    if not (ctypes.util.find_library("fuse3") or ctypes.util.find_library("fuse")):
        return "libfuse is missing (Debian package libfuse3-3)"
    return None


def on_each(
    file_systems: Iterable[FileSystem], module: str, *arguments: object
) -> dict[str, dict[str, Any]]:
    """Run a module apart for each of several file systems, as many at once as there are processors.

    Returns:
        By the name of the file system: what the module prints, which is given the name and the
        arguments; `{"reason": ...}` where something is missing.
    """

    def on(file_system: FileSystem) -> dict[str, Any]:
        reason = file_system.why_not()
        if reason is not None:
            return {"reason": reason}
        printed: dict[str, Any] = run_apart(module, file_system.name, *arguments)
        return printed

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = {each.name: pool.submit(on, each) for each in file_systems}
        return {name: future.result() for name, future in running.items()}


def run_apart(module: str, *arguments: object) -> Any:
    """Run a module of the tests apart, as root of its own mounts, and give what it prints as JSON.

    Raises:
        AssertionError: It failed; the message has what it said.
    """
    done = subprocess.run(
        [*APART, *to_start(module), *map(str, arguments)],
        check=False,
        cwd=ROOT,
        env={**os.environ, "PATH": SBIN},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{module} {' '.join(map(str, arguments))}:\n{done.stderr}"
    sys.stderr.write(done.stderr)
    return json.loads(done.stdout)


def to_start(module: str) -> list[str]:
    """The command that runs a module of the tests, or a program that is installed."""
    return [sys.executable, "-P", "-c", START, module]


def command(*words: str) -> str:
    """Run a program that must succeed; gives what it printed."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory, for images and mounts; for what runs apart.

    In memory, so that what a file system syncs costs the machine's own disk nothing.
    """
    command("mount", "-t", "tmpfs", "none", "/mnt")
    try:
        yield Path("/mnt")
    finally:
        command("umount", "--recursive", "--lazy", "/mnt")


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nothing be written to a folder while the context lasts; for what runs apart."""
    command("mount", "--bind", str(folder), str(folder))
    try:
        command("mount", "-o", "remount,bind,ro", str(folder))
        yield
    finally:
        unmount(folder)


def unmount(folder: Path) -> None:
    """Take away what is mounted there."""
    command("umount", str(folder))
