"""What a Python function costs as a job: two thousand that do nothing."""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.places import Place
from benchmarks.result import Comparison, Goal, compared
from benchmarks.rounds import Contestant

OURS, POOL, MEMORY = "lorchestra", "ThreadPoolExecutor, keeps nothing", "joblib.Memory"


def run(bench: Bench) -> Iterator[Comparison]:
    """Compare functions that do nothing, with 1 worker and with 4."""
    for workers in (1, 4):
        yield _compare(bench, bench.memory, bench.count(2_000, 500), workers)


def _compare(bench: Bench, place: Place, jobs: int, workers: int) -> Comparison:
    contestants = [
        Contestant(OURS, lambda: _ours(place.fresh(), jobs, workers)),
        Contestant(POOL, lambda: _pool(jobs, workers)),
    ]
    absent = {}
    if importlib.util.find_spec("joblib") is not None:
        contestants.append(Contestant(MEMORY, lambda: _memory(place.fresh(), jobs)))
    else:
        absent[MEMORY] = "not installed"
    title = f"{jobs:,} functions that do nothing, {workers} worker{'s' * (workers > 1)}"
    times = bench.in_turn(title, contestants, bench.count(9, 5))
    goals = [Goal(OURS, MEMORY, at_most=0.25)]
    where = f"{place.name} ({place.file_system})"
    return compared(title, where, times, OURS, goals, per=jobs, absent=absent)


def _ours(folder: Path, jobs: int, workers: int) -> float:
    """What is once per run, and not per job, is in it."""
    from lorchestra import Options, run_pipeline
    from lorchestra.model import Call, Job, Pipeline, Stage
    from runstore import RunStore

    stage = Stage("all", tuple(Job(f"job{n}", Call("time:time")) for n in range(jobs)))
    pipeline = Pipeline("bench", (stage,), folder)
    began = time.perf_counter()
    result = run_pipeline(pipeline, RunStore(folder / "store", "os"), Options(workers))
    took = time.perf_counter() - began
    assert result.succeeded
    return took


def _pool(jobs: int, workers: int) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        for future in [pool.submit(time.time) for _ in range(jobs)]:
            future.result()
    return time.perf_counter() - began


def _memory(folder: Path, jobs: int) -> float:
    joblib = importlib.import_module(MEMORY.partition(".")[0])
    cached = joblib.Memory(folder, verbose=0).cache(_nothing)
    began = time.perf_counter()
    for number in range(jobs):
        cached(number)
    return time.perf_counter() - began


def _nothing(number: int) -> int:
    return number
