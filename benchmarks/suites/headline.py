"""The promise in the README, once and for real: 120 s of independent jobs in 30."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.peers import Peer, lorchestra
from benchmarks.processes import Cost
from benchmarks.result import Comparison, Goal, compared
from benchmarks.rounds import Contestant


def run(bench: Bench) -> Iterator[Comparison]:
    """Run 4 jobs of 30 s with 1 and 4 workers, and 2 jobs with 1 and 2."""
    seconds = bench.count(30, 1)
    for jobs, at_most in ((4, 30.3 / 120), (2, 30.2 / 60)):
        yield _compare(bench, jobs, seconds, None if bench.is_short else at_most)


def _compare(bench: Bench, jobs: int, seconds: int, at_most: float | None) -> Comparison:
    ours = Peer("lorchestra", "lorchestra", lorchestra())
    costs: dict[str, Cost] = {}

    def contestant(name: str, workers: int) -> Contestant:
        def once() -> float:
            costs[name] = ours.run(bench.disk.fresh(), [["sleep", str(seconds)]] * jobs, workers)
            return costs[name].wall_s

        return Contestant(name, once)

    one, many = "1 worker", f"{jobs} workers"
    title = f"{jobs} jobs of {seconds} s"
    contestants = [contestant(one, 1), contestant(many, jobs)]
    times = bench.in_turn(title, contestants, bench.count(1, 2))
    goals = [] if at_most is None else [Goal(many, one, at_most=at_most)]
    facts = {
        "processor time and memory, beside 1 worker": (
            f"{costs[many].cpu_s / costs[one].cpu_s:.2f} x, "
            f"{costs[many].peak_kb / costs[one].peak_kb:.2f} x"
        )
    }
    where = f"{bench.disk.name} ({bench.disk.file_system})"
    return compared(title, where, times, one, goals, facts=facts)
