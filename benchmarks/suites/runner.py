"""What a job costs: a thousand programs that do nothing, and runners that start them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.bench import Bench
from benchmarks.peers import INSTALL, PEERS, POOL, Peer, lorchestra
from benchmarks.places import Place
from benchmarks.result import Comparison, Goal, compared
from benchmarks.rounds import Contestant

OURS = "lorchestra"
# What each does for a job, so that nobody takes the table for more than it says.
KEPT = {
    "lorchestra": "a record and a log of each job",
    "GNU parallel": "a line of each job in one log",
    "doit": "what succeeded, in a database at the end",
}


def run(bench: Bench) -> Iterator[Comparison]:
    """Compare the cost of a job: 4 workers and 1, 1,000 jobs and 20,000, memory and disk."""
    many = bench.count(1_000, 200)
    rounds = bench.count(9, 5)
    goals = [
        Goal(OURS, "xargs -P", at_most=0.85),
        Goal(OURS, "make -j", at_most=1.2),
        Goal(OURS, "ninja", at_most=0.7),
        Goal(OURS, "GNU parallel --joblog", at_most=0.15),
    ]
    yield _started(bench, bench.memory, many, 4, rounds, PEERS, goals)
    yield _started(bench, bench.memory, many, 1, rounds, _quick(), [])
    yield _started(bench, bench.disk, many, 4, rounds, _quick(), [])
    if not bench.is_short:
        goals = [Goal(OURS, "xargs -P", at_most=0.8), Goal(OURS, "make -j", at_most=1.12)]
        yield _started(bench, bench.memory, 20_000, 4, 5, _quick(), goals)


def _quick() -> Sequence[Peer]:
    return [peer for peer in PEERS if peer.name in {POOL, "xargs -P", "make -j", "ninja"}]


def _started(
    bench: Bench,
    place: Place,
    jobs: int,
    workers: int,
    rounds: int,
    peers: Sequence[Peer],
    goals: Sequence[Goal],
) -> Comparison:
    commands = [["/bin/true"]] * jobs
    ours = Peer(OURS, "lorchestra", lorchestra("--durability", "os"))
    runners = [ours, *(peer for peer in peers if peer.is_here())]
    peaks: dict[str, int] = {}

    def timed(peer: Peer) -> Contestant:
        def once() -> float:
            cost = peer.run(place.fresh(), commands, workers)
            peaks[peer.name] = max(peaks.get(peer.name, 0), cost.peak_kb)
            return cost.wall_s

        return Contestant(peer.name, once)

    title = f"{jobs:,} x /bin/true, {workers} worker{'s' if workers > 1 else ''}"
    times = bench.in_turn(title, [timed(peer) for peer in runners], rounds)
    memory = ", ".join(f"{name} {peak / 1024:.0f}" for name, peak in peaks.items())
    return compared(
        title,
        f"{place.name} ({place.file_system})",
        times,
        OURS,
        goals,
        per=jobs,
        absent={peer.name: f"not installed: {INSTALL}" for peer in peers if not peer.is_here()},
        facts={"largest memory, MB": memory},
    )
