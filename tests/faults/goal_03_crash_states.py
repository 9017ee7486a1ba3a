"""Every state that a crash can leave of a recorded run can be read, and holds what was promised.

The run is recorded once, operation by operation. For each prefix of the operations the states are
made that a power cut may leave (durability `disk`), or a kill (durability `os`). Only this finds a
folder that is not synced: ext4 and xfs forgive it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from runstore import RunNotFoundError, RunStore, StoreNotFoundError
from tests.faults.harness import Result
from tests.faults.memory import ROOT, CrashPoint, MemoryOs, Op, Tree, holding, mounted
from tests.scale import Scale

TITLE = "every crash state of a recorded run can be read, and holds what was acknowledged"

STORE = f"{ROOT}/store"
JOBS = ("ingest_1", "ingest_2", "Ingest 3", "report")
Key = tuple[str | None, int, str]


def run(scale: Scale) -> Result:
    """Make the states and read each."""
    chance = random.Random(3)
    seen: set[int] = set()
    wrong = lost = points = 0
    for durability in ("disk", "os"):
        ops = recorded_run(durability)
        for end in range(1, len(ops) + 1):
            points += 1
            for tree in _states(ops[:end], durability, scale, chance):
                key = hash(tuple(tree.items()))
                if key in seen:
                    continue
                seen.add(key)
                errors, missing = examine(tree, _acknowledged(ops[:end]))
                wrong += errors
                lost += missing
    figures: dict[str, int | float | str] = {"crash points": points, "distinct states": len(seen)}
    return Result(figures=figures, lost=lost, false_alarms=wrong)


def recorded_run(durability: str) -> list[Op]:
    """The operations of one run: jobs side by side, as threads would have them."""
    with mounted(MemoryOs()) as memory:
        store = RunStore(STORE, durability)  # type: ignore[arg-type]
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


def _states(ops: list[Op], durability: str, scale: Scale, chance: random.Random) -> Iterator[Tree]:
    point = CrashPoint(ops)
    if durability == "os":
        point.only_killed()
    return point.states(scale.count(4096, 6), chance, every_cut=scale.count(1, 23))


def _acknowledged(ops: list[Op]) -> set[tuple[str | None, int]]:
    return set().union(*(op.label for op in ops if op.what == "ack"))


def examine(tree: Tree, acknowledged: set[tuple[str | None, int]]) -> tuple[int, int]:
    """Read a state; gives the errors that verify found, and the acknowledged records missing."""
    with mounted(holding(tree)):
        try:
            store = RunStore(STORE)
            errors = len(store.verify().errors)
            found: set[tuple[str | None, int]] = set()
            for run_id in store.run_ids():
                view = store.read(run_id)
                found |= {
                    (record.get("job") if _is_of_attempt(record) else None, record["n"])
                    for record in view.records()
                }
        except (StoreNotFoundError, RunNotFoundError):
            return 0, len(acknowledged)
    return errors, len(acknowledged - found)


def _is_of_attempt(record: dict[str, object]) -> bool:
    """Whether a record is of an attempt's file; `start` and `done` have a job too."""
    return record["event"] in {"metric", "output"} or "stage" in record or "duration_s" in record
