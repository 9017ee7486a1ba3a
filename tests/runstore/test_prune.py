"""Old runs are removed by the rules given, and never one that may be at work."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runstore import (
    Run,
    RunNotFoundError,
    RunStore,
    StoreFormatError,
    StoreNotFoundError,
    files,
    layout,
)
from runstore.reading.view import RunSummary, summarize
from runstore.upkeep import prune
from tests.runstore.samples import (
    DEAD,
    ELSEWHERE,
    RUN_FILE,
    abandon,
    codes,
    finished_run,
    open_run,
    quietly,
)
from tests.runstore.steps import contents, flipped

DAY_S = 86_400


class Clock:
    """The time that runs are written at and pruned at: `now` in seconds since 1970."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1_800_000_000.0
        patch.setattr("time.time", lambda: self.now)
        patch.setattr("time.time_ns", self._time_ns)
        patch.setattr("runstore.lines.record.now_ns", self._time_ns)

    def _time_ns(self) -> int:
        self.now += 0.001
        return int(self.now * 1_000_000_000)

    def days_later(self, days: float) -> None:
        self.now += days * DAY_S


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "store", durability="os")


def ended(store: RunStore, pipeline: str = "p", size: int = 0) -> str:
    with store.create_run(pipeline, ["a"]) as run, run.job("a") as log:
        log.append("metric", text="x" * size)
    return run.id


def killed(store: RunStore, owner: Any = DEAD) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runstore.writing.run.this_process", lambda: owner)
        run = store.create_run("p", ["a"])
    abandon(run)
    return run.id


# The rules


def test_the_newest_of_each_pipeline_are_kept(store: RunStore, clock: Clock) -> None:
    runs = {name: [ended(store, name) for _ in range(4)] for name in ("p", "q")}
    only = ended(store, "r")
    assert store.prune(keep=2) == [*runs["p"][:2], *runs["q"][:2]]
    assert sorted(store.run_ids()) == sorted([*runs["p"][2:], *runs["q"][2:], only])
    assert store.prune(keep=2) == []
    assert store.verify().ok


def test_runs_are_old_by_their_end(store: RunStore, clock: Clock) -> None:
    with store.create_run("p") as long:
        clock.days_later(10)
    short = ended(store)
    clock.days_later(2)
    assert store.prune(older_than=timedelta(days=3)) == []
    clock.days_later(2)
    assert store.prune(older_than=timedelta(days=3)) == [long.id, short]


def test_a_killed_run_is_old_by_its_begin(store: RunStore, clock: Clock) -> None:
    run_id = killed(store)
    clock.days_later(2)
    assert store.prune(older_than=timedelta(days=3)) == []
    clock.days_later(2)
    assert store.prune(older_than=timedelta(days=3)) == [run_id]


def test_a_run_whose_times_are_lost_is_old_by_its_id(store: RunStore, clock: Clock) -> None:
    run_id = ended(store)
    path = Path(store.path, "runs", run_id, RUN_FILE)
    path.write_bytes(bytes(path.stat().st_size))
    clock.days_later(2)
    assert store.prune(older_than=timedelta(days=3)) == []
    clock.days_later(2)
    assert store.prune(older_than=timedelta(days=3)) == [run_id]


def test_the_oldest_go_until_the_store_is_small_enough(store: RunStore, clock: Clock) -> None:
    runs = [ended(store, name, size=10_000) for name in "pqrst"]
    assert store.prune(max_bytes=100_000) == []
    assert store.prune(max_bytes=35_000) == runs[:2]
    assert files.measure(store.path).size_bytes <= 35_000
    assert store.prune(max_bytes=0) == runs[2:]


def test_logs_and_all_other_files_of_the_store_count(store: RunStore, clock: Clock) -> None:
    run_id = ended(store)
    Path(store.path, "runs", run_id, "logs", "a.a1.log").write_bytes(bytes(50_000))
    assert store.prune(max_bytes=50_000) == [run_id]
    Path(store.path, "locks").mkdir()
    Path(store.path, "locks", "p.lock").write_bytes(bytes(50_000))
    run_id = ended(store)
    assert store.prune(max_bytes=50_000) == [run_id]


