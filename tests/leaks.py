"""What a piece of code leaves behind: descriptors that stay open, threads that still run."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DESCRIPTORS = Path("/proc/self/fd")
GRACE_S = 2.0


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Fail when the body leaves a descriptor open or a thread running.

    Raises:
        AssertionError: Something is still there after a grace of two seconds, in which threads
            that were told to stop can end.

    Descriptors are seen only where the system lists them in `/proc`.
    """
    descriptors, threads = open_descriptors(), set(threading.enumerate())

    def left_behind() -> list[str]:
        return [
            *(f"descriptor {n}: {to}" for n, to in open_descriptors().items() if n not in descriptors),
            *(f"thread: {thread}" for thread in threading.enumerate() if thread not in threads),
        ]

    yield
    if left_behind():
        gc.collect()
    deadline = time.monotonic() + GRACE_S
    while left_behind() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left_behind() == []


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
