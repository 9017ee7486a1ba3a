"""What a store holds, counted."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from runstore import RunStore, StoreNotFoundError
from tests.runstore.samples import DEAD, abandon, codes
from tests.runstore.steps import contents


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "store", durability="os")


def ended(store: RunStore, pipeline: str, size: int = 0, status: str = "succeeded") -> str:
    with store.create_run(pipeline, ["a"]) as run:
        with run.job("a") as log:
            log.append("metric", text="x" * size)
        run.end(status)
    return run.id


def test_runs_files_and_bytes_are_those_of_the_whole_store(store: RunStore) -> None:
    runs = [ended(store, "p", size) for size in (0, 50_000, 10)]
    Path(store.path, "runs", runs[0], "logs", "a.a1.log").write_bytes(bytes(1000))
    Path(store.path, "runs", "mine").write_bytes(b"x")
    found = contents(Path(store.path))
    stats = store.stats()
    assert (stats.store, stats.runs, stats.files) == (store.path, 3, len(found))
    assert stats.size_bytes == sum(map(len, found.values()))
    assert stats.oldest is not None
    assert stats.newest is not None
    assert (stats.oldest.id, stats.newest.id) == (runs[0], runs[2])
    assert (stats.oldest.files, stats.oldest.pipeline, stats.oldest.status) == (3, "p", "succeeded")
    assert stats.oldest.started == store.read(runs[0]).started


def test_the_largest_five_runs_are_named_the_largest_first(store: RunStore) -> None:
    sizes = [30_000, 10_000, 70_000, 20_000, 60_000, 40_000, 50_000]
    runs = {size: ended(store, "p", size) for size in sizes}
    largest = store.stats().largest
    assert [run.id for run in largest] == [runs[size] for size in sorted(sizes, reverse=True)[:5]]
    assert all(run.size_bytes > size for run, size in zip(largest, (70_000, 60_000), strict=False))


def test_pipelines_have_their_runs_by_status_the_largest_first(store: RunStore) -> None:
    ended(store, "small")
    for status in ("succeeded", "failed", "failed"):
        ended(store, "large", 10_000, status)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runstore.writing.run.this_process", lambda: DEAD)
        abandon(store.create_run("small"))
    large, small = store.stats().pipelines
    assert (large.pipeline, large.runs, large.statuses) == (
        "large",
        3,
        {"failed": 2, "succeeded": 1},
    )
    assert (small.pipeline, small.runs, small.statuses) == (
        "small",
        2,
        {"succeeded": 1, "crashed": 1},
    )
    stats = store.stats()
    assert large.size_bytes + small.size_bytes < stats.size_bytes
    assert sum(run.size_bytes for run in stats.largest) == large.size_bytes + small.size_bytes


def test_a_run_whose_pipeline_is_lost_is_counted_under_none(store: RunStore) -> None:
    run_id = ended(store, "p")
    path = Path(store.path, "runs", run_id, "run.jsonl")
    path.write_bytes(b"x" + path.read_bytes()[1:])
    (pipeline,) = store.stats().pipelines
    assert (pipeline.pipeline, pipeline.statuses) == (None, {"succeeded": 1})


def test_compacted_runs_are_counted_as_they_are(store: RunStore) -> None:
    run_id = ended(store, "p")
    before = store.stats()
    store.compact(run_id)
    after = store.stats()
    assert (after.runs, after.files) == (1, before.files - 1)
    assert after.pipelines[0].statuses == before.pipelines[0].statuses


def test_an_empty_store_has_no_oldest_run(store: RunStore) -> None:
    run_id = ended(store, "p")
    store.prune(max_bytes=0)
    stats = store.stats()
    assert (stats.runs, stats.oldest, stats.newest) == (0, None, None)
    assert (stats.largest, stats.pipelines) == ((), ())
    assert stats.files == 2
    assert run_id not in json.dumps(stats.as_dict())


def test_without_a_store_there_is_nothing_to_count(store: RunStore) -> None:
    with pytest.raises(StoreNotFoundError):
        store.stats()


def test_links_are_not_followed_and_not_counted(store: RunStore, tmp_path: Path) -> None:
    run_id = ended(store, "p")
    before = store.stats()
    (tmp_path / "large").write_bytes(bytes(100_000))
    (Path(store.path, "runs", run_id, "logs") / "link").symlink_to(tmp_path / "large")
    (Path(store.path) / "loop").symlink_to(store.path)
    assert store.stats() == before
    assert codes(store.verify().errors) == []


def test_every_run_is_told_before_it_is_looked_at(store: RunStore) -> None:
    runs = [ended(store, "p") for _ in range(3)]
    told: list[str] = []
    store.stats(on_run=told.append)
    assert told == runs[::-1]


def test_memory_does_not_grow_with_the_number_of_runs(store: RunStore) -> None:
    for number in range(60):
        ended(store, f"p{number % 3}")
    store.stats()
    tracemalloc.start()
    try:
        store.stats()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200_000
