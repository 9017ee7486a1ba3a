"""The guard: one run of a pipeline at a time, never stale, and no record depends on it."""

from __future__ import annotations

import errno
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import filelock
import pytest

from runstore import (
    GuardTimeoutError,
    GuardUnavailableError,
    RecordError,
    Run,
    RunStore,
    files,
    start_token,
)
from runstore.guard import FileGuard
from runstore.layout import new_run_id
from runstore.writing.segment import SegmentWriter
from tests.runstore.guarding import PIPELINE, competing, guarded, holding, program
from tests.scale import count

PATIENCE_S = 60.0

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
needs_inheritance = pytest.mark.skipif(
    sys.platform == "win32", reason="the system hands no descriptor to a child"
)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return guarded(tmp_path / "store")


@pytest.fixture
def waiting(tmp_path: Path) -> RunStore:
    return guarded(tmp_path / "store", PATIENCE_S)


def locks(store: RunStore) -> Path:
    return Path(store.path, "locks")


def holder_files(store: RunStore) -> list[Path]:
    return sorted(locks(store).glob("*.holder"))


def refused(store: RunStore, pipeline: str = PIPELINE) -> GuardTimeoutError:
    """Try to create a run; it must be refused, and must leave nothing behind."""
    before = store.run_ids()
    with pytest.raises(GuardTimeoutError) as caught:
        store.create_run(pipeline)
    assert store.run_ids() == before
    return caught.value


def assert_free(store: RunStore, pipeline: str = PIPELINE) -> None:
    with store.create_run(pipeline):
        pass


