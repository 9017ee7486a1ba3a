"""The guard lets one in at a time, cannot go stale, and no record depends on it.

Processes compete for it. Holders are killed, with and without a job that still works. Then the lock
is removed each time it is held, and then there is none: runs are at work at the same time, and
every record that was acknowledged is there.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from runstore import GuardTimeoutError, RunStore
from tests.faults.harness import Result
from tests.faults.sharing import total
from tests.faults.workload import Safe, left_in
from tests.runstore.guarding import PIPELINE, competing, guarded, holding
from tests.scale import Scale

TITLE = "the guard lets one in, is free within a second of a kill, and no record depends on it"

PROCESSES = 8
PATIENCE_S = 60.0
# How long a contender is let wait while a job of a killed run is at work.
HELD_S = 0.2

HOLDS = {
    "filelock": ("holds", "overlaps"),
    "removed": ("holds of a guard that is removed", "overlaps then"),
    "none": ("runs without a guard", "overlaps without"),
}


def run(scale: Scale) -> Result:
    """Compete for the guard, kill its holders, break it, and do without."""
    rounds = {"filelock": scale.count(1_000, 15)}
    with TemporaryDirectory() as folder:
        results = [
            competed(Path(folder, how), rounds.get(how, scale.count(100, 5)), how) for how in HOLDS
        ]
        # The promise is a second; on a busy machine the sample only shows that it is freed.
        longest_s = scale.count(1, 10)
        results.append(
            killed(guarded(f"{folder}/killed", PATIENCE_S), scale.count(100, 5), longest_s)
        )
        if sys.platform != "win32":  # no descriptor is handed to a job there
            store = guarded(f"{folder}/orphaned", PATIENCE_S)
            results.append(orphaned(store, scale.count(50, 3), longest_s))
    return total(results)


def competed(folder: Path, rounds: int, how: str) -> Result:
    """Let processes compete, and hold what they were told against what can be read."""
    folder.mkdir()
    store = folder / "store"
    printed = competing(str(store), PROCESSES, rounds, str(folder), how)
    told = {Safe(*each) for one in printed for each in one["told"]}
    left = left_in(store, told)
    overlaps = sum(one["overlaps"] for one in printed)
    is_guarded = how == "filelock"
    assert is_guarded or overlaps, "nobody was at work at the same time: nothing is shown"
    holds, overlapped = HOLDS[how]
    return Result(
        {holds: PROCESSES * rounds, overlapped: overlaps, "acknowledged": left.acknowledged},
        lost=left.lost,
        undetected=overlaps if is_guarded else 0,
        false_alarms=left.errors,
    )


def killed(store: RunStore, kills: int, longest_s: float) -> Result:
    """Kill the holder again and again; the next one waits until the guard is free."""
    took = []
    for _ in range(kills):
        with holding("hang", store) as (process, _said):
            process.kill()
            took.append(until_free(store))
    late = sum(each > longest_s for each in took)
    return Result({"kills": kills, "free after a kill in": in_ms(max(took))}, undetected=late)


def orphaned(store: RunStore, kills: int, longest_s: float) -> Result:
    """Kill the holder while its job works; the guard is held until that has ended."""
    took, let_in = [], 0
    for _ in range(kills):
        with holding("job", store) as (process, [run_id, job]):
            try:
                process.kill()
                process.wait()
                let_in += holder(guarded(store.path, HELD_S)) != run_id
            finally:
                os.kill(int(job), signal.SIGKILL)
            took.append(until_free(store))
    late = sum(each > longest_s for each in took)
    return Result(
        {"kills beside a job": kills, "free after the job in": in_ms(max(took))},
        undetected=let_in + late,
    )


def until_free(store: RunStore) -> float:
    """Wait for the guard, and take it; gives how long that took, in seconds."""
    began = time.monotonic()
    with store.create_run(PIPELINE):
        return time.monotonic() - began


def in_ms(seconds: float) -> str:
    """A time that nothing took longer than, in words."""
    return f"{round(seconds * 1000):,} ms at most"


def holder(store: RunStore) -> str | None:
    """The run that holds the guard, by what a contender is told; None: nobody did."""
    try:
        with store.create_run(PIPELINE):
            return None
    except GuardTimeoutError as error:
        return str(error.holder.get("run"))
