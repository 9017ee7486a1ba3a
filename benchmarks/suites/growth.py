"""How time and memory grow with the number of jobs, of runs, of records, and of workers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.peers import Peer, found, lorchestra
from benchmarks.processes import Cost, run_program
from benchmarks.result import Comparison, compared
from benchmarks.rounds import Contestant
from runstore import RunStore


def run(bench: Bench) -> Iterator[Comparison]:
    """Measure growth; a short run leaves out what takes long."""
    yield _grown(
        bench, "jobs in a stage", [10, 100, 1_000, 10_000, 100_000], [10, 100, 1_000], _jobs
    )
    yield _grown(bench, "runs listed", [10, 100, 1_000, 10_000], [10, 100], _listed)
    yield _grown(
        bench, "records verified", [10**3, 10**4, 10**5, 10**6, 10**7], [10**3, 10**4], _verified
    )
    yield _grown(bench, "workers of 1,000 jobs", [1, 2, 4, 8, 16, 32, 64], [1, 4], _workers)


Prepare = Callable[[Bench, int], Callable[[], Cost]]


def _grown(
    bench: Bench, what: str, full: Sequence[int], short: Sequence[int], prepare: Prepare
) -> Comparison:
    sizes = short if bench.is_short else full
    peaks: dict[int, int] = {}

    def contestant(size: int) -> Contestant:
        run_once = prepare(bench, size)

        def once() -> float:
            cost = run_once()
            peaks[size] = max(peaks.get(size, 0), cost.peak_kb)
            return cost.wall_s

        return Contestant(f"{size:,}", once)

    times = bench.in_turn(what, [contestant(size) for size in sizes], bench.count(3, 2))
    middle = {size: sorted(times.by_name[f"{size:,}"])[len(times.by_name) // 4] for size in sizes}
    facts = {
        "memory, MB": ", ".join(f"{size:,}: {peaks[size] / 1024:.0f}" for size in sizes),
        "exponent of time between the two largest": f"{_exponent(middle, sizes):.2f}",
    }
    return compared(
        what,
        f"{bench.memory.name} ({bench.memory.file_system})",
        times,
        f"{sizes[0]:,}",
        facts=facts,
    )


def _exponent(seconds: dict[int, float], sizes: Sequence[int]) -> float:
    """The slope between the two largest sizes, on logarithmic axes: 1 is linear."""
    small, large = sizes[-2:]
    return math.log(seconds[large] / seconds[small]) / math.log(large / small)


def _jobs(bench: Bench, size: int) -> Callable[[], Cost]:
    ours = Peer("lorchestra", "lorchestra", lorchestra("--durability", "os"))
    return lambda: ours.run(bench.memory.fresh(), [["/bin/true"]] * size, 4)


def _workers(bench: Bench, size: int) -> Callable[[], Cost]:
    ours = Peer("lorchestra", "lorchestra", lorchestra("--durability", "os"))
    return lambda: ours.run(bench.memory.fresh(), [["/bin/true"]] * 1_000, size)


def _listed(bench: Bench, size: int) -> Callable[[], Cost]:
    folder = bench.memory.fresh()
    store = RunStore(folder / "store", "os")
    for _ in range(size):
        with store.create_run("bench", ["a"]) as one:
            with one.job("a") as log:
                log.end("succeeded")
            one.end("succeeded")
    return lambda: _program(folder, "runs", "list", "--limit", str(size))


def _verified(bench: Bench, size: int) -> Callable[[], Cost]:
    folder = bench.memory.fresh()
    store = RunStore(folder / "store", "os")
    with store.create_run("bench", ["a"]) as one:
        with one.job("a") as log:
            for number in range(size):
                log.append("metric", number=number)
            log.end("succeeded")
        one.end("succeeded")
    return lambda: _program(folder, "runstore", "verify", "--max-workers", "1")


def _program(folder: Path, *arguments: str) -> Cost:
    argv = [found("lorchestra") or "lorchestra", *arguments, "--store", str(folder / "store")]
    return run_program(argv, folder)
