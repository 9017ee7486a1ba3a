"""Repair and compact may fail or be killed at every step: nothing is lost, and doing it again ends.

In memory each call of the system fails in turn, in every way there is, once and ever after; then a
kill, and then a power cut, comes after each operation, with every state that it may leave. What
could be read before can be read then and after doing it again, the files as they were found stay
beside the mended ones, and a third time changes nothing.
"""

from __future__ import annotations

import errno
import random
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import count, islice, product
from pathlib import Path
from tempfile import TemporaryDirectory

from runstore import RunStoreError
from tests.faults.failing import MENDING, FailingOs, Failure
from tests.faults.harness import Result
from tests.faults.memory import CrashPoint, Tree, holding, mounted
from tests.faults.sharing import counted, shared_out
from tests.faults.stores import STORE
from tests.runstore.steps import SCENARIOS, Scenario
from tests.scale import Scale

TITLE = "repair and compact, failed or killed at any step, lose nothing, and go on from there"

NAMES = ("Compaction", "SecondCompaction", "Repair", "SealedRepair")
ERRORS = (
    *(errno.ENOSPC, errno.EIO, errno.EINTR),
    *(errno.EDQUOT, errno.EMFILE, errno.EROFS),
)


def run(scale: Scale) -> Result:
    """Stop them everywhere."""
    return shared_out(__name__, scale)


def share(part: int, parts: int, scale: Scale) -> Result:
    """Stop them at one of so many parts of their steps."""
    found: Counter[str] = Counter()
    for scenario, tree in scenarios():
        for error, for_ever, kept in ways_to_fail():
            kinds = frozenset({"write"}) if error is None else MENDING
            for number in count(1 + part, parts * scale.count(1, 37)):
                if not fail(scenario, tree, Failure(number, kinds, error, for_ever, kept), found):
                    break
        for crash in islice(crashes(scenario, tree, scale), part, None, parts):
            found["states after a kill or power cut"] += 1
            with mounted(holding(crash)):
                finish(scenario, found)
    return counted(found)


def ways_to_fail() -> Iterator[tuple[int | None, bool, float]]:
    """The error, whether for ever, and how much a write keeps that is cut short instead."""
    yield from ((error, for_ever, 0.0) for error, for_ever in product(ERRORS, (False, True)))
    yield from ((None, False, kept) for kept in (0.0, 0.5, 1.0))


def fail(scenario: Scenario, tree: Tree, failure: Failure, found: Counter[str]) -> bool:
    """Do it with a failure, and again without; gives False when it ends before it."""
    memory = FailingOs(failure)
    memory.take(tree)
    with mounted(memory):
        with suppress(OSError, RunStoreError):
            scenario.act()
        if memory.steps < failure.number:
            return False
        found["calls failed"] += 1
        found["undetected"] += len(memory.tried_again) + memory.descriptors
        memory.failure = None
        finish(scenario, found)
    return True


def crashes(scenario: Scenario, tree: Tree, scale: Scale) -> Iterator[Tree]:
    """Every state that a kill or a power cut may leave, after each operation."""
    memory = holding(tree)
    memory.settle()
    before = len(memory.ops)
    with mounted(memory):
        scenario.act()
    chance = random.Random(11)
    seen: set[int] = set()
    for end in range(before, len(memory.ops) + 1):
        for point in (CrashPoint(memory.ops[:end]).only_killed(), CrashPoint(memory.ops[:end])):
            for state in point.states(scale.count(4096, 3), chance, every_cut=scale.count(7, 997)):
                key = hash(tuple(state.items()))
                if key not in seen:
                    seen.add(key)
                    yield state


def finish(scenario: Scenario, found: Counter[str]) -> None:
    """Check what is left, and that doing it again ends it; what is wrong counts as lost."""
    try:
        scenario.finish()
    except (AssertionError, LookupError, OSError, RunStoreError):
        traceback.print_exc()
        found["lost"] += 1


def scenarios() -> Iterator[tuple[Scenario, Tree]]:
    """What is to be stopped, and the store in memory on which it is done."""
    for name in NAMES:
        with TemporaryDirectory() as folder:
            scenario = SCENARIOS[name](Path(folder))
            tree = tree_at(Path(scenario.store.path))
        scenario.move(STORE)
        yield scenario, tree


def tree_at(folder: Path) -> Tree:
    """A store in a folder as one in memory."""
    tree: Tree = {STORE: None}
    for path in sorted(folder.rglob("*")):
        content = None if path.is_dir() else path.read_bytes()
        tree[f"{STORE}/{path.relative_to(folder).as_posix()}"] = content
    return tree
