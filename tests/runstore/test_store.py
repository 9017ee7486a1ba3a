"""The store as a whole: what it lists, in which order, and at what cost."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from runstore import RecordError, RunNotFoundError, RunStore, StoreNotFoundError, files, layout
from tests.runstore.samples import codes, finished_run, open_run

MISSING = "01919191-9191-7191-9191-9191919191ab"


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "store", durability="os")


def test_making_a_store_object_writes_nothing(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "store")
    assert list(store.runs()) == []
    assert store.run_ids() == []
    with pytest.raises(StoreNotFoundError):
        store.verify()
    with pytest.raises(RunNotFoundError):
        store.read(MISSING)
    assert os.listdir(tmp_path) == []


def test_the_default_durability_is_disk(tmp_path: Path) -> None:
    assert RunStore(tmp_path).durability == "disk"
    with RunStore(tmp_path).create_run(pipeline="p") as run:
        assert run.durability == "disk"


@pytest.mark.parametrize("durability", ["none", "", "Disk", None])
def test_another_durability_is_refused(tmp_path: Path, durability: Any) -> None:
    with pytest.raises(ValueError, match="durability is 'disk' or 'os'"):
        RunStore(tmp_path, durability)


def test_runs_come_newest_first(store: RunStore) -> None:
    made = []
    for number in range(12):
        with store.create_run(pipeline=f"p{number}") as run:
            made.append(run.id)
    assert store.run_ids() == made[::-1]
    runs = list(store.runs())
    assert [run.id for run in runs] == made[::-1]
    assert [run.pipeline for run in runs] == [f"p{n}" for n in reversed(range(12))]
    started = [run.started or "" for run in runs]
    assert started == sorted(started, reverse=True)


def test_runs_are_read_one_by_one_as_they_are_asked_for(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        with store.create_run(pipeline="p"):
            pass
    opened = []
    open_read = files.open_read

    def noting(path: str) -> int:
        opened.append(path)
        return open_read(path)

    monkeypatch.setattr(files, "open_read", noting)
    runs = store.runs()
    next(runs)
    assert len(opened) == 1
    next(runs)
    assert len(opened) == 2


def test_a_summary_says_what_a_view_says(tmp_path: Path) -> None:
    for sample in (finished_run(tmp_path / "1"), open_run(tmp_path / "2")):
        (summary,) = sample.store.runs()
        view = sample.store.read(sample.id)
        for name in ("id", "pipeline", "status", "started", "ended"):
            assert getattr(summary, name) == getattr(view, name)


def test_what_is_no_run_is_not_listed_and_named(store: RunStore) -> None:
    with store.create_run(pipeline="p"):
        pass
    runs = Path(store.path, "runs")
    (runs / "notes").mkdir()
    (runs / MISSING.upper()).mkdir()
    (runs / MISSING).write_bytes(b"")
    assert len(list(store.runs())) == 1
    with pytest.raises(RunNotFoundError):
        store.read(MISSING)
    report = store.verify()
    assert codes(report.errors) == ["unexpected-file"] * 3
    assert {error.path for error in report.errors} == {
        "runs/notes",
        f"runs/{MISSING.upper()}",
        f"runs/{MISSING}",
    }


@pytest.mark.parametrize("run_id", [MISSING, "", "..", ".", "../runs", "x", MISSING.upper()])
def test_a_run_that_is_not_there_is_not_found(store: RunStore, run_id: str) -> None:
    with store.create_run(pipeline="p"):
        pass
    with pytest.raises(RunNotFoundError) as raised:
        store.read(run_id)
    assert (raised.value.run_id, raised.value.store) == (run_id, store.path)
    with pytest.raises(RunNotFoundError):
        store.verify(run_id)
    with pytest.raises(RunNotFoundError):
        store.verify([run_id])


def test_verify_takes_one_run_several_or_all(store: RunStore) -> None:
    made = []
    for _ in range(3):
        with store.create_run(pipeline="p") as run:
            made.append(run.id)
    assert store.verify().runs == 3
    assert store.verify(made[0]).runs == 1
    assert store.verify(iter(made[:2])).runs == 2
    assert store.verify([]).runs == 0


def test_verify_tells_which_run_it_reads(store: RunStore) -> None:
    for _ in range(3):
        with store.create_run(pipeline="p"):
            pass
    told: list[str] = []
    store.verify(on_run=told.append)
    assert sorted(told, reverse=True) == store.run_ids()


def test_a_relative_path_holds_when_the_working_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = RunStore("store", durability="os")
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    with store.create_run(pipeline="p", jobs=["a"]) as run, run.job("a"):
        monkeypatch.chdir(tmp_path)
    assert store.verify().ok
    assert (tmp_path / "store" / "store.json").exists()


def test_ulids_are_runs_too(tmp_path: Path) -> None:
    ulid = "01jd9z6x8v0000000000000000"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "new_run_id", lambda: ulid)
        with RunStore(tmp_path).create_run(pipeline="p") as run:
            assert run.id == ulid
    store = RunStore(tmp_path)
    assert (store.read(ulid).status, store.verify().runs) == ("succeeded", 1)


WRONG_CALLS: dict[str, tuple[type[Exception], Callable[[RunStore, str], object]]] = {
    "jobs as one text": (RecordError, lambda store, _: store.create_run("p", "abc")),
    "a number as a job": (RecordError, lambda store, _: store.create_run("p", [1])),  # type: ignore[list-item]
    "a number as an id": (RecordError, lambda store, _: store.create_run("p", [{"id": 1}])),
    "no text as a run": (RunNotFoundError, lambda store, _: store.read(None)),  # type: ignore[arg-type]
    "a number as a receipt": (ValueError, lambda store, run: store.verify(run, receipt=5)),  # type: ignore[arg-type]
    "half a run to keep": (ValueError, lambda store, _: store.prune(keep=1.5)),  # type: ignore[arg-type]
    "yes to keep": (ValueError, lambda store, _: store.prune(keep=True)),
    "a number as an age": (ValueError, lambda store, _: store.prune(older_than=3)),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("what", WRONG_CALLS)
def test_what_is_of_the_wrong_type_is_refused_by_name(what: str, tmp_path: Path) -> None:
    sample = finished_run(tmp_path / "store")
    kind, call = WRONG_CALLS[what]
    before = sample.store.run_ids()
    with pytest.raises(kind):
        call(sample.store, sample.id)
    assert sample.store.run_ids() == before


@pytest.mark.parametrize("job", [5, None, [], b"a"])
def test_a_job_is_named_by_a_text(job: Any, tmp_path: Path) -> None:
    with RunStore(tmp_path / "store", durability="os").create_run("p") as run:
        for call in (run.job, partial(run.not_run, status="skipped", reason="")):
            with pytest.raises(RecordError, match="a job id is a text"):
                call(job)


def test_a_run_named_twice_is_verified_once(tmp_path: Path) -> None:
    sample = finished_run(tmp_path / "store")
    assert sample.store.verify([sample.id, sample.id]) == sample.store.verify([sample.id])


@pytest.mark.parametrize("left", [b"", b'{"n":0,"prev":"00000000","at":"20', b"\0" * 300, b"x\n"])
def test_a_resume_that_died_as_it_began_hides_nothing_of_its_run(
    tmp_path: Path, left: bytes
) -> None:
    store = RunStore(tmp_path / "store", durability="os")
    with store.create_run("p", ["a"]) as run:
        run.end("failed")
    (before,) = store.runs()
    Path(run.path, "run.2.jsonl").write_bytes(left)
    (after,) = store.runs()
    assert (after.pipeline, after.started) == ("p", before.started)
    assert after.status == store.read(run.id).status
    with store.resume_run(run.id) as again:
        again.end("succeeded")
    (last,) = store.runs()
    assert (last.pipeline, last.status) == ("p", "succeeded")
