"""A store on a real file system loses nothing that was acknowledged when the power is cut.

A worker writes to a file system in a loop device. The ioctl with which the tests of the kernel cut
the power stops that at any moment, without writing out its log. Mounted again, it shows what the
disk has. A store lives through several cuts, so that one left half made is written on, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import shutil
import signal
import struct
import sys
import time
import traceback
from collections import Counter
from functools import partial
from pathlib import Path
from typing import NoReturn

from runstore import RunStore, RunStoreError
from tests.faults.harness import NotRunError, Result
from tests.faults.machine import (
    EXT4,
    XFS,
    FileSystem,
    UnmountableError,
    cannot_mount,
    first_reason,
    on_each,
    scratch,
    unmount,
)
from tests.faults.workload import Safe, left_in, write_runs
from tests.scale import Scale

TITLE = "power cuts on ext4 and xfs lose nothing that was acknowledged and leave no file empty"
IS_SLOW = True

FILE_SYSTEMS = {each.name: each for each in (EXT4, XFS)}
# EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are one number; 2: without writing out the log.
SHUTDOWN, WITHOUT_LOG = 0x8004587D, 2
CUTS_PER_STORE = 3
# When the power goes: after so many times that the worker was told something, and so long.
MOST_TOLD, LONGEST_S = 20, 0.01


def NEEDS() -> str | None:
    """Why it cannot run here; None: it can, on one of the two at least."""
    reasons = [each.why_not() for each in FILE_SYSTEMS.values()]
    return first_reason(cannot_mount(), None if None in reasons else reasons[0])


def run(scale: Scale) -> Result:
    """Cut the power on each file system."""
    figures: dict[str, int | float | str] = {}
    total: Counter[str] = Counter()
    cuts = scale.count(1000, 10)
    for name, outcome in on_each(FILE_SYSTEMS.values(), __name__, cuts).items():
        if "reason" in outcome:
            figures[name] = f"not run: {outcome['reason']}"
        else:
            figures[f"cuts on {name}"] = cuts
            total.update(outcome)
    if not total:
        raise NotRunError(", ".join(f"{name} {why}" for name, why in figures.items()))
    figures["acknowledged records"] = total["acknowledged"]
    return Result(
        figures=figures, lost=total["lost"] + total["empty"], false_alarms=total["errors"]
    )


def cut(file_system: FileSystem, cuts: int) -> dict[str, int | str]:
    """Cut the power so many times; gives what was left, added up, or why it cannot be done."""
    total: Counter[str] = Counter()
    chance = random.Random(4)
    with scratch() as folder:
        try:
            disk = Disk(file_system, folder)
        except UnmountableError as error:
            return {"reason": str(error)}
        for first in range(0, cuts, CUTS_PER_STORE):
            store = disk.folder / str(first)
            told: set[Safe] = set()
            for _ in range(first, min(first + CUTS_PER_STORE, cuts)):
                told |= disk.written_until_cut(store, chance)
                left = left_in(store, told)
                total.update(lost=left.lost, errors=left.errors, empty=left.empty)
            total["acknowledged"] += left.acknowledged
            shutil.rmtree(store, ignore_errors=True)  # it may not have been made before the cuts
    assert total["acknowledged"], "the worker has written nothing"
    return dict(total)


class Disk:
    """A file system whose power can be cut."""

    def __init__(self, file_system: FileSystem, scratch: Path) -> None:
        """Make it, and mount it."""
        self.folder = scratch / "disk"
        self._file_system = file_system
        self._image = scratch / "image"
        self.folder.mkdir()
        file_system.make(self._image)
        file_system.mount(self._image, self.folder)

    def written_until_cut(self, store: Path, chance: random.Random) -> set[Safe]:
        """Let a worker write to a store, cut the power, and give what the worker was told."""
        worker = Worker(store)
        # By what it does, so that a busy machine sees as much of it as an idle one.
        worker.wait_until_told(chance.randrange(MOST_TOLD))
        time.sleep(chance.uniform(0, LONGEST_S))
        told = worker.told_until_now()
        self._shut_down()
        worker.kill()
        unmount(self.folder)
        self._file_system.mount(self._image, self.folder)
        return told

    def _shut_down(self) -> None:
        import fcntl  # not on Windows, where this module is imported, too

        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", WITHOUT_LOG))
        finally:
            os.close(descriptor)


class Worker:
    """A process that writes runs, and says through a pipe what it was told is safe."""

    def __init__(self, store: Path) -> None:
        """Start it."""
        self._said = b""
        self._pipe, writer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._pipe)
            work(store, writer)
        os.close(writer)

    def wait_until_told(self, times: int) -> None:
        """Wait until it was told something so many times."""
        while self._said.count(b"\n") < times and self._listen():
            pass

    def told_until_now(self) -> set[Safe]:
        """What it was told up to this moment.

        What it is told while the file system is being shut down is worth nothing: the kernel can
        call a sync done whose transaction the shutdown has thrown away (`jbd2_complete_transaction`
        does not wait for one that is gone). After a real power cut nobody is there to be told.
        """
        while select.select([self._pipe], [], [], 0)[0] and self._listen():
            pass
        return {Safe(*json.loads(line)) for line in self._said.splitlines()}

    def kill(self) -> None:
        """Kill it, unless the power cut has ended it."""
        os.close(self._pipe)
        os.kill(self._pid, signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        assert status in {0, signal.SIGKILL}, f"the worker ended with {status}"

    def _listen(self) -> bytes:
        said = os.read(self._pipe, 1 << 16)
        self._said += said
        return said


def work(store: Path, pipe: int) -> NoReturn:
    """Write runs until that fails, as it does when the power is gone."""
    code = 1
    try:
        with contextlib.suppress(OSError, RunStoreError):
            write_runs(RunStore(store), partial(say, pipe))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def say(pipe: int, safe: Safe) -> None:
    """Say what was told; a pipe takes a short text as a whole or not at all."""
    os.write(pipe, f"{json.dumps(safe)}\n".encode())


if __name__ == "__main__":
    print(json.dumps(cut(FILE_SYSTEMS[sys.argv[1]], int(sys.argv[2]))))
