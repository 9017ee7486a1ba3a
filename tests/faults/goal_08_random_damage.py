"""Stores with several faults drawn by chance: no crash, no hang, no changed record read as good.

Each store has a number, which alone decides what is done to it: so one that fails is made again.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from random import Random

from runstore import RunStore, StoreFormatError, StoreNotFoundError
from runstore.layout import STORE_FILE
from tests.faults.damage import damage, with_other_bytes
from tests.faults.harness import Result
from tests.faults.memory import Tree, holding, mounted
from tests.faults.sharing import counted, shared_out
from tests.faults.stores import (
    OTHER_RUN_ID,
    RUN_FILE,
    STORE,
    CompactedSample,
    Files,
    Sample,
    Verdict,
    finished_run,
    open_run,
)
from tests.scale import Scale

TITLE = "stores with random faults never crash or hang a reader, and give no changed record"

# Far longer than one of these small stores takes.
PATIENCE_S = 30
REPAIR_EVERY = 10


def run(scale: Scale) -> Result:
    """Damage the stores, and read each."""
    return shared_out(__name__, scale)


def share(part: int, parts: int, scale: Scale) -> Result:
    """Damage one of so many parts of the stores."""
    found: Counter[str] = Counter(stores=0, repaired=0, refused=0)
    for number in range(part, scale.count(1_000_000, 800), parts):
        with patience(number):
            of_one = examined(number, is_repaired=number // parts % REPAIR_EVERY == 0)
        found.update(of_one)
        if not (result := counted(of_one)).is_clean:
            print(f"store {number} of {parts} parts: {result}", file=sys.stderr, flush=True)
    return counted(found)


def examined(number: int, *, is_repaired: bool) -> Counter[str]:
    """Make the store of a number, and read it; count what is found."""
    chance = Random(number)
    sample = samples()[number % len(samples())]
    files = damage(sample, other_run(), chance)
    verdict = read(sample, with_damaged_store_file(sample.store_of(files), chance))
    if verdict is None:
        return Counter(stores=1, refused=1)
    is_missed = not verdict.errors and bool(sample.damaged(files) or verdict.strange)
    found = Counter(stores=1, undetected=verdict.changed + is_missed)
    # What is in the place of a line that is lost, and follows it there, is read; it is named.
    found["with lines of another file read after the damage"] = verdict.strange > 0
    if is_repaired:
        found.update(repaired(sample, files, verdict))
    return found


def read(sample: Sample, tree: Tree) -> Verdict | None:
    """Read all of a store in every way; None: it says that it is none."""
    with mounted(holding(tree)):
        try:
            store = RunStore(STORE)
            list(store.runs())
            return sample.verdict(store, sample.receipt, [other_run()])
        except (StoreFormatError, StoreNotFoundError):
            return None


def repaired(sample: Sample, files: Files, before: Verdict) -> Counter[str]:
    """Repair a store: what could be read before can be read then, and nothing is wrong with it."""
    after = sample.judge_repaired(files, other_run())
    astray = {line for name, data in files.items() if name != RUN_FILE for line in lines_of(data)}
    # In an attempt's file these read as what they are in the run's own.
    ambiguous = {
        key
        for line, key in sample.keys.items()
        if is_of_run_and_attempt(key) and (before.strange or line in astray)
    }
    return Counter(
        repaired=1,
        # Where lines of another run pass for its own, the run's files contradict each other.
        lost=0 if after.strange else len(before.kept - after.kept - ambiguous),
        undetected=after.changed,
        false_alarms=len(after.errors),
    )


def lines_of(data: bytes | None) -> list[bytes]:
    """The lines of a file; a folder has none."""
    return (data or b"").splitlines(keepends=True)


def is_of_run_and_attempt(key: bytes) -> bool:
    """Tell whether a record is one of the run's own that speaks of an attempt."""
    return b'"event":"start"' in key or b'"event":"done"' in key


def with_damaged_store_file(tree: Tree, chance: Random) -> Tree:
    """A store whose own file is damaged too, now and then."""
    if chance.random() < 0.98:
        return tree
    path = f"{STORE}/{STORE_FILE}"
    return {**tree, path: with_other_bytes(tree[path] or b"", [b"{}\n"], chance)}


@cache
def samples() -> list[Sample]:
    """A run that ended, the same compacted, and one that was left open."""
    ended = finished_run({"ingest": 2, "report": 1}, 1)
    return [ended, CompactedSample(ended), open_run({"ingest": True, "report": False}, 1)]


@cache
def other_run() -> Sample:
    """A run of the same pipeline, to take lines and files from."""
    return finished_run({"ingest": 2, "report": 1}, 1, OTHER_RUN_ID)


@contextmanager
def patience(number: int) -> Iterator[None]:
    """Raise in the body when it takes too long, where the system can do that."""
    if not hasattr(signal, "setitimer") or threading.current_thread() != threading.main_thread():
        yield
        return

    def give_up(*_: object) -> None:
        raise TimeoutError(f"store {number} hangs a reader")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
