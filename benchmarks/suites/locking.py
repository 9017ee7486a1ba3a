"""What locking costs: the same run with each lock that one could take, beside none.

Jobs that sleep, in threads of one process or in four processes at once, each of which leaves four
records. Without a lock each attempt has a file of its own, which nobody else writes: the store as
it is. The others are what one would do without that idea.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.result import Comparison, Goal, compared
from benchmarks.rounds import Contestant
from benchmarks.suites.locking_kinds import KINDS, NO_LOCK, Work, work

GUARD = "filelock, once a run (the guard)"
UNDER = 1.02
PROCESSES = 4


def run(bench: Bench) -> Iterator[Comparison]:
    """Compare kinds of locks: jobs of 1 ms to 1 s, 1 to 8 workers, threads and processes."""
    sizes = [(s, w) for s in (0.001, 0.01, 0.1, 1.0) for w in (1, 2, 4, 8)]
    for seconds, workers in sizes if not bench.is_short else [(0.01, 4)]:
        yield _threads(bench, seconds, workers)
    for seconds in (0.001, 0.01, 0.1) if not bench.is_short else (0.01,):
        yield _processes(bench, seconds)


def _jobs(bench: Bench, seconds: float, workers: int) -> int:
    total_s = bench.count(4, 1) if seconds < 1 else 2
    return max(workers, min(2_000, round(total_s * workers / seconds)))


def _threads(bench: Bench, seconds: float, workers: int) -> Comparison:
    jobs = _jobs(bench, seconds, workers)

    def contestant(kind: str) -> Contestant:
        def once() -> float:
            return work(Work(kind, str(bench.memory.fresh()), jobs, seconds, workers))

        return Contestant(kind, once)

    title = f"{jobs:,} jobs of {seconds * 1000:g} ms in {workers} thread{'s' * (workers > 1)}"
    at = {"seconds": seconds, "workers": workers, "processes": 1}
    return _compared(bench, title, [contestant(kind) for kind in KINDS], jobs, at)


def _processes(bench: Bench, seconds: float) -> Comparison:
    jobs = _jobs(bench, seconds, 2) // 2

    def contestant(kind: str) -> Contestant:
        return Contestant(kind, lambda: _at_once(kind, bench.memory.fresh(), jobs, seconds))

    title = f"{jobs:,} jobs of {seconds * 1000:g} ms in each of {PROCESSES} processes of 2 threads"
    kinds = [kind for kind in KINDS if "threading" not in kind]
    at = {"seconds": seconds, "workers": 2, "processes": PROCESSES}
    return _compared(bench, title, [contestant(kind) for kind in kinds], jobs * PROCESSES, at)


def _at_once(kind: str, folder: Path, jobs: int, seconds: float) -> float:
    """Let processes work on one folder; gives what the slowest of them took."""
    task = json.dumps([kind, str(folder), jobs, seconds, 2])
    argv = [sys.executable, "-m", "benchmarks.suites.locking_kinds", task]
    processes = [
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    try:
        for process in processes:  # all have started when each has said so
            assert process.stdout is not None
            process.stdout.readline()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        return max(float(process.communicate()[0]) for process in processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _compared(
    bench: Bench, title: str, contestants: list[Contestant], jobs: int, at: dict[str, float]
) -> Comparison:
    times = bench.in_turn(title, contestants, bench.count(9, 5))
    place = f"{bench.memory.name} ({bench.memory.file_system})"
    goals = [Goal(GUARD, NO_LOCK, at_most=UNDER)]
    return replace(compared(title, place, times, NO_LOCK, goals, per=jobs), at=at)
