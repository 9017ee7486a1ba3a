"""What other processes are given to do."""

from __future__ import annotations

import os
import signal
import sys
import time

from runstore.verifying import workers


def double(number: int) -> int:
    if number < 0:
        raise ValueError(f"{number} is negative")
    return 2 * number


def pid(_item: object) -> int:
    time.sleep(0.02)
    return os.getpid()


def die_elsewhere(parent: int) -> int:
    """End the process at once, unless it is that one."""
    if os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    return parent


def hang_elsewhere(parent: int) -> int:
    """Say which process it is, and never return, unless it is that one."""
    if os.getpid() != parent:
        print(os.getpid(), flush=True)
        time.sleep(3600)
    return parent


def hang_at_a_later_one(number: int) -> int:
    """Give the first few back, and never return the others."""
    if number > 3:
        time.sleep(3600)
    return number


if __name__ == "__main__":
    workers.ALONE_S = 0
    sys.exit(list(workers.each(hang_elsewhere, [os.getpid()] * 8, workers=2)) == [])