def test_a_run_goes_that_any_rule_names(store: RunStore, clock: Clock) -> None:
    old = [ended(store, name) for name in "pq"]
    clock.days_later(9)
    surplus = [ended(store) for _ in range(3)]
    large = ended(store, "r", size=20_000)
    newest = ended(store, "s")
    rules = {"keep": 2, "older_than": timedelta(days=5), "max_bytes": 15_000}
    assert store.prune(**rules, dry_run=True) == [*old, *surplus, large]  # type: ignore[arg-type]
    assert store.prune(keep=2, older_than=timedelta(days=5)) == [*old, surplus[0]]
    assert store.prune(max_bytes=15_000) == [*surplus[1:], large]
    assert store.run_ids() == [newest]


def inside(store: RunStore, outer: str, size: int = 0) -> str:
    parent = {"run": outer, "job": "a"}
    with store.create_run("inner", ["a"], parent=parent) as run, run.job("a") as log:
        log.append("metric", text="x" * size)
    return run.id


def test_a_run_inside_another_goes_with_that_one(store: RunStore, clock: Clock) -> None:
    families = []
    for _ in range(3):
        outer = ended(store)
        families.append([outer, middle := inside(store, outer), inside(store, middle)])
        families[-1].append(inside(store, outer))
    assert store.prune(keep=2) == families[0]
    assert store.prune(keep=2) == []
    assert sorted(store.run_ids()) == sorted([*families[1], *families[2]])


def test_a_run_inside_one_that_is_at_work_stays(store: RunStore, clock: Clock) -> None:
    with store.create_run("p") as run:
        run_id = inside(store, run.id)
        clock.days_later(9)
        assert store.prune(older_than=timedelta(days=3)) == []
        assert store.prune(max_bytes=0) == []
    assert store.prune(max_bytes=0) == [run.id, run_id]


def test_runs_inside_each_other_count_as_one_by_their_size(store: RunStore, clock: Clock) -> None:
    old, outer = ended(store), ended(store)
    family = [outer, inside(store, outer, size=20_000)]
    newest = ended(store)
    assert store.prune(max_bytes=15_000) == [old, *family]
    assert store.run_ids() == [newest]


def test_a_run_whose_outer_run_is_gone_is_one_by_itself(store: RunStore, clock: Clock) -> None:
    run_ids = [inside(store, "01a211a3-d8ad-76fe-8a8c-a9d6eeee961d") for _ in range(2)]
    assert store.prune(keep=1) == run_ids[:1]


