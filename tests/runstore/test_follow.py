"""A run is followed: every record once, whole, in the order of its file, and none too early."""

from __future__ import annotations

import itertools
import json
import os
import queue
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runstore import Position, Run, RunNotFoundError, RunStore, files
from runstore.layout import attempt_file, run_file
from runstore.lines.record import encode
from runstore.reading import follow
from runstore.reading.inventory import Inventory, take_inventory
from tests.leaks import open_descriptors
from tests.runstore.samples import (
    DEAD,
    ELSEWHERE,
    FIRST,
    PLAIN,
    RUN_FILE,
    SECOND,
    SLUGGED,
    THIRD,
    Record,
    SampleRun,
    abandon,
    attempt_begin,
    done,
    finished_run,
    frozen,
    last_position,
    open_run,
    resume,
    resume_begin,
    write_segment,
)
from tests.scale import count

PROGRAM = Path(__file__).with_name("following.py")
PATIENCE_S = 30.0
QUICK = (0.001, 0.01)
OF_RUNS = {"start", "done", "planned", "not_run", "stage_begin"}


def key(record: Record) -> tuple[str, int] | None:
    """Whose file a record is from: a job and attempt, or None for the run's own."""
    if "job" not in record or record["event"] in OF_RUNS:
        return None
    return record["job"], record["attempt"]


def assert_in_order(records: list[Record]) -> None:
    """No record twice, each file's in its order, an attempt's between its `start` and `done`."""
    following: Counter[tuple[str, int] | None] = Counter()
    started: set[tuple[str, int]] = set()
    closed: set[tuple[str, int]] = set()
    for record in records:
        source = key(record)
        if source is None and record["event"] == "begin":
            following[source] = 0
        assert record["n"] == following[source], record
        following[source] += 1
        if record["event"] == "start":
            started.add((record["job"], record["attempt"]))
        elif record["event"] == "done":
            closed.add((record["job"], record["attempt"]))
        elif source is not None:
            assert source in started, record
            assert source not in closed, record


def assert_is_all(followed: list[Record], store: RunStore, run_id: str) -> None:
    """What was followed is what is read afterwards, file by file."""
    assert by_file(followed) == by_file(list(store.read(run_id).records()))


def by_file(records: list[Record]) -> dict[tuple[str, int] | None, list[str]]:
    """The records of each file, in the order in which they came."""
    files_of: dict[tuple[str, int] | None, list[str]] = {}
    for record in records:
        files_of.setdefault(key(record), []).append(frozen(record))
    return files_of


class Following:
    """Follows a run in a thread of its own."""

    def __init__(self, store: RunStore, run_id: str) -> None:
        self.records: list[Record] = []
        self._come: queue.Queue[Record | None] = queue.Queue()
        self._records = store.follow(run_id, poll_s=QUICK)
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        for record in self._records:
            self._come.put(record)
        self._come.put(None)

    def until(self, event: str, **fields: Any) -> list[Record]:
        """Wait for a record; gives all that has come up to it."""
        while True:
            record = self._come.get(timeout=PATIENCE_S)
            assert record is not None, f"it ended before {event} {fields}"
            self.records.append(record)
            if record["event"] == event and fields.items() <= record.items():
                return self.records

    def rest(self) -> list[Record]:
        """Wait for the end; gives all records."""
        self.records += iter(lambda: self._come.get(timeout=PATIENCE_S), None)
        self._thread.join()
        return self.records


class HandMade:
    """A run of another host, of which the test writes every byte."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = RunStore(folder, "os")
        with monkeypatch.context() as patch:
            patch.setattr("runstore.writing.run.this_process", lambda: ELSEWHERE)
            self.run = self.store.create_run("nightly", [PLAIN])
        self.id = self.run.id
        self.folder = Path(self.run.path)
        self.append = self.run._segment.append

    def start(self, job_id: str) -> str:
        """Write the `start` of an attempt; gives the name that its file is to have."""
        self.append("start", {"job": job_id, "attempt": 1})
        return attempt_file(job_id, 1)

    def lines(self, job_id: str, events: int = 3) -> list[bytes]:
        """The lines of an attempt's file."""
        path = self.folder / "made"
        begin = {"format": 1, "run": self.id, "job": job_id, "attempt": 1}
        write_segment(path, [("begin", begin), *[("metric", {"k": k}) for k in range(events)]])
        data = path.read_bytes()
        path.unlink()
        return data.splitlines(keepends=True)

    def write(self, name: str, data: bytes) -> None:
        """Append bytes to a file."""
        with open(self.folder / name, "ab") as file:
            file.write(data)

    def mark(self) -> str:
        """Write a record of the run's own: who reads it has looked at all files since."""
        name = f"mark{os.urandom(4).hex()}"
        self.append(name, {})
        return name


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HandMade]:
    run = HandMade(tmp_path / "store", monkeypatch)
    yield run
    abandon(run.run)


