"""A store on a file system that forgets what was not synced loses nothing that was acknowledged.

The power goes after any number of changes and syncs. Only what a file's fsync has put on the disk
is there afterwards, and only where the fsync of its folder has put the name there, too. A store
lives through several cuts, so that one left half made is written on.
"""

from __future__ import annotations

import contextlib
import json
import random
import sys
from collections import Counter

from runstore import RunStore, RunStoreError
from tests.faults.forgetful import mounted
from tests.faults.harness import Result
from tests.faults.machine import cannot_fuse, cannot_mount, first_reason, run_apart, scratch
from tests.faults.workload import Safe, left_in, write_runs
from tests.scale import Scale

TITLE = "power cuts of a file system that forgets what was not synced lose nothing acknowledged"
IS_SLOW = True

CUTS_PER_STORE = 3
# A new store and a run in it take 84 changes and syncs.
MOST_CHANGES = 120


def NEEDS() -> str | None:
    """Why it cannot run here; None: it can."""
    return first_reason(cannot_mount(), cannot_fuse())


def run(scale: Scale) -> Result:
    """Cut the power."""
    cuts = scale.count(10_000, 50)
    total = run_apart(__name__, cuts)
    figures = {"cuts": cuts, "acknowledged records": total["acknowledged"]}
    lost = total["lost"] + total["empty"]
    return Result(figures=figures, lost=lost, false_alarms=total["errors"])


def cut(cuts: int) -> dict[str, int]:
    """Cut the power so many times; gives what was left, added up."""
    total: Counter[str] = Counter()
    chance = random.Random(5)
    with scratch() as folder, mounted(folder / "disk") as power:
        for first in range(0, cuts, CUTS_PER_STORE):
            power.format()
            told: set[Safe] = set()
            for _ in range(first, min(first + CUTS_PER_STORE, cuts)):
                power.cut_after(chance.randrange(MOST_CHANGES))
                with contextlib.suppress(OSError, RunStoreError):
                    write_runs(RunStore(power.folder / "store"), told.add)
                power.restore()
                left = left_in(power.folder / "store", told)
                total.update(lost=left.lost, errors=left.errors, empty=left.empty)
            total["acknowledged"] += left.acknowledged
    assert total["acknowledged"], "nothing was written"
    return dict(total)


if __name__ == "__main__":
    print(json.dumps(cut(int(sys.argv[1]))))