def test_runs_that_say_they_are_inside_each_other_can_be_removed(
    store: RunStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ended(store)
    second = inside(store, first)
    loop = {first: second, second: first}

    def looped(store: str, run_id: str) -> RunSummary | None:
        summary = summarize(store, run_id)
        return summary and dataclasses.replace(summary, parent=loop[run_id])

    monkeypatch.setattr(prune, "summarize", looped)
    assert store.prune(max_bytes=0) == [first, second]


def test_one_that_is_resumed_meanwhile_keeps_those_inside_it(store: RunStore, clock: Clock) -> None:
    outer = ended(store)
    run_id = inside(store, outer)
    resumed: list[Run] = []

    def on_progress(what: str, _done: int, _total: int) -> None:
        if what == "removing" and not resumed:
            resumed.append(store.resume_run(outer, ["a"]))

    assert store.prune(max_bytes=0, on_progress=on_progress) == []
    assert sorted(store.run_ids()) == [outer, run_id]
    resumed[0].end()


def test_only_age_and_size_remove_the_newest_run_of_a_pipeline(
    store: RunStore, clock: Clock
) -> None:
    run_id = ended(store)
    clock.days_later(400)
    assert store.prune(keep=1) == []
    assert store.prune(older_than=timedelta(days=399)) == [run_id]


@pytest.mark.parametrize(
    "rules",
    [{}, {"keep": 0}, {"keep": -1}, {"older_than": timedelta(seconds=-1)}, {"max_bytes": -1}],
)
def test_rules_that_make_no_sense_are_refused(store: RunStore, rules: dict[str, Any]) -> None:
    run_id = ended(store)
    with pytest.raises(ValueError, match=r"keep|older_than|max_bytes"):
        store.prune(**rules)
    assert store.run_ids() == [run_id]


def test_what_would_go_is_told_and_stays(store: RunStore, clock: Clock) -> None:
    runs = [ended(store) for _ in range(3)]
    before = contents(Path(store.path))
    assert store.prune(keep=1, dry_run=True) == runs[:2]
    assert contents(Path(store.path)) == before
    assert store.prune(keep=1) == runs[:2]


def test_compacted_and_damaged_runs_are_pruned_too(store: RunStore, clock: Clock) -> None:
    sealed, damaged = ended(store), ended(store)
    store.compact(sealed)
    path = Path(store.path, "runs", damaged, RUN_FILE)
    path.write_bytes(flipped(path.read_bytes(), 200))
    store.repair(damaged)
    assert store.prune(max_bytes=0) == [sealed, damaged]
    assert store.verify().ok


def test_runs_of_lost_pipelines_are_kept_apart(store: RunStore, clock: Clock) -> None:
    runs = [ended(store) for _ in range(4)]
    for run_id in runs[:2]:
        path = Path(store.path, "runs", run_id, RUN_FILE)
        path.write_bytes(flipped(path.read_bytes(), 30))
    assert store.prune(keep=1) == [runs[0], runs[2]]


# What is never removed


@pytest.fixture(params=["begun", "about to begin", "elsewhere", "begin damaged"])
def live(request: pytest.FixtureRequest, store: RunStore, clock: Clock) -> Iterator[str]:
    """A run that may be at work, and the newest of its pipeline is another one."""
    match request.param:
        case "begun":
            run = store.create_run("p")
            yield run.id
            ended(store)
            abandon(run)
        case "about to begin":
            with store.create_run("p"):
                pass
            run_id = layout.new_run_id()
            Path(store.path, "runs", run_id, "jobs").mkdir(parents=True)
            yield run_id
        case "elsewhere":
            run_id = killed(store, ELSEWHERE)
            ended(store)
            yield run_id
        case "begin damaged":
            run = store.create_run("p", ["a"])
            log = run.job("a")
            path = Path(run.path, RUN_FILE)
            path.write_bytes(flipped(path.read_bytes(), 200))
            ended(store)
            yield run.id
            abandon(log)
            abandon(run)


def test_a_run_that_may_be_at_work_stays(store: RunStore, live: str, clock: Clock) -> None:
    clock.days_later(0.01)
    gone = store.prune(keep=1, older_than=timedelta(), max_bytes=0)
    assert live not in gone
    assert live in store.run_ids()


def test_a_run_that_never_began_is_removed_when_it_cannot_begin_any_more(
    store: RunStore, clock: Clock
) -> None:
    ended(store)
    run_id = layout.new_run_id()
    Path(store.path, "runs", run_id, "jobs").mkdir(parents=True)
    clock.days_later(1)
    assert run_id in store.prune(older_than=timedelta(hours=2))


def test_a_run_that_is_resumed_while_runs_are_chosen_stays(
    store: RunStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = killed(store)
    clock.days_later(1)

    def resumed(what: str, _done: int, _total: int) -> None:
        if what == "removing":
            monkeypatch.setattr("runstore.reading.inventory.is_at_work", lambda *_: True)

    assert store.prune(older_than=timedelta(), on_progress=resumed) == []
    assert store.run_ids() == [run_id]


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="the system has no links")
def test_links_are_not_followed_out_of_the_store(
    store: RunStore, clock: Clock, tmp_path: Path
) -> None:
    outside = finished_run(tmp_path / "outside")
    run_id = ended(store)
    runs = Path(store.path, "runs")
    (runs / outside.id).symlink_to(outside.folder)
    (runs / f"{outside.id}.pruned").symlink_to(outside.folder)
    (runs / run_id / "logs" / "out").symlink_to(outside.folder)
    assert store.prune(max_bytes=0) == [run_id]
    assert contents(outside.folder) == outside.content
    assert (runs / outside.id).is_symlink()


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="the system has no links")
def test_runs_that_are_kept_elsewhere_by_a_link_are_refused(
    store: RunStore, tmp_path: Path
) -> None:
    outside = finished_run(tmp_path / "outside")
    ended(store)
    runs = Path(store.path, "runs")
    runs.rename(tmp_path / "own")
    runs.symlink_to(outside.folder.parent)
    with pytest.raises(StoreFormatError, match="runs: is no folder"):
        store.prune(max_bytes=0)
    assert contents(outside.folder) == outside.content


