"""What it takes to begin: the version, one job, four jobs that sleep, as many workers as jobs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from benchmarks.bench import Bench
from benchmarks.peers import PEERS, POOL, Commands, Peer, found, lorchestra
from benchmarks.processes import run_program
from benchmarks.result import Comparison, Goal, compared
from benchmarks.rounds import Contestant

OURS = "lorchestra"


def run(bench: Bench) -> Iterator[Comparison]:
    """Compare start-up and end, as parts of short runs."""
    rounds = bench.count(25, 7)
    yield _versions(bench, rounds)
    yield _jobs(
        bench,
        "a pipeline of one job",
        [["/bin/true"]],
        1,
        rounds,
        [
            Goal(OURS, "go-task", at_most=0.9),
            Goal(OURS, "doit, threads", at_most=0.55),
        ],
    )
    seconds = "3" if not bench.is_short else "1"
    yield _jobs(
        bench,
        f"4 x sleep {seconds}, 4 workers",
        [["sleep", seconds]] * 4,
        4,
        bench.count(5, 3),
        [Goal(OURS, "one sleep", at_most=1.016)] if not bench.is_short else [],
        one=["sleep", seconds],
    )
    if not bench.is_short:
        yield _jobs(
            bench,
            "64 x sleep 3, 64 workers",
            [["sleep", "3"]] * 64,
            64,
            5,
            [Goal(OURS, POOL, at_most=1.005)],
        )


def _versions(bench: Bench, rounds: int) -> Comparison:
    programs = {OURS: "lorchestra", "go-task": "task", "doit": "doit", "make": "make"}
    here = {name: path for name, program in programs.items() if (path := found(program))}
    folder = bench.memory.fresh()

    def contestant(name: str, *argv: str) -> Contestant:
        return Contestant(name, lambda: run_program(argv, folder).wall_s)

    contestants = [contestant(name, path, "--version") for name, path in here.items()]
    bare = contestant("python -SE -c pass", sys.executable, "-S", "-E", "-c", "pass")
    times = bench.in_turn("--version", [*contestants, bare], rounds)
    return compared(
        "--version",
        bench.memory.name,
        times,
        OURS,
        [Goal(OURS, "go-task", at_most=0.35)],
        absent=dict.fromkeys(programs.keys() - here.keys(), "not installed"),
    )


def _jobs(
    bench: Bench,
    title: str,
    commands: Commands,
    workers: int,
    rounds: int,
    goals: Sequence[Goal],
    one: Sequence[str] | None = None,
) -> Comparison:
    ours = Peer(OURS, "lorchestra", lorchestra("--durability", "os"))
    # xargs gives one word to a command, and has no command without one.
    others = [peer for peer in PEERS if peer.is_here() and peer.name != "xargs -P"]

    def contestant(peer: Peer) -> Contestant:
        return Contestant(
            peer.name, lambda: peer.run(bench.memory.fresh(), commands, workers).wall_s
        )

    contestants = [contestant(peer) for peer in [ours, *others]]
    if one is not None:
        contestants.append(
            Contestant("one sleep", lambda: run_program(one, bench.memory.fresh()).wall_s)
        )
    times = bench.in_turn(title, contestants, rounds)
    absent = {peer.name: "not installed" for peer in PEERS if not peer.is_here()}
    return compared(title, bench.memory.name, times, OURS, goals, absent=absent)
