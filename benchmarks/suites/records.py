"""What keeping records costs a run, beside a plain loop that starts the same and keeps nothing.

Start-up is not in it: each is timed with few jobs and with many, and it is the difference that
counts, for what a run takes once it is under way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.bench import Bench
from benchmarks.peers import PEERS, POOL, Peer, lorchestra
from benchmarks.result import Comparison, Goal, compared
from benchmarks.rounds import Contestant


class Case(NamedTuple):
    """Jobs of one length, at one durability, in one place."""

    seconds: float
    durability: str
    place: str
    workers: int


CASES = (
    Case(0.01, "os", "tmpfs", 4),
    Case(0.05, "disk", "tmpfs", 4),
    Case(0.25, "disk", "disk", 4),
    Case(0.01, "os", "tmpfs", 1),
    Case(0.05, "disk", "tmpfs", 1),
    Case(0.25, "disk", "disk", 1),
)
UNDER = 1.02


def run(bench: Bench) -> Iterator[Comparison]:
    """Compare runs with records and runs without."""
    for case in CASES if not bench.is_short else CASES[:2]:
        yield _compare(bench, case)


def _compare(bench: Bench, case: Case) -> Comparison:
    place = bench.places.get(case.place, bench.disk)
    total_s = bench.count(6, 2)
    jobs = max(case.workers, round(total_s * case.workers / case.seconds))
    few = max(case.workers, jobs // 10)
    plain = next(peer for peer in PEERS if peer.name == POOL)
    with_records = Peer("with records", "lorchestra", lorchestra("--durability", case.durability))
    argv = ["sleep", str(case.seconds)]

    def timed(name: str, peer: Peer) -> Contestant:
        def once() -> float:
            short = peer.run(place.fresh(), [argv] * few, case.workers).wall_s
            return peer.run(place.fresh(), [argv] * jobs, case.workers).wall_s - short

        return Contestant(name, once)

    title = (
        f"{jobs - few:,} jobs of {case.seconds * 1000:g} ms, {case.workers} "
        f"worker{'s' if case.workers > 1 else ''}, durability {case.durability}"
    )
    contestants = [timed(POOL, plain), timed("with records", with_records)]
    times = bench.in_turn(title, contestants, bench.count(11, 5))
    goals = [Goal("with records", POOL, at_most=UNDER)]
    return compared(
        title, f"{place.name} ({place.file_system})", times, POOL, goals, per=jobs - few
    )