# How it goes


def test_without_a_store_there_is_nothing_to_prune(store: RunStore) -> None:
    with pytest.raises(StoreNotFoundError):
        store.prune(keep=1)
    assert not Path(store.path).exists()


def test_what_an_interrupted_pruning_left_is_no_finding_and_is_removed(
    store: RunStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, stays = ended(store), ended(store)
    with monkeypatch.context() as patch:
        patch.setattr(files, "remove_folder", lambda _path: interrupt())
        with pytest.raises(KeyboardInterrupt):
            store.prune(keep=1)
    left = Path(store.path, "runs", f"{gone}.pruned")
    assert left.is_dir()
    assert store.run_ids() == [stays]
    assert (store.verify().errors, store.verify().notes) == ([], [])
    assert store.prune(keep=1, dry_run=True) == []
    assert left.is_dir()
    assert store.prune(keep=1) == []
    assert not left.exists()


def interrupt() -> None:
    raise KeyboardInterrupt


def test_only_what_was_a_run_is_taken_for_what_pruning_left(store: RunStore) -> None:
    ended(store)
    Path(store.path, "runs", "mine.pruned").mkdir()
    assert store.prune(keep=1) == []
    assert codes(store.verify().errors) == ["unexpected-file"]


def test_two_that_prune_at_once_remove_each_run_once(store: RunStore, clock: Clock) -> None:
    runs = [ended(store) for _ in range(4)]
    by_other: list[str] = []

    def other(what: str, done: int, _total: int) -> None:
        if (what, done) == ("removing", 1):
            by_other.extend(store.prune(keep=2))

    assert store.prune(keep=1, on_progress=other) == [runs[0], runs[2]]
    assert by_other == [runs[1]]


def test_progress_tells_what_is_done_with_how_many_runs(store: RunStore, clock: Clock) -> None:
    for _ in range(3):
        ended(store)
    told: list[tuple[str, int, int]] = []
    store.prune(keep=2, max_bytes=10**9, on_progress=lambda *each: told.append(each))
    assert told == [
        *(("looking at", done, 3) for done in range(3)),
        *(("measuring", done, 3) for done in range(3)),
        ("removing", 0, 1),
    ]


def test_readers_find_a_run_that_is_pruned_meanwhile_whole_or_not_at_all(
    store: RunStore, clock: Clock
) -> None:
    """The run is removed before each of a reader's operations."""
    readers: list[Callable[[str], object]] = [
        lambda _run_id: [each.id for each in store.runs()],
        lambda _run_id: store.verify().ok,
        lambda _run_id: store.stats().runs,
        lambda run_id: quietly(RunNotFoundError, lambda: store.verify(run_id).ok),
        lambda run_id: quietly(RunNotFoundError, lambda: len(store.read(run_id).jobs)),
    ]
    for reader in readers:
        for moment in range(1, 40):
            run_id = ended(store)
            with pytest.MonkeyPatch.context() as patch:
                removed_at(patch, moment, store)
                assert reader(run_id) in ([run_id], [], True, 0, 1, None)
            store.prune(max_bytes=0)


def removed_at(patch: pytest.MonkeyPatch, moment: int, store: RunStore) -> None:
    count = 0

    def wrapped(operation: Callable[[str], object]) -> Callable[[str], object]:
        def call(path: str) -> object:
            nonlocal count
            count += 1
            if count == moment:
                patch.undo()
                store.prune(max_bytes=0)
            return operation(path)

        return call

    for name in ("names", "open_read", "is_folder"):
        patch.setattr(files, name, wrapped(getattr(files, name)))


@pytest.mark.parametrize(
    ("run_id", "created"),
    [
        ("00000000-1388-7000-8000-000000000000", 5.0),
        ("01arz3ndektsv4rrffq69g5fav", 1_469_922_850.259),
    ],
)
def test_an_id_tells_when_the_run_was_created(run_id: str, created: float) -> None:
    assert layout.is_run_id(run_id)
    assert layout.time_of(run_id) == created


def test_open_runs_of_this_machine_that_were_killed_can_go(tmp_path: Path) -> None:
    sample = open_run(tmp_path / "store")
    assert sample.store.prune(older_than=timedelta()) == [sample.id]
