"""A resume that is itself killed, or met by a power cut, at every operation.

A run is recorded and stopped, then resumed, and that is stopped too, each operation in turn. Every
state that may be left is resumed once more: then all has succeeded, nothing that was acknowledged
ran again, and `verify` finds no error.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import pytest

from runstore import RunNotBegunError, RunStore, RunStoreError
from tests.faults.memory import FOLDER, ROOT, CrashPoint, MemoryOs, Op, Tree, holding, mounted
from tests.runstore.samples import DEAD

STORE = f"{ROOT}/store"
JOBS = ("ingest", "Report EU", "later", "last")
Acked = dict[str, int]


@contextlib.contextmanager
def by_a_process_that_is_gone() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in ("run", "claim"):
            patch.setattr(f"runstore.writing.{module}.this_process", lambda: DEAD)
        yield


def record_run(durability: str) -> list[Op]:
    """One job has ended, two are at work, one has not begun."""
    with mounted(MemoryOs()) as memory, by_a_process_that_is_gone():
        store = RunStore(STORE, durability)  # type: ignore[arg-type]
        run = store.create_run("nightly", JOBS)
        for job_id in JOBS[:3]:
            log = run.job(job_id)
            log.append("metric", text="é and \\ in it")
            if job_id == JOBS[0]:
                log.end("succeeded")
                memory.ack((job_id, 1))
        return memory.ops


def replay(ops: list[Op]) -> MemoryOs:
    """The file system as it is after some operations, for the process that comes next."""
    memory = MemoryOs(ops=list(ops))
    for op in ops:
        match op.what:
            case "mkdir":
                memory.entries[op.path] = FOLDER
            case "create":
                memory.entries[op.path] = op.inode
                memory.contents[op.inode] = bytearray()
            case "write":
                memory.contents[op.inode] += op.data
            case "rename":
                memory.entries[op.target] = memory.entries.pop(op.path)
            case "unlink":
                del memory.entries[op.path]
    made = [op.inode for op in ops if op.what == "create"]
    memory._next = iter(range(max(made, default=1000) + 100_000, 1 << 60))
    return memory


def resume(memory: MemoryOs, durability: str) -> None:
    """Resume all runs and run to the end what has not succeeded."""
    with mounted(memory), by_a_process_that_is_gone():
        store = RunStore(STORE, durability)  # type: ignore[arg-type]
        for run_id in store.run_ids():
            with contextlib.suppress(RunNotBegunError), store.resume_run(run_id, JOBS) as run:
                jobs = store.read(run_id).jobs
                for job_id in JOBS:
                    if job_id not in jobs or jobs[job_id].status != "succeeded":
                        with run.job(job_id) as log:
                            log.append("metric", rows=1)
                        memory.ack((job_id, log.attempt))


def acknowledged(ops: list[Op]) -> Acked:
    return dict(op.label for op in ops if op.what == "ack")


def examine(tree: Tree, acked: Acked, durability: str) -> None:
    """What is left is resumed to its end."""
    memory = holding(tree)
    with mounted(memory):
        store = RunStore(STORE, durability)  # type: ignore[arg-type]
        if not store.exists():
            assert not acked
            return
        assert store.verify().errors == []
    resume(memory, durability)
    with mounted(memory):
        report = store.verify()
        assert report.errors == [], report.errors
        for run_id in store.run_ids():
            view = store.read(run_id)
            if not view.begin:
                assert not acked
                continue
            assert view.status == "succeeded"
            assert list(view.jobs) == list(JOBS)
            for job in view.jobs.values():
                numbers = [attempt.number for attempt in job.attempts]
                assert numbers == sorted(set(numbers))
                assert job.attempts[-1].status == "succeeded"
                if job.id in acked:
                    assert numbers[-1] == acked[job.id], f"{job.id} ran again"


def killed_states(ops: list[Op]) -> Iterator[Tree]:
    point = CrashPoint(ops)
    point.sure_names = dict(point.names)
    point.synced = {inode: len(data) for inode, data in point.written.items()}
    return point.states(1, random.Random(1), every_cut=31)


def power_cut_states(ops: list[Op], chance: random.Random) -> Iterator[Tree]:
    return CrashPoint(ops).states(4, chance, every_cut=61)


@pytest.mark.parametrize("durability", ["os", "disk"])
def test_a_resume_that_is_killed_at_any_operation_is_resumed(durability: str) -> None:
    base = record_run(durability)
    count = 0
    seen = set()
    for first in [*range(8, len(base), 6), len(base)]:
        memory = replay(base[:first])
        resume(memory, durability)
        for second in range(first, len(memory.ops) + 1):
            for tree in killed_states(memory.ops[:second]):
                acked = acknowledged(memory.ops[:second])
                key = hash((tuple(tree.items()), tuple(acked.items())))
                if key not in seen:
                    seen.add(key)
                    examine(tree, acked, durability)
                    count += 1
    assert count > 300


@pytest.mark.parametrize("durability", ["disk", "os"])
def test_after_a_power_cut_in_a_resume_at_disk_it_is_resumed(durability: str) -> None:
    """Also of a run that was recorded at `os`: what it acknowledged is then on the disk too."""
    base, chance = record_run(durability), random.Random(2)
    count = 0
    seen = set()
    for first in [*range(8, len(base), 8), len(base)]:
        memory = replay(base[:first])
        resume(memory, "disk")
        begun = first_promise(memory.ops, first) if durability == "os" else first
        for second in range(begun, len(memory.ops) + 1):
            for tree in power_cut_states(memory.ops[:second], chance):
                acked = acknowledged(memory.ops[:second])
                if durability == "os" and not acked:
                    continue  # nothing was promised of the store itself, either
                key = hash((tuple(tree.items()), tuple(acked.items())))
                if key not in seen:
                    seen.add(key)
                    examine(tree, acked, "disk")
                    count += 1
    assert count > 300


def first_promise(ops: list[Op], after: int) -> int:
    """The first operation of the first job of a resume: the resume is on the disk then."""
    acks = [n for n, op in enumerate(ops[after:], after) if op.what == "ack"]
    return acks[0] + 1 if acks else len(ops)


@pytest.mark.parametrize("every", [5])
def test_after_a_power_cut_at_os_a_resume_works_or_says_why_not(every: int) -> None:
    base, chance = record_run("os"), random.Random(3)
    for first in range(8, len(base) + 1, every):
        for tree in power_cut_states(base[:first], chance):
            memory = holding(tree)
            with contextlib.suppress(RunStoreError):
                resume(memory, "disk")
