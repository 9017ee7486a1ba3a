"""What a piece of code leaves behind: descriptors that stay open, threads that still run."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

DESCRIPTORS = Path("/proc/self/fd")


@contextmanager
def nothing_left_behind(grace_s: float = 2.0) -> Iterator[None]:
    """Fail when the body leaves a descriptor open or a thread running.

    Args:
        grace_s: How long threads that were told to stop may take to end.

    Raises:
        AssertionError: Something is still there after the grace; the message says what.

    Descriptors are seen only where the system lists them in `/proc`.
    """
    descriptors, threads = open_descriptors().keys(), set(threading.enumerate())

    def left_behind() -> list[str]:
        now = open_descriptors()
        return [
            *(f"descriptor {n} of {now[n]}" for n in now.keys() - descriptors),
            *(f"thread {thread}" for thread in set(threading.enumerate()) - threads),
        ]

    yield
    if left_behind():
        gc.collect()
    deadline = time.monotonic() + grace_s
    while left_behind() and time.monotonic() < deadline:
        time.sleep(0.01)
    if found := left_behind():
        raise AssertionError(f"left behind: {', '.join(found)}")


def children() -> list[psutil.Process]:
    """Processes that this one has started, and theirs; multiprocessing's tracker stays."""
    found = psutil.Process().children(recursive=True)
    return [child for child in found if not _is_tracker(child)]


def _is_tracker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.ZombieProcess):
        return "resource_tracker" in " ".join(process.cmdline())
    return False


def open_descriptors() -> dict[int, str]:
    """What each descriptor of this process leads to; empty where the system does not say."""
    if not DESCRIPTORS.is_dir():
        return {}
    found = {}
    for name in os.listdir(DESCRIPTORS):
        # The descriptor that listed the folder is in the list, and closed by now.
        try:
            found[int(name)] = os.readlink(DESCRIPTORS / name)
        except FileNotFoundError:
            continue
    return found