@contextmanager
def writing(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the program; gives it and the id of its run."""
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


class TestRunsThatAreOver:
    def test_a_run_that_has_ended_is_given_as_it_is_read(self, tmp_path: Path) -> None:
        sample = finished_run(tmp_path / "store")
        assert list(sample.store.follow(sample.id)) == sample.records()

    def test_one_that_was_killed_too(self, tmp_path: Path) -> None:
        sample = open_run(tmp_path / "store")
        assert list(sample.store.follow(sample.id)) == sample.records()

    def test_and_one_that_was_resumed_twice(self, tmp_path: Path) -> None:
        sample = open_run(tmp_path / "store")
        first = resume(sample)
        assert list(sample.store.follow(sample.id)) == sample.records()
        begin = resume_begin(sample, 3, first, DEAD)
        write_segment(sample.path(run_file(3)), [("begin", begin), ("stage_begin", {})])
        followed = list(sample.store.follow(sample.id))
        assert followed == sample.records()
        assert [r["segment"] for r in followed if "segment" in r] == [1, 2, 3]

    def test_an_attempt_that_no_start_names_any_more_is_merged_in(self, tmp_path: Path) -> None:
        """As after a power cut, which can take the end of the run's own file."""
        sample = open_run(tmp_path / "store")
        sample.path(RUN_FILE).write_bytes(b"".join(sample.lines(RUN_FILE)[:2]))
        followed = list(sample.store.follow(sample.id))
        assert followed == sample.records()
        assert {record["job"] for record in followed if "job" in record} == {PLAIN, SLUGGED}

    def test_also_where_more_of_the_run_follows(self, tmp_path: Path) -> None:
        sample = open_run(tmp_path / "store")
        resume(sample)
        second = sample.path(run_file(2))
        second.write_bytes(b"".join(second.read_bytes().splitlines(keepends=True)[:-1]))
        lines = sample.lines(RUN_FILE)
        assert [json.loads(line)["event"] for line in lines[2:]] == ["start", "done", "start"]
        sample.path(RUN_FILE).write_bytes(b"".join([*lines[:2], b"damaged\n" * 2, lines[4]]))
        followed = list(sample.store.follow(sample.id))
        assert followed == sample.records()
        assert [record["job"] for record in followed[2:8]] == [PLAIN] * 3 + [SLUGGED] * 3

    def test_a_run_that_has_ended_gives_no_attempt_that_it_does_not_name(
        self, tmp_path: Path
    ) -> None:
        sample = finished_run(tmp_path / "store")
        sample.path(attempt_file("more", 1)).write_bytes(sample.content[FIRST])
        begin = attempt_begin(sample, "extra", 1)
        write_segment(sample.path(attempt_file("extra", 1)), [("begin", begin)])
        followed = list(sample.store.follow(sample.id))
        assert {frozen(record) for record in followed} == sample.written

    def test_a_clock_that_steps_back_changes_no_order_within_a_file_and_no_done_comes_early(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        minutes = itertools.count(59, -1)
        with monkeypatch.context() as patch:
            patch.setattr("runstore.lines.record.now_ns", lambda: next(minutes) * 60 * 10**9)
            sample = finished_run(tmp_path / "store")
        followed = list(sample.store.follow(sample.id))
        assert_in_order(followed)
        assert_is_all(followed, sample.store, sample.id)
        assert followed[-1]["event"] == "end"

    def test_of_records_of_one_microsecond_the_run_s_own_come_last(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("runstore.lines.record.now_ns", lambda: 1_796_000_000_123_456_789)
            store = RunStore(tmp_path / "store", "os")
            with store.create_run("p") as run, run.job("a") as log, run.job("b"):
                log.append("metric", k=1)
                run.append("stage_begin")
        followed = list(store.follow(run.id))
        assert followed == list(store.read(run.id).records())
        assert [record["event"] for record in followed] == [
            *("begin", "start", "begin", "metric", "end", "start", "begin", "end"),
            *("stage_begin", "done", "done", "end"),
        ]

    def test_a_compaction_changes_nothing_before_and_while_it_is_followed(
        self, tmp_path: Path
    ) -> None:
        for taken in range(15):
            sample = finished_run(tmp_path / f"store{taken}")
            records = sample.store.follow(sample.id)
            followed = list(itertools.islice(records, taken))
            sample.store.compact(sample.id)
            followed += records
            assert followed == sample.records()
            assert list(sample.store.follow(sample.id)) == followed
        assert taken < len(followed)

    def test_many_attempts_cost_no_descriptors(self, tmp_path: Path) -> None:
        attempts = count(3_000, 600)
        store = RunStore(tmp_path / "store", "os")
        with store.create_run("p") as run:
            for number in range(attempts):
                with run.job(f"job {number}") as log:
                    log.append("metric", k=number)
        before = len(open_descriptors())
        followed = []
        for record in store.follow(run.id):
            followed.append(record)
            assert len(followed) % 500 or len(open_descriptors()) == before
        assert_in_order(followed)
        assert len(followed) == 2 + 5 * attempts

    def test_a_run_without_a_file_is_given_up_after_a_moment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(follow, "_PATIENCE_S", 0.05)
        sample = finished_run(tmp_path / "store")
        sample.path(RUN_FILE).unlink()
        followed = list(sample.store.follow(sample.id, poll_s=QUICK))
        assert_is_all(followed, sample.store, sample.id)
        assert followed
        for path in sample.folder.rglob("*.jsonl"):
            path.unlink()
        assert list(sample.store.follow(sample.id, poll_s=QUICK)) == []

    def test_one_that_is_not_there_is_an_error_at_once(self, tmp_path: Path) -> None:
        store = finished_run(tmp_path / "store").store
        for run_id in ("none", "01a211a3-d8ad-76fe-8a8c-a9d6eeee961d", "", "..", "../runs"):
            with pytest.raises(RunNotFoundError):
                store.follow(run_id)

    @pytest.mark.parametrize("poll_s", [(0, 1), (-1, 1), (1, 0.5), (float("nan"), 1)])
    def test_waits_that_are_none_are_refused(
        self, tmp_path: Path, poll_s: tuple[float, float]
    ) -> None:
        sample = finished_run(tmp_path / "store")
        with pytest.raises(ValueError, match="wait"):
            sample.store.follow(sample.id, poll_s=poll_s)


class TestDamagedRuns:
    """What is followed is what is read: no more and no less, whatever the files hold."""

    @pytest.mark.parametrize("kind", ["finished", "killed", "resumed"])
    def test_of_a_damaged_run_it_gives_what_reading_gives(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        monkeypatch.setattr(follow, "_PATIENCE_S", 0.0)
        sample = finished_run(tmp_path / "store") if kind == "finished" else None
        if sample is None:
            sample = open_run(tmp_path / "store")
        if kind == "resumed":
            resume(sample)
            sample.content = {name: sample.path(name).read_bytes() for name in sample.names()}
        chance = random.Random(kind)
        for _ in range(count(3_000, 150)):
            damage(sample, chance)
            followed = list(sample.store.follow(sample.id, poll_s=(1e-6, 1e-6)))
            assert_is_all(followed, sample.store, sample.id)
            sample.restore()

    def test_a_link_a_folder_and_a_pipe_are_no_files_of_records(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(follow, "_PATIENCE_S", 0.0)
        sample = finished_run(tmp_path / "store")
        for name, put in itertools.product(
            sample.names(), (os.mkdir, os.mkfifo, lambda path: os.symlink(sample.path(FIRST), path))
        ):
            path = sample.path(name)
            path.rename(tmp_path / "aside")
            put(path)
            followed = list(sample.store.follow(sample.id, poll_s=QUICK))
            assert_is_all(followed, sample.store, sample.id)
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            (tmp_path / "aside").rename(path)


def damage(sample: SampleRun, chance: random.Random) -> None:
    """Do one or two of the things to a run that no writer does."""
    for _ in range(chance.choice([1, 1, 2])):
        path = sample.path(chance.choice(sample.names()))
        data = path.read_bytes()
        lines = data.splitlines(keepends=True)
        at = chance.randrange(len(data) + 1)
        line = chance.randrange(len(lines) + 1)
        match chance.choice(["flip", "cut", "delete", "double", "swap", "splice", "gone", "moved"]):
            case "flip" if at < len(data):
                data = data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
            case "cut":
                data = data[:at]
            case "delete":
                data = b"".join(lines[:line] + lines[line + 1 :])
            case "double":
                data = b"".join(lines[:line] + lines[:line][-1:] + lines[line:])
            case "swap":
                data = b"".join(lines[:line][::-1] + lines[line:])
            case "splice":
                other = chance.choice(list(sample.content.values())).splitlines(keepends=True)
                data = b"".join([*lines[:line], chance.choice(other), *lines[line:]])
            case "moved":
                data = chance.choice(list(sample.content.values()))
        path.write_bytes(data)
        if chance.random() < 0.05:
            path.unlink()
            return


def remove(folder: Path) -> None:
    """Take a run away although its files are open, which not every file system lets be removed."""
    folder.rename(folder.with_name("removed"))


class TestRunsAtWork:
    def test_beside_writers_it_gives_what_is_read_afterwards(self, tmp_path: Path) -> None:
        store = RunStore(tmp_path / "store", "os")
        seconds = count(30, 1)
        with (
            writing("write", store.path, seconds, 3) as (_, one),
            writing("write", store.path, seconds, 3) as (_, two),
            writing("write", store.path, seconds, 2) as (_, three),
            writing("write", store.path, seconds, 2) as (_, four),
            ThreadPoolExecutor(5) as pool,
        ):
            runs = [one, two, three, four, one]
            all_followed = list(pool.map(lambda run_id: list(store.follow(run_id)), runs))
        for run_id, followed in zip(runs, all_followed, strict=True):
            assert store.read(run_id).status == "failed"
            assert followed[-1]["event"] == "end"
            assert len(followed) > 100
            assert_in_order(followed)
            assert_is_all(followed, store, run_id)

    def test_a_killed_process_ends_it_after_all_that_it_wrote(self, tmp_path: Path) -> None:
        store = RunStore(tmp_path / "store", "os")
        for wait_s in (0.1, 0.3):
            with writing("hang", store.path) as (process, run_id):
                following = Following(store, run_id)
                time.sleep(wait_s)
                process.kill()
                process.wait()
                followed = following.rest()
            assert store.read(run_id).status == "crashed"
            assert_in_order(followed)
            assert_is_all(followed, store, run_id)

    def test_what_this_process_writes_is_followed_too(self, tmp_path: Path) -> None:
        store = RunStore(tmp_path / "store", "os")
        with store.create_run("p", ["a"]) as run:
            following = Following(store, run.id)
            with run.job("a") as log:
                for k in range(200):
                    log.append("metric", k=k)
                following.until("metric", k=199)
            following.until("done")
        followed = following.rest()
        assert_in_order(followed)
        assert_is_all(followed, store, run.id)

    def test_a_run_that_is_left_without_an_end_is_over(self, tmp_path: Path) -> None:
        store = RunStore(tmp_path / "store", "os")
        with store.create_run("p", ["a"]) as run:
            log = run.job("a")
            following = Following(store, run.id)
            following.until("begin", job="a")
            log.append("metric", k=1)
        abandon(log)
        assert_is_all(following.rest(), store, run.id)

    def test_a_slow_consumer_misses_nothing_and_hears_of_every_job(self, tmp_path: Path) -> None:
        """A busy attempt does not hide what the others, and the run itself, have to say."""
        store = RunStore(tmp_path / "store", "os")
        is_enough = threading.Event()

        def chatter(run: Run) -> None:
            with run.job("chatter") as log:
                for k in itertools.count():
                    log.append("metric", k=k)
                    if k > 50 and is_enough.wait(0.0005):
                        return

        with store.create_run("p", ["chatter", "other"]) as run:
            thread = threading.Thread(target=chatter, args=(run,))
            thread.start()
            followed = []
            records = store.follow(run.id, poll_s=QUICK)
            for record in records:
                followed.append(record)
                time.sleep(0.001)
                if len(followed) == 20:
                    with run.job("other"):
                        pass
                if record["event"] == "done" and record["job"] == "other":
                    break
            is_enough.set()
            thread.join()
        followed += records
        assert_in_order(followed)
        assert_is_all(followed, store, run.id)

    def test_a_removed_run_is_over(self, made: HandMade) -> None:
        following = Following(made.store, made.id)
        following.until("planned")
        remove(made.folder)
        assert [record["event"] for record in following.rest()] == ["begin", "planned"]


class TestFilesInTheMaking:
    def test_a_half_written_record_is_given_once_when_it_is_whole(self, made: HandMade) -> None:
        following = Following(made.store, made.id)
        name = made.start("late")
        whole = 0
        for line in made.lines("late"):
            for part in (line[:1], line[1:40], line[40:-1], line[-1:]):
                made.write(name, part)
                whole += part == b"\n"
                records = following.until(made.mark())
                assert len([r for r in records if key(r) == ("late", 1)]) == whole
        made.append("end", {"status": "succeeded"})
        followed = following.rest()
        assert_in_order(followed)
        assert_is_all(followed, made.store, made.id)

    @pytest.mark.parametrize("cuts", [(1, 40, -1), (-1,)])
    def test_so_is_one_of_the_run_itself(self, made: HandMade, cuts: tuple[int, ...]) -> None:
        following = Following(made.store, made.id)
        name = made.start("other")
        others = iter(made.lines("other", 20))
        position = made.run._segment.position
        assert position is not None
        line, _ = encode(position.n + 1, position.crc, "stage_begin", {"stage": "s"})
        parts = [line[a:b] for a, b in itertools.pairwise((0, *cuts))]
        for part in parts:
            made.write(RUN_FILE, part)
            for _ in range(2):  # the first may have come in a look that began before
                other = next(others)
                made.write(name, other)
                n = json.loads(other)["n"]
                following.until("begin" if n == 0 else "metric", n=n, job="other")
        assert [r["event"] for r in following.records if key(r) is None] == [
            *("begin", "planned", "start"),
        ]
        made.write(RUN_FILE, line[-1:])
        following.until("stage_begin", stage="s")
        remove(made.folder)
        following.rest()

    def test_a_file_that_is_made_long_after_its_start_is_found(self, made: HandMade) -> None:
        following = Following(made.store, made.id)
        name = made.start("late")
        for _ in range(3):
            following.until(made.mark())
        lines = made.lines("late")
        made.write(name, b"".join(lines))
        following.until("metric", k=2)
        made.append("done", done("late", 1, "succeeded", last_position(lines[-1])))
        made.append("end", {"status": "succeeded"})
        followed = following.rest()
        assert_in_order(followed)
        assert_is_all(followed, made.store, made.id)

    def test_one_whose_start_is_lost_comes_before_its_done(self, made: HandMade) -> None:
        following = Following(made.store, made.id)
        lines = made.lines("late")
        made.write(attempt_file("late", 1), b"".join(lines))
        following.until(made.mark())
        made.append("done", done("late", 1, "failed", last_position(lines[-1])))
        following.until("done")
        made.append("end", {"status": "failed"})
        followed = following.rest()
        assert_is_all(followed, made.store, made.id)
        assert [record["event"] for record in followed if record.get("job") == "late"] == [
            *("begin", "metric", "metric", "metric", "done"),
        ]

    def test_what_stands_after_the_record_vouched_for_is_not_given(
        self, made: HandMade, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines = made.lines("a")

        def finish() -> None:
            made.write(attempt_file("a", 1), b"".join(lines))
            made.append("done", done("a", 1, "succeeded", last_position(lines[1])))
            made.append("end", {"status": "succeeded"})

        between_looks(monkeypatch, {1: lambda: made.start("a"), 2: finish})
        followed = list(made.store.follow(made.id))
        assert_in_order(followed)
        assert_is_all(followed, made.store, made.id)
        assert [r["n"] for r in followed if key(r) == ("a", 1)] == [0, 1]

    def test_the_end_comes_last_even_where_a_done_is_lost(
        self, made: HandMade, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def finish() -> None:
            made.append("end", {"status": "failed"})
            made.write(attempt_file("a", 1), b"".join(made.lines("a")))  # by a clock that is ahead

        between_looks(monkeypatch, {1: lambda: made.start("a"), 2: finish})
        followed = list(made.store.follow(made.id))
        assert_is_all(followed, made.store, made.id)
        assert [record["event"] for record in followed[-3:]] == ["metric", "metric", "end"]

    def test_one_that_never_is_holds_nothing_up(self, made: HandMade) -> None:
        following = Following(made.store, made.id)
        made.start("never")
        made.append("done", done("never", 1, "failed", Position(3, "00000000")))
        made.append("end", {"status": "failed"})
        assert [record["event"] for record in following.rest()] == [
            *("begin", "planned", "start", "done", "end"),
        ]

    def test_the_run_s_own_file_may_come_late_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(follow, "_PATIENCE_S", PATIENCE_S)
        sample = finished_run(tmp_path / "store")
        for path in sample.folder.rglob("*.jsonl"):
            path.unlink()
        following = Following(sample.store, sample.id)
        time.sleep(0.05)
        for name in (RUN_FILE, FIRST, THIRD, SECOND):
            for line in sample.lines(name):
                with open(sample.path(name), "ab") as file:
                    file.write(line)
                time.sleep(0.002)
        # `done` was there before the attempt's file, which no writer does: only its set is sure.
        followed = following.rest()
        assert len(followed) == len({frozen(record) for record in followed})
        assert {frozen(record) for record in followed} <= sample.written

    def test_a_record_that_leaves_numbers_out_waits_for_the_one_that_decides_on_it(
        self, made: HandMade
    ) -> None:
        following = Following(made.store, made.id)
        name = made.start("late")
        zero, one, two, three = made.lines("late")
        made.write(name, zero + two)
        following.until(made.mark())
        made.write(name, one)
        following.until(made.mark())
        made.write(name, three)
        following.until(made.mark())
        made.append("end", {"status": "failed"})
        followed = following.rest()
        assert_is_all(followed, made.store, made.id)
        assert [r["n"] for r in followed if key(r) == ("late", 1)] == [0, 1, 3]

    @pytest.mark.parametrize("cut", [0, 1, 2, 30])
    def test_of_a_killed_process_a_whole_record_counts_and_a_torn_one_does_not(
        self, tmp_path: Path, cut: int
    ) -> None:
        sample = open_run(tmp_path / "store")
        for name in (RUN_FILE, THIRD):
            data = sample.content[name]
            sample.path(name).write_bytes(data[: len(data) - cut])
        followed = list(sample.store.follow(sample.id))
        assert len(followed) == len(sample.written) - (2 if cut > 1 else 0)
        assert_is_all(followed, sample.store, sample.id)

    def test_a_resume_is_followed_as_it_appears(self, tmp_path: Path) -> None:
        sample = open_run(tmp_path / "store", ELSEWHERE)
        following = Following(sample.store, sample.id)
        following.until("metric", job=SLUGGED)
        resume(sample, owner=ELSEWHERE)
        followed = following.rest()
        assert followed[-1] == {**followed[-1], "event": "end", "n": 6}
        assert_in_order(followed)
        assert_is_all(followed, sample.store, sample.id)

    def test_one_that_appears_when_the_run_had_just_been_found_to_be_over_is_followed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sample = open_run(tmp_path / "store")
        second = sample.path(run_file(2))
        end: list[bytes] = []

        def look(folder: str, run_id: str) -> Inventory:
            found = take_inventory(folder, run_id)
            if not second.exists():
                resume(sample, owner=ELSEWHERE)
                *lines, last = second.read_bytes().splitlines(keepends=True)
                second.write_bytes(b"".join(lines))
                end.append(last)
            return found

        def finish() -> None:
            with second.open("ab") as file:
                file.write(end[0])

        monkeypatch.setattr(follow, "take_inventory", look)
        between_looks(monkeypatch, {2: finish})
        followed = list(sample.store.follow(sample.id))
        assert followed[-1]["event"] == "end"
        assert_in_order(followed)
        assert_is_all(followed, sample.store, sample.id)

    def test_what_the_killed_process_left_without_a_line_feed_comes_before_the_resume(
        self, tmp_path: Path
    ) -> None:
        sample = open_run(tmp_path / "store", ELSEWHERE)
        resume(sample, owner=ELSEWHERE)
        first, second = sample.path(RUN_FILE), sample.path(run_file(2))
        first.write_bytes(first.read_bytes()[:-1])
        *lines, end = second.read_bytes().splitlines(keepends=True)
        second.write_bytes(b"".join(lines))
        following = Following(sample.store, sample.id)
        following.until("done", job="later")
        with second.open("ab") as file:
            file.write(end)
        followed = following.rest()
        assert_in_order(followed)
        assert_is_all(followed, sample.store, sample.id)
        assert sum(key(record) is None for record in followed) == 5 + 7

    def test_a_resume_whose_begin_is_lost_is_given_up_after_a_moment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(follow, "_PATIENCE_S", 0.05)
        sample = open_run(tmp_path / "store", ELSEWHERE)
        sample.path(run_file(2)).write_bytes(b"damaged\n")
        followed = list(sample.store.follow(sample.id, poll_s=QUICK))
        assert_is_all(followed, sample.store, sample.id)

    def test_a_run_of_another_host_is_followed_until_its_end(
        self, made: HandMade, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(follow, "_PATIENCE_S", 0.01)
        following = Following(made.store, made.id)
        for _ in range(3):
            time.sleep(0.1)
            following.until(made.mark())
        made.append("end", {"status": "succeeded"})
        assert following.rest()[-1]["event"] == "end"


class TestCost:
    def test_one_that_is_given_up_leaves_no_descriptor(self, tmp_path: Path) -> None:
        sample = open_run(tmp_path / "store", ELSEWHERE)
        sample.path(THIRD).write_bytes(sample.content[THIRD] * 4_000)  # it takes several reads
        before = open_descriptors()
        for taken in range(len(sample.written)):
            records = sample.store.follow(sample.id)
            for _ in range(taken):
                next(records)
                assert open_descriptors() == before
            assert isinstance(records, Generator)
            records.close()
            assert open_descriptors() == before

    def test_the_less_comes_the_less_it_looks(
        self, made: HandMade, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waits = between_looks(
            monkeypatch,
            {3: made.mark, 12: made.mark, 16: lambda: made.append("end", {"status": "succeeded"})},
        )
        list(made.store.follow(made.id))
        grows = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.5, 0.5, 0.5]
        assert waits == [*grows[:3], *grows, *grows[:4]]

    def test_an_idle_second_costs_little_and_nothing_for_attempts_that_are_done(
        self, made: HandMade, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(50):
            lines = made.lines(f"job{number}")
            made.write(made.start(f"job{number}"), b"".join(lines))
            if number >= 3:
                last = last_position(lines[-1])
                made.append("done", done(f"job{number}", 1, "succeeded", last))
        following = Following(made.store, made.id)
        mark = made.mark()
        following.until(mark)
        calls: list[str] = []
        with monkeypatch.context() as patch:
            for name in ("names", "is_folder", "size_bytes", "open_read", "read_part", "exists"):
                patch.setattr(files, name, noting(calls, getattr(files, name)))
            time.sleep(1)
        remove(made.folder)
        following.rest()
        looked_at = Counter(path.removeprefix(f"{made.folder}").lstrip("/") for path in calls)
        assert set(looked_at) == {"", RUN_FILE, *(attempt_file(f"job{n}", 1) for n in range(3))}
        # At most every 10 ms, since it follows with QUICK here, a look for each.
        assert max(looked_at[name] for name in looked_at if name) <= 110


def between_looks(
    monkeypatch: pytest.MonkeyPatch, actions: Mapping[int, Callable[[], object]]
) -> list[float]:
    """Do something in place of the first, second, ... wait; gives all waits, in seconds."""
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        actions.get(len(waits), lambda: None)()

    clock = SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
    monkeypatch.setattr(follow, "time", clock)
    return waits


def noting(calls: list[str], function: Callable[..., Any]) -> Callable[..., Any]:
    def noted(path: str, *arguments: Any) -> Any:
        calls.append(path)
        return function(path, *arguments)

    return noted
