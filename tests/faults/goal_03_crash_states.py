"""Every state that a crash can leave of a recorded run can be read, and holds what was promised.

The run is recorded once, operation by operation. For each prefix of the operations the states are
made that a crash may leave. Only this finds a folder that is not synced: ext4 and xfs forgive it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import orjson

from runstore import RunNotFoundError, RunStore, StoreNotFoundError
from runstore.storefile import create_store
from tests.faults.harness import Result
from tests.faults.memory import ROOT, CrashPoint, MemoryOs, Op, Tree, holding, mounted
from tests.faults.sharing import counted, shared_out
from tests.scale import Scale

TITLE = "every crash state of a recorded run can be read, and holds what was acknowledged"

STORE = f"{ROOT}/srv/nightly/store"
JOBS = ("ingest_1", "ingest_2", "Ingest 3", "report")
# What happens at which durability. After a power cut at `os` nothing is promised but that what is
# left can be read.
POWER_CUT, KILLED = "power cut at disk", "killed at os"
POWER_CUT_AFTER_OS, POWER_CUT_AT_OS = "power cut at disk after os", "power cut at os"
Acked = set[tuple[str | None, int]]


def run(scale: Scale) -> Result:
    """Make the states and read each."""
    return shared_out(__name__, scale)


def share(part: int, parts: int, scale: Scale) -> Result:
    """Make the states of one of so many parts of the crash points."""
    chance = random.Random(3)
    found: Counter[str] = Counter()
    seen: set[int] = set()
    for case in (POWER_CUT, KILLED, POWER_CUT_AFTER_OS, POWER_CUT_AT_OS):
        ops = recorded_run(case)
        written = written_in(ops)
        for end in range(_first_promise(ops) if case == POWER_CUT_AFTER_OS else 1, len(ops) + 1):
            if end % parts != part:
                continue
            found["crash points"] += 1
            acked = set() if case == POWER_CUT_AT_OS else _acknowledged(ops[:end])
            for tree in _states(ops[:end], case, scale, chance):
                # What was promised meanwhile makes another state of the same files.
                key = hash((tuple(tree.items()), case == POWER_CUT_AT_OS, frozenset(acked)))
                if key not in seen:
                    seen.add(key)
                    found["distinct states"] += 1
                    found.update(examine(tree, acked, written, case != POWER_CUT_AT_OS))
    return counted(found)


def recorded_run(case: str) -> list[Op]:
    """The operations of one run: jobs side by side, as threads would have them."""
    with mounted(MemoryOs()) as memory:
        if case == POWER_CUT_AFTER_OS:  # somebody has made the store, and done no more
            create_store(STORE, sync=False)
        store = RunStore(STORE, "os" if case in {KILLED, POWER_CUT_AT_OS} else "disk")
        with store.create_run("nightly", jobs=JOBS) as run:
            memory.ack({(None, 0), (None, 1)})
            logs = [run.job(job) for job in JOBS]
            for number in range(2):
                for log in logs:
                    log.append("metric", number=number, text="a text with é and \\ in it")
            for log in reversed(logs):
                position = log.end("succeeded", exit_code=0)
                memory.ack({(log.job_id, n) for n in range(position.n + 1)})
            position = run.end("succeeded")
            memory.ack({(None, n) for n in range(position.n + 1)})
        return memory.ops


def written_in(ops: list[Op]) -> frozenset[bytes]:
    """Every line that was written."""
    return frozenset(op.data for op in ops if op.what == "write")


def _first_promise(ops: list[Op]) -> int:
    return next(end for end in range(1, len(ops) + 1) if _acknowledged(ops[:end]))


def _states(ops: list[Op], case: str, scale: Scale, chance: random.Random) -> Iterator[Tree]:
    point = CrashPoint(ops)
    if case == KILLED:
        point.only_killed()
    return point.states(scale.count(16_000, 6), chance, every_cut=scale.count(1, 23))


def _acknowledged(ops: list[Op]) -> Acked:
    return Acked().union(*(op.label for op in ops if op.what == "ack"))


def examine(
    tree: Tree, acked: Acked, written: frozenset[bytes], may_have_no_error: bool
) -> dict[str, int]:
    """Read a state; gives the errors that verify found, and the acknowledged records missing."""
    with mounted(holding(tree)):
        try:
            store = RunStore(STORE)
            errors = len(store.verify().errors)
            found: Acked = set()
            changed = 0
            for run_id in store.run_ids():
                for record in store.read(run_id).records():
                    is_of_attempt = _is_of_attempt(record)
                    found.add((record.get("job") if is_of_attempt else None, record["n"]))
                    changed += _line(record, is_of_attempt) not in written
        except (StoreNotFoundError, RunNotFoundError):
            return {"lost": len(acked)}
    return {
        "lost": len(acked - found),
        "undetected": changed,
        "false_alarms": errors if may_have_no_error else 0,
    }


def _line(record: dict[str, object], is_of_attempt: bool) -> bytes:
    """The line that a record was read from; readers add to those of attempts what they are of."""
    added = {"job", "attempt"} if is_of_attempt and record["event"] != "begin" else set[str]()
    own = {name: value for name, value in record.items() if name not in added}
    return orjson.dumps(own, option=orjson.OPT_APPEND_NEWLINE)


def _is_of_attempt(record: dict[str, object]) -> bool:
    """Whether a record is of an attempt's file; `start` and `done` have a job too."""
    return record["event"] in {"metric", "output"} or "stage" in record or "duration_s" in record
