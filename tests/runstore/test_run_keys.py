"""A run key is held by one run at a time, and its run is found by the first line alone."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from runstore import GuardTimeoutError, RecordError, RunKey, RunStore
from runstore.layout import key_name

needs_inheritance = pytest.mark.skipif(sys.platform == "win32", reason="needs pass_fds")


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "store", "os")


def refused(store: RunStore, pipeline: str = "p", run_key: str = "k") -> GuardTimeoutError:
    with pytest.raises(GuardTimeoutError) as caught:
        store.hold_key(pipeline, run_key)
    return caught.value


def keyed(store: RunStore, pipeline: str = "p", run_key: str = "k") -> str:
    with (
        store.hold_key(pipeline, run_key) as key,
        store.create_run(pipeline, ["a"], key=key) as run,
        run.job("a"),
    ):
        pass
    return run.id


def test_it_is_held_from_before_the_run_to_its_end(store: RunStore) -> None:
    with store.hold_key("p", "k") as key:
        assert refused(store).holder == {}
        with store.create_run("p", key=key) as run:
            assert (run.run_key, len(run.guard_descriptors)) == ("k", 1)
            error = refused(store)
            assert (error.holder["run"], error.run_key) == (run.id, "k")
            again = pickle.loads(pickle.dumps(error))
            assert (str(again), again.run_key) == (str(error), "k")
        with store.hold_key("p", "k"):
            pass
    assert store.read(run.id).run_key == "k"
    assert [summary.run_key for summary in store.runs()] == ["k"]


def test_a_key_is_one_of_a_pipeline(store: RunStore) -> None:
    with store.hold_key("p", "k"), store.hold_key("q", "k"), store.hold_key("p", "l"):
        refused(store)
    pairs = (("p", "k"), ("pk", "x"), ("p", "kx"), ("P", "k"), ("p", "K"))
    assert len({key_name(*pair) for pair in pairs}) == len(pairs)


def test_the_key_of_another_work_or_one_let_go_is_refused(store: RunStore) -> None:
    with store.hold_key("p", "k") as key:
        with pytest.raises(RecordError, match="not that of the run"):
            store.create_run("q", key=key)
        with store.create_run("p", key=key):
            pass
        with pytest.raises(RecordError, match="not held any more"):
            store.create_run("p", key=key)
    with pytest.raises(RecordError, match="run_key"):
        store.create_run("p", run_key="k")
    assert len(store.run_ids()) == 1


def test_a_resume_holds_the_key_of_the_run_and_goes_on_under_it(store: RunStore) -> None:
    run_id = keyed(store)
    with store.hold_key("p", "k"), pytest.raises(GuardTimeoutError):
        store.resume_run(run_id)
    with store.resume_run(run_id) as run:
        assert run.run_key == "k"
        assert refused(store).holder["run"] == run_id
    with store.hold_key("p", "k") as key, store.resume_run(run_id, key=key):
        refused(store)
    with store.hold_key("p", "l") as other, pytest.raises(RecordError):
        store.resume_run(run_id, key=other)
    assert (store.read(run_id).run_key, store.read(run_id).segment) == ("k", 3)
    assert store.verify(strict=True).ok


def test_beside_the_guard_both_are_held_and_let_go(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "store", "os", "filelock")
    with store.hold_key("p", "k") as key, store.create_run("p", key=key) as run:
        assert len(run.guard_descriptors) == 2
        with pytest.raises(GuardTimeoutError) as caught:
            store.create_run("p")
        assert caught.value.run_key is None
        with store.hold_key("p", "l") as other, pytest.raises(GuardTimeoutError):
            store.create_run("p", key=other)
    assert run.guard_descriptors == []
    keyed(store)
    keyed(store, run_key="l")


@needs_inheritance
def test_a_process_that_inherits_it_keeps_it_held(store: RunStore) -> None:
    key = RunKey(store.path, "p", "k")
    store.create_run("p").__exit__(None, None, None)
    program = (
        "import os, subprocess, sys; from runstore import RunStore; "
        "store = RunStore(sys.argv[1], 'os'); key = store.hold_key('p', 'k'); "
        "run = store.create_run('p', key=key); "
        "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=0, "
        "pass_fds=run.guard_descriptors); print(run.id, flush=True); os._exit(0)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, store.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        process.wait()
        assert refused(store).holder["run"] == run_id
        assert store.read(run_id).status == "crashed"
    key.hold(20)
    key.release()


@pytest.mark.parametrize("run_key", ["", "k" * 10_001, "a\0b", "\ud800", 7, None])
def test_what_is_none_is_refused_and_makes_nothing(store: RunStore, run_key: str) -> None:
    for ask in (store.hold_key, store.find_run):
        with pytest.raises(RecordError, match="run key"):
            ask("p", run_key)
    assert not Path(store.path).exists()


class TestFinding:
    def test_the_newest_counts(self, store: RunStore) -> None:
        assert store.find_run("p", "k") is None
        first, second = keyed(store), keyed(store)
        keyed(store, "q")
        keyed(store, run_key="l")
        assert first != second
        assert store.find_run("p", "k") == second

    def test_a_compacted_and_a_resumed_one_are_found(self, store: RunStore) -> None:
        run_id = keyed(store)
        store.resume_run(run_id).__exit__(None, None, None)
        store.compact(run_id)
        assert store.find_run("p", "k") == run_id

    def test_one_whose_first_line_is_damaged_is_not_found(self, store: RunStore) -> None:
        run_id = keyed(store)
        path = Path(store.path, "runs", run_id, "run.jsonl")
        path.write_bytes(b"x" + path.read_bytes()[1:])
        assert store.find_run("p", "k") is None
        store.resume_run(run_id, pipeline="p").__exit__(None, None, None)
        assert store.find_run("p", "k") is None  # nothing tells the key any more

    @pytest.mark.parametrize("content", [b"", b"\n", b"{}\n", b"\0" * 100, None])
    def test_what_is_no_run_is_stepped_over(self, store: RunStore, content: bytes | None) -> None:
        run_id = keyed(store)
        folder = Path(store.path, "runs", "ffffffff-ffff-7fff-bfff-ffffffffffff")
        folder.mkdir()
        if content is None:
            (folder / "run.jsonl").mkdir()
        else:
            (folder / "run.jsonl").write_bytes(content)
        assert store.find_run("p", "k") == run_id