class TestExclusion:
    def test_a_second_run_is_refused_and_told_who_holds_it(self, store: RunStore) -> None:
        with store.create_run(PIPELINE) as run:
            error = refused(store)
            record = next(store.read(run.id).records())
            assert error.holder == {
                "run": run.id,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "token": start_token(os.getpid()),
                "since": error.holder["since"],
            }
            assert error.holder["since"] <= record["at"]
            assert error.path == f"{store.path}/locks/{PIPELINE}.lock"
            assert error.timeout_s == 0
            named = f"run {run.id} (host {socket.gethostname()}, pid {os.getpid()}, since 20"
            assert named in str(error)
        assert_free(store)

    def test_processes_that_compete_are_never_inside_together(self, store: RunStore) -> None:
        processes, rounds = 8, 10  # more in goal 14 of tests/faults
        folder = Path(store.path).parent
        printed = competing(store.path, processes, rounds, str(folder), "filelock")
        assert [each["overlaps"] for each in printed] == [0] * processes
        assert (folder / "count").read_text() == str(processes * rounds)
        assert [run.status for run in store.runs()] == ["succeeded"] * processes * rounds
        assert store.verify().ok
        assert holder_files(store) == []

    def test_threads_of_one_process_exclude_each_other(self, waiting: RunStore) -> None:
        inside: list[int] = []
        most: list[int] = []

        def compete(number: int) -> None:
            for _ in range(count(200, 8)):
                with waiting.create_run(PIPELINE):
                    inside.append(number)
                    most.append(len(inside))
                    inside.remove(number)

        threads = [threading.Thread(target=compete, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(most) == {1}
        assert len(waiting.run_ids()) == len(most) == 4 * count(200, 8)

    def test_it_is_waited_for_until_it_is_free(self, store: RunStore, waiting: RunStore) -> None:
        order: list[str] = []
        run = store.create_run(PIPELINE)

        def wait() -> None:
            with waiting.create_run(PIPELINE):
                order.append("second")

        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(0.2)
        order.append("first")
        with run:
            pass
        thread.join()
        assert order == ["first", "second"]

    def test_it_is_waited_for_no_longer_than_asked(self, tmp_path: Path, store: RunStore) -> None:
        with store.create_run(PIPELINE) as run:
            error = refused(guarded(tmp_path / "store", 0.1))
            assert (error.timeout_s, error.holder["run"]) == (0.1, run.id)

    @pytest.mark.parametrize("without_limit", [-1, float("inf")])
    def test_a_run_may_be_ended_by_another_thread_than_began_it(
        self, tmp_path: Path, store: RunStore, without_limit: float
    ) -> None:
        """The thread that took the guard waits for it: no deadlock, another one releases it."""
        run = store.create_run(PIPELINE)
        thread = threading.Timer(0.1, run.__exit__, (None, None, None))
        thread.start()
        assert_free(guarded(tmp_path / "store", without_limit))
        thread.join()

    def test_two_pipelines_do_not_exclude_each_other(self, store: RunStore) -> None:
        with store.create_run("one"), store.create_run("two"):
            refused(store, "one")
            refused(store, "two")

    def test_nor_do_two_stores(self, tmp_path: Path) -> None:
        with guarded(tmp_path / "a").create_run("p"), guarded(tmp_path / "b").create_run("p"):
            pass


HOSTILE = [
    *("a", "A", "a.b", "a.lock", "a.holder", "CON", "nul.txt", "com1", ".", "..", "...", " ", "a "),
    *("../../up", "/etc/passwd", "C:\\x", "a/b", "a\\b", "\0", "a\0b", "\n", "\x1b[31m", "*", "~"),
    *("é", unicodedata.normalize("NFD", "é"), "ﬁ", "fi", "ß", "ss", "İ", "🌋", "a\u202eb"),
    *("x" * 80, "x" * 81, "X" * 80, "é" * 5_000, "y" * 10_000, "runs", "store.json", "-", "--help"),
    "a.01a211a3-d8ad-76fe-8a8c-a9d6eeee961d",
    "01a211a3-d8ad-76fe-8a8c-a9d6eeee961d",
]


class TestNames:
    def test_every_pipeline_has_a_guard_of_its_own_whatever_its_name(self, store: RunStore) -> None:
        with ExitStack() as stack:
            runs = {name: stack.enter_context(store.create_run(name)) for name in HOSTILE}
            for name, run in runs.items():
                assert refused(store, name).holder["run"] == run.id
            names = [path.name for path in locks(store).iterdir()]
            assert len({name.casefold() for name in names}) == len(names) == 2 * len(HOSTILE)
            assert all(len(name.encode()) <= 100 and name.isascii() for name in names)
        assert len(list(locks(store).iterdir())) == len(HOSTILE)
        assert {path.name for path in Path(store.path).iterdir()} == {
            *(".gitignore", "locks", "runs", "store.json"),
        }
        assert store.verify().ok

    @pytest.mark.parametrize("name", ["", "x" * 10_001, "a\ud800"], ids=["empty", "long", "half"])
    def test_a_name_that_cannot_be_is_refused(self, store: RunStore, name: str) -> None:
        with pytest.raises(RecordError):
            store.create_run(name)
        assert store.run_ids() == []


class TestKilled:
    def test_a_killed_process_holds_it_no_more(self, store: RunStore) -> None:
        for _ in range(count(50, 3)):
            with holding("hang", store) as (process, [run_id]):
                assert refused(store).holder == {
                    **refused(store).holder,
                    "run": run_id,
                    "pid": process.pid,
                }
                process.send_signal(signal.SIGKILL)
                process.wait()
                assert_free(store)  # at once: it has gone with the process
        assert holder_files(store) == []

    @needs_inheritance
    def test_but_its_job_does_and_the_killed_run_is_named_as_long(
        self, store: RunStore, waiting: RunStore
    ) -> None:
        with holding("job", store) as (process, [run_id, job]):
            try:
                process.send_signal(signal.SIGKILL)
                process.wait()
                for _ in range(3):
                    assert refused(store).holder["run"] == run_id
                assert refused(store).holder["pid"] == process.pid
            finally:
                os.kill(int(job), signal.SIGKILL)
            assert_free(waiting)
        assert holder_files(store) == []

    @needs_inheritance
    def test_after_the_end_of_the_run_no_process_of_a_job_keeps_it_held(
        self, store: RunStore
    ) -> None:
        """What a job leaves behind in the background is no reason not to run again."""
        with store.create_run(PIPELINE) as run:
            left = subprocess.Popen(
                [sys.executable, "-c", "input()"],
                stdin=subprocess.PIPE,
                pass_fds=run.guard_descriptors,
            )
            refused(store)
        with left:
            assert_free(store)
            left.communicate(b"\n")

    @needs_fork
    def test_a_child_made_by_fork_neither_frees_it_nor_keeps_it(self, store: RunStore) -> None:
        done = subprocess.run(
            program("forked", store.path), check=True, capture_output=True, timeout=PATIENCE_S
        )
        assert [json.loads(line) for line in done.stdout.splitlines()] == [
            *(
                [end, 0, True, True]
                for end in (
                    *("leave_at_once", "leave_the_context", "release", "take_it_too"),
                    "leave_as_a_program_does",
                )
            ),
            ["descriptor", True],
            ["freed", None, None],
        ]


class TestHolder:
    """What the file of the holder says is a help to people; the lock does not depend on it."""

    def test_without_the_file_it_is_held_all_the_same(self, store: RunStore) -> None:
        with store.create_run(PIPELINE):
            holder_files(store)[0].unlink()
            error = refused(store)
            assert error.holder == {}
            assert str(error).startswith("the guard is held by another run; its lock is ")
        assert_free(store)

    @pytest.mark.parametrize(
        "content",
        [
            *(b"", b"\0" * 100, b"{", b"null", b"[1]", b'"text"', b"\xff\xfe", b"{}", b"[" * 9_999),
            b'{"run":5,"host":null,"pid":"7","token":[],"since":{}}',
            b'{"pid":true,"host":' + b"[" * 500,
            b"x" * (1 << 20),
        ],
        ids=lambda content: f"{len(content)} bytes",
    )
    def test_of_one_that_is_garbage_the_name_still_tells_the_run(
        self, store: RunStore, content: bytes
    ) -> None:
        with store.create_run(PIPELINE) as run:
            holder_files(store)[0].write_bytes(content)
            error = refused(store)
            assert error.holder == {"run": run.id}
            held = f"held by run {run.id} (host unknown, pid unknown, since unknown)"
            assert held in str(error)
        assert holder_files(store) == []

    def test_of_one_that_is_half_right_that_half_is_told(self, store: RunStore) -> None:
        with store.create_run(PIPELINE) as run:
            holder_files(store)[0].write_bytes(b'{"host":"h","pid":null,"more":1}')
            assert refused(store).holder == {"run": run.id, "host": "h"}

    @pytest.mark.parametrize("put", [os.mkdir, os.mkfifo, lambda path: os.symlink("/etc", path)])
    def test_something_else_in_its_place_hangs_nobody(self, store: RunStore, put: Any) -> None:
        with store.create_run(PIPELINE) as run:
            [path] = holder_files(store)
            path.unlink()
            put(path)
            assert refused(store).holder == {"run": run.id}
        assert_free(store)

    def test_the_next_holder_takes_away_what_a_killed_one_left(self, store: RunStore) -> None:
        with holding("hang", store) as (process, _):
            process.kill()
            process.wait()
        stale = holder_files(store)
        assert len(stale) == 1
        guard = FileGuard(store.path, PIPELINE)
        guard.hold(0)
        # It has not said yet who it is; that it is the killed one would be wrong.
        assert refused(store).holder == {}
        guard.release()
        with store.create_run(PIPELINE) as run:
            assert refused(store).holder["run"] == run.id
            assert len(holder_files(store)) == 1

    def test_the_files_of_other_pipelines_and_of_nobody_are_left_alone(
        self, store: RunStore
    ) -> None:
        with store.create_run("other") as other:
            kept = holder_files(store)
            mine = FileGuard(store.path, PIPELINE)._holder_file(new_run_id())
            for name in ("x.holder", f"{Path(mine).name}.tmp", "notes"):
                kept.append(locks(store) / name)
                kept[-1].touch()
            assert_free(store)
            assert all(path.exists() for path in kept)
            assert refused(store, "other").holder["run"] == other.id

    def test_where_it_cannot_be_written_the_guard_is_held_without_a_name(
        self, store: RunStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_arguments: object, **_options: object) -> None:
            raise OSError(errno.ENOSPC, "full")

        assert_free(store)
        with monkeypatch.context() as patch:
            patch.setattr(files, "publish", full)
            with store.create_run(PIPELINE, ["a"]) as run, run.job("a"):
                assert refused(store).holder == {}
        assert store.read(run.id).status == "succeeded"
        assert_free(store)


class TestRelease:
    def test_an_exception_in_the_run_releases_it(self, store: RunStore) -> None:
        for error in (ValueError, KeyboardInterrupt, SystemExit, GeneratorExit):
            with pytest.raises(error), store.create_run(PIPELINE, ["a"]) as run, run.job("a"):
                raise error
            assert_free(store)

    def test_a_run_that_cannot_be_created_does(
        self, store: RunStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for wrong in ({"jobs": ["a", "a"]}, {"jobs": [""]}, {"run": 1}, {"x": float("nan")}):
            with pytest.raises(RecordError):
                store.create_run(PIPELINE, **wrong)
            assert_free(store)
        for function in ("create", "append", "make_folder"):
            with monkeypatch.context() as patch:
                patch.setattr(files, function, failing(getattr(files, function), ".jsonl", "runs/"))
                with pytest.raises(OSError, match="broken"):
                    store.create_run(PIPELINE)
            assert_free(store)

    def test_so_does_one_whose_file_cannot_be_closed(
        self, store: RunStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def close(segment: SegmentWriter) -> None:
            real(segment)
            raise OSError(errno.EIO, "broken")

        real = SegmentWriter.close
        run = store.create_run(PIPELINE)
        with monkeypatch.context() as patch:
            patch.setattr(SegmentWriter, "close", close)
            with pytest.raises(OSError, match="broken"), run:
                pass
        assert_free(store)

    def test_the_descriptor_is_that_of_the_locked_file_while_the_guard_is_held(
        self, store: RunStore
    ) -> None:
        with store.create_run(PIPELINE) as run:
            (descriptor,) = run.guard_descriptors
            locked = (locks(store) / f"{PIPELINE}.lock").stat()
            assert os.path.samestat(os.fstat(descriptor), locked)
            assert not os.get_inheritable(descriptor)
            run.end()
            refused(store)
        assert run.guard_descriptors == []
        run.__exit__(None, None, None)
        assert_free(store)

    def test_only_its_owner_can_read_its_files(self, store: RunStore) -> None:
        if sys.platform == "win32":
            pytest.skip("the system has no modes")
        with store.create_run(PIPELINE):
            assert locks(store).stat().st_mode & 0o777 == 0o700
            assert {path.stat().st_mode & 0o777 for path in locks(store).iterdir()} == {0o600}


def failing(real: Any, *marks: str) -> Any:
    """A function of `files` that fails on what belongs to a run."""

    def fail(*arguments: Any, **options: Any) -> Any:
        if isinstance(arguments[0], int) or any(mark in arguments[0] for mark in marks):
            raise OSError(errno.EIO, "broken")
        return real(*arguments, **options)

    return fail


class TestBroken:
    @pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
    def test_a_file_system_without_locks_is_a_clear_error_and_nothing_goes_stale(
        self, store: RunStore, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        fcntl = pytest.importorskip("fcntl")

        def flock(_descriptor: int, _operation: int) -> None:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr(fcntl, "flock", flock)
            for _ in range(2):
                with pytest.raises(OSError, match="cannot be locked") as caught:
                    store.create_run(PIPELINE)
                assert caught.value.errno == number
                assert caught.value.filename == f"{store.path}/locks/{PIPELINE}.lock"
        assert store.run_ids() == []
        assert holder_files(store) == []
        assert_free(store)

    @pytest.mark.parametrize("put", [os.mkdir, lambda path: os.symlink("elsewhere", path)])
    def test_something_else_in_the_place_of_the_lock_is_a_clear_error(
        self, store: RunStore, put: Any
    ) -> None:
        assert_free(store)
        path = locks(store) / f"{PIPELINE}.lock"
        path.unlink()
        put(path)
        with pytest.raises(OSError, match=str(path)):
            store.create_run(PIPELINE)
        assert not (locks(store) / "elsewhere").exists()

    def test_without_filelock_it_says_what_is_missing(
        self, store: RunStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "filelock", None)
        with pytest.raises(GuardUnavailableError, match="filelock, which is not installed"):
            store.create_run(PIPELINE)
        with RunStore(store.path, "os").create_run(PIPELINE):
            pass

    @pytest.mark.parametrize("is_removed", [True, False])
    def test_a_guard_that_is_taken_away_during_the_run_costs_no_record(
        self, store: RunStore, is_removed: bool
    ) -> None:
        """Two runs at once then: the guard kept work from being done twice, never files whole."""

        def work(run: Run, job_id: str) -> None:
            with run.job(job_id) as log:
                for k in range(100):
                    log.append("metric", k=k)
                    if k == 50:
                        barrier.wait(PATIENCE_S)

        jobs = [f"job {number}" for number in range(4)]
        barrier = threading.Barrier(9, action=lambda: take_away(store, is_removed=is_removed))
        with store.create_run(PIPELINE, jobs) as one:
            take_away(store, is_removed=is_removed)
            with store.create_run(PIPELINE, jobs) as two:
                threads = [
                    threading.Thread(target=work, args=(run, job_id))
                    for run, job_id in itertools.product((one, two), jobs)
                ]
                for thread in threads:
                    thread.start()
                barrier.wait(PATIENCE_S)
                for thread in threads:
                    thread.join()
        for run in (one, two):
            view = store.read(run.id)
            assert view.status == "succeeded"
            assert sum(record["event"] == "metric" for record in view.records()) == 400
        assert store.verify(strict=True).ok
        assert_free(store)


def take_away(store: RunStore, *, is_removed: bool) -> None:
    """Remove all files of the guard, or put others of the same names there."""
    for path in locks(store).iterdir():
        path.unlink()
        if not is_removed:
            path.write_bytes(b"garbage")
    if is_removed:
        locks(store).rmdir()


class TestWithout:
    def test_without_a_guard_there_is_no_trace_of_one(self, tmp_path: Path) -> None:
        store = RunStore(tmp_path / "store", "os")
        with store.create_run(PIPELINE) as one, store.create_run(PIPELINE) as two:
            assert one.guard_descriptors == two.guard_descriptors == []
        assert not locks(store).exists()

    def test_filelock_is_not_even_imported(self, tmp_path: Path) -> None:
        program = (
            "import sys; from runstore import RunStore\n"
            "with RunStore(sys.argv[1], 'os').create_run('p'): assert 'filelock' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", program, tmp_path / "store"], check=True)

    @pytest.mark.parametrize("guard", ["portalocker", "", 5, True, nullcontext()])
    def test_what_is_no_guard_is_refused_at_once(self, tmp_path: Path, guard: Any) -> None:
        with pytest.raises(ValueError, match="guard is None, 'filelock' or a callable"):
            RunStore(tmp_path / "store", guard=guard)


class Own:
    """A guard of the caller's own, which notes what is done with it."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.told: list[object] = []

    def __call__(self) -> AbstractContextManager[object]:
        self.told.append("made")
        return self._held()

    def with_path(self, path: str) -> AbstractContextManager[object]:
        self.told.append(path)
        return self._held()

    @contextmanager
    def _held(self) -> Iterator[None]:
        self.told.append(f"entered with {len(self._runs())} runs")
        yield
        ends = sum(b'"event":"end"' in run.read_bytes() for run in self._runs())
        self.told.append(f"left after {ends} ends")

    def _runs(self) -> list[Path]:
        return list(self.store.glob("runs/*/run.jsonl"))


class TestOwnGuards:
    def test_it_is_held_from_before_the_run_to_after_its_end(self, tmp_path: Path) -> None:
        own = Own(tmp_path / "store")
        with RunStore(tmp_path / "store", "os", own).create_run("p") as run:
            assert own.told == ["made", "entered with 0 runs"]
            assert run.guard_descriptors == []
        assert own.told == ["made", "entered with 0 runs", "left after 1 ends"]
        assert not (tmp_path / "store/locks").exists()

    def test_if_it_takes_an_argument_it_gets_a_path_for_the_pipeline(self, tmp_path: Path) -> None:
        own = Own(tmp_path / "store")
        store = RunStore(tmp_path / "store", "os", own.with_path)
        for name in ("p", "../P", "p"):
            with store.create_run(name):
                pass
        first, second, third = own.told[::3]
        assert first == third == f"{store.path}/locks/p.lock"
        assert second != first
        for path in (first, second):
            assert Path(str(path)).parent == locks(store)
        assert store.verify().ok

    def test_a_lock_of_filelock_s_own_can_be_one(self, tmp_path: Path) -> None:
        store = RunStore(tmp_path / "store", "os", lambda path: filelock.FileLock(path, timeout=0))
        with store.create_run("p"):
            with pytest.raises(filelock.Timeout):
                store.create_run("p")
            with store.create_run("q"):
                pass
        assert_free(store, "p")

    def test_a_lock_of_threads_can_be_one(self, tmp_path: Path) -> None:
        lock = threading.Lock()
        store = RunStore(tmp_path / "store", "os", lambda: lock)
        with store.create_run("p"):
            assert lock.locked()
        assert not lock.locked()

    def test_an_exception_in_the_run_releases_it(self, tmp_path: Path) -> None:
        lock = threading.Lock()
        store = RunStore(tmp_path / "store", "os", lambda: lock)
        with pytest.raises(KeyError), store.create_run("p"):
            raise KeyError
        assert not lock.locked()
        with pytest.raises(RecordError):
            store.create_run("p", ["a", "a"])
        assert not lock.locked()

    def test_one_that_cannot_be_taken_leaves_no_run(self, tmp_path: Path) -> None:
        @contextmanager
        def busy() -> Iterator[None]:
            raise BlockingIOError("somebody else")
            yield

        store = RunStore(tmp_path / "store", "os", busy)
        with pytest.raises(BlockingIOError, match="somebody else"):
            store.create_run("p")
        assert store.run_ids() == []
