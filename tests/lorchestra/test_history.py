"""What earlier runs tell about how long jobs take, and what a run makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorchestra import Command, Job, Options, Pipeline, Stage, run_pipeline
from lorchestra.history import History
from lorchestra.progress import Event, JobStarted, StageStarted
from runstore import RunStore, files


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "store", "os")


class Clock:
    """The time of records, in seconds."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1_800_000_000.0
        patch.setattr("runstore.lines.record.now_ns", lambda: int(self.now * 1e9))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def ran(store: RunStore, clock: Clock, pipeline: str = "p", **took: float) -> str:
    """A run whose jobs took so long; less than nothing: they failed after that."""
    with store.create_run(pipeline, [*took]) as run:
        for name, seconds in took.items():
            with run.job(name) as log:
                clock.now += abs(seconds)
                log.end("succeeded" if seconds > 0 else "failed")
    return run.id


def test_the_middle_of_the_newest_runs_counts(store: RunStore, clock: Clock) -> None:
    for seconds in (100, 100, 1, 2, 3, 4, 5):
        ran(store, clock, a=seconds, b=7)
    ran(store, clock, "q", a=50)
    assert History(store, "p").seconds == {"a": 3.0, "b": 7.0}
    assert History(store, "r").seconds == {}


def test_only_what_succeeded_counts_and_a_run_without_that_is_none(
    store: RunStore, clock: Clock
) -> None:
    ran(store, clock, a=4, b=2)
    for _ in range(9):
        ran(store, clock, a=-1)
    assert History(store, "p").seconds == {"a": 4.0, "b": 2.0}


def test_a_resumed_and_a_compacted_run_tell_the_same(store: RunStore, clock: Clock) -> None:
    run_id = ran(store, clock, a=4, b=-2)
    with store.resume_run(run_id, ["a", "b"]) as run, run.job("b"):
        clock.now += 9
    assert list(store.timings("p")) == [(run_id, {"a": 4.0, "b": 9.0})]
    store.compact(run_id)
    assert list(store.timings("p")) == [(run_id, {"a": 4.0, "b": 9.0})]
    assert list(store.timings("p", among=0)) == []


def test_a_clock_that_is_set_back_makes_no_job_take_less_than_nothing(
    store: RunStore, clock: Clock
) -> None:
    with store.create_run("p", ["a"]) as run, run.job("a"):
        clock.now -= 100
    assert History(store, "p").seconds == {"a": 0.0}


def test_what_cannot_be_read_tells_nothing(
    store: RunStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran(store, clock, a=4)

    def failing(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(files, "open_read", failing)
    assert History(store, "p").seconds == {}


NAMES = ("a", "b", "c", "d")


def started(store: RunStore, root: Path, workers: int, **options: str) -> tuple[bool, list[str]]:
    """Run four jobs; whether the stage says that the longest come first, and how they started.

    They take so long that no worker has a second one before each has had a first.
    """
    jobs = tuple(Job(name, Command(("sleep", "0.3"))) for name in NAMES)
    events: list[Event] = []
    run_pipeline(
        Pipeline("p", (Stage("s", jobs),), root),
        store,
        Options(workers, **options),  # type: ignore[arg-type]
        handlers=[events.append],
    )
    (says,) = (event.longest_first for event in events if isinstance(event, StageStarted))
    return says, [event.job_id for event in events if isinstance(event, JobStarted)]


def test_a_run_starts_the_longest_first(store: RunStore, clock: Clock, tmp_path: Path) -> None:
    ran(store, clock, a=1, b=2, c=3, d=1)
    says, order = started(store, tmp_path, 2)
    assert says
    assert {*order[:2]} == {"c", "b"}
    (record,) = (
        each for each in store.read(store.run_ids()[0]).records() if each["event"] == "stage_begin"
    )
    assert record["schedule"] == "longest-first"
    assert [*store.read(store.run_ids()[0]).jobs] == [*NAMES]


@pytest.mark.parametrize("workers", [1, 4])
def test_the_order_written_counts_where_there_is_nothing_to_gain(
    store: RunStore, clock: Clock, tmp_path: Path, workers: int
) -> None:
    ran(store, clock, a=1, b=2, c=3, d=1)
    says, order = started(store, tmp_path, workers)
    assert not says
    assert sorted(order) == [*NAMES]
    if workers == 1:
        assert order == [*NAMES]


def test_the_order_written_counts_where_that_is_asked_for(
    store: RunStore, clock: Clock, tmp_path: Path
) -> None:
    ran(store, clock, a=1, b=2, c=3, d=1)
    says, order = started(store, tmp_path, 2, schedule="declared")
    assert not says
    assert {*order[:2]} == {"a", "b"}
