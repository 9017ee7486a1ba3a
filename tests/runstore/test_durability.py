"""What is on the disk before what is acknowledged, and what a failing operation leaves."""

from __future__ import annotations

import contextlib
import errno
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from runstore import (
    AttemptLog,
    Position,
    Run,
    RunStore,
    RunStoreError,
    SegmentPoisonedError,
    files,
)

Step = tuple[str, str]


class Disk:
    """Stands before `runstore.files`: notes each operation, and lets one of them fail.

    Attributes:
        steps: What was done, as its kind and the path below the store, with `RUN` for a run's id.
        fails_at: Which operation fails, from 1; 0: none.
        for_ever: Whether the same kind on the same path fails ever after.
        cut: Whether a failing write leaves half of its bytes.
    """

    def __init__(self, patch: pytest.MonkeyPatch, root: Path) -> None:
        self.steps: list[Step] = []
        self.fails_at = 0
        self.for_ever = False
        self.cut = False
        self.failed: Step | None = None
        self._root = str(root)
        self._paths: dict[int, str] = {}
        self._append = files.append
        for kind in ("create", "append", "sync_file", "sync_folder", "make_folder"):
            patch.setattr(files, kind, self._noting(kind, getattr(files, kind)))
        patch.setattr(files, "open_read", self._opening(files.open_read))

    def _noting(self, kind: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def noting(target: Any, *data: Any) -> Any:
            path = self._paths[target] if isinstance(target, int) else self._relative(target)
            self._step((kind, path), target, *data)
            result = operation(target, *data)
            if kind == "create":
                self._paths[result] = path
            return result

        return noting

    def _opening(self, open_read: Callable[[str], int]) -> Callable[[str], int]:
        def opening(path: str) -> int:
            descriptor = open_read(path)
            self._paths[descriptor] = self._relative(path)
            return descriptor

        return opening

    def _step(self, step: Step, target: Any, *data: bytes) -> None:
        self.steps.append(step)
        if len(self.steps) == self.fails_at or (self.for_ever and step == self.failed):
            self.failed = step
            if data and self.cut:
                self._append(target, data[0][: len(data[0]) // 2])
            raise OSError(errno.EIO if step[0].startswith("sync") else errno.ENOSPC, "injected")

    def _relative(self, path: str) -> str:
        parts = path.removeprefix(self._root).lstrip("/").split("/")
        if parts[0] == "runs" and len(parts) > 1:
            parts[1] = "RUN"
        return "/".join(parts)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with pytest.MonkeyPatch.context() as patch:
        yield Disk(patch, tmp_path / "store")


OWN, FIRST = "runs/RUN/run.jsonl", "runs/RUN/jobs/a.a1.jsonl"


def test_begin_and_plan_are_on_the_disk_before_the_first_job(disk: Disk, tmp_path: Path) -> None:
    run = RunStore(tmp_path / "store", "disk").create_run(pipeline="p", jobs=["a"])
    last_write = max(i for i, step in enumerate(disk.steps) if step == ("append", OWN))
    after = disk.steps[last_write + 1 :]
    assert disk.steps.count(("append", OWN)) == 2
    assert ("sync_file", OWN) in after
    assert {("sync_folder", folder) for folder in ("", "runs", "runs/RUN")} <= set(after)
    with run, run.job("a"):
        pass


def test_a_new_store_is_on_the_disk_with_every_folder_above_it(disk: Disk, tmp_path: Path) -> None:
    with RunStore(tmp_path / "store" / "x" / "y", "disk").create_run(pipeline="p"):
        pass
    made = [path for kind, path in disk.steps if kind == "make_folder"]
    assert made[:4] == ["", "x", "x/y", "x/y/runs"]
    for folder in made:
        above = folder.rpartition("/")[0] if folder else str(tmp_path).lstrip("/")
        at = disk.steps.index(("make_folder", folder))
        assert ("sync_folder", above) in disk.steps[at:]
    in_store = [step for step in disk.steps if step[1].rpartition("/")[0] == "x/y"]
    _, temporary = [step for step in in_store if step[0] == "append"][-1]  # of store.json
    at = disk.steps.index(("sync_file", temporary))
    assert disk.steps[at - 1] == ("append", temporary)
    assert disk.steps[at + 1] == ("sync_folder", "x/y")


def test_a_store_made_without_syncs_is_on_the_disk_before_the_first_job(
    disk: Disk, tmp_path: Path
) -> None:
    with RunStore(tmp_path / "store", "os").create_run(pipeline="p"):
        disk.steps.clear()
    run = RunStore(tmp_path / "store", "disk").create_run(pipeline="p", jobs=["a"])
    for folder in (tmp_path / "store", tmp_path, *tmp_path.parents):
        name = str(folder).removeprefix(str(tmp_path / "store")).lstrip("/")
        assert ("sync_folder", name) in disk.steps
        if folder.is_mount():
            break
    assert ("sync_file", "store.json") in disk.steps
    with run, run.job("a"):
        pass


def test_an_attempt_is_on_the_disk_before_the_run_says_that_it_is_done(
    disk: Disk, tmp_path: Path
) -> None:
    with RunStore(tmp_path / "store", "disk").create_run(pipeline="p", jobs=["a"]) as run:
        disk.steps.clear()
        with run.job("a") as log:
            log.append("metric", rows=1)
        assert disk.steps == [
            ("append", OWN),  # start
            ("create", FIRST),
            ("append", FIRST),
            ("append", FIRST),
            ("append", FIRST),  # end
            ("sync_file", FIRST),
            ("sync_folder", "runs/RUN/jobs"),
            ("append", OWN),  # done
        ]
        disk.steps.clear()
        run.end("succeeded")
        assert disk.steps == [("append", OWN), ("sync_file", OWN)]


def test_attempts_that_ended_together_share_the_sync_of_their_folder(
    disk: Disk, tmp_path: Path
) -> None:
    with RunStore(tmp_path / "store", "disk").create_run(pipeline="p") as run:
        logs = [run.job(name) for name in "abcd"]
        for log in logs:
            log.end("succeeded")
        assert disk.steps.count(("sync_folder", "runs/RUN/jobs")) == 1
        with run.job("e"):
            pass
        assert disk.steps.count(("sync_folder", "runs/RUN/jobs")) == 2


def test_at_os_nothing_is_ever_synced(disk: Disk, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "store", "os")
    with store.create_run(pipeline="p", jobs=["a"]) as run, run.job("a") as log:
        log.append("metric")
    assert not [step for step in disk.steps if step[0].startswith("sync")]


class Acknowledged(NamedTuple):
    """A record that a call gave the position of: in which file, and what kind."""

    path: Path
    event: str
    position: Position


class Caller:
    """Works through a run, whatever fails, and keeps what was acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: list[Acknowledged] = []
        self.failures = 0
        self.run: Run | None = None
        self.logs: dict[str, AttemptLog] = {}

    def work(self, store: RunStore) -> None:
        with self.going_on():
            self.run = store.create_run(pipeline="p", jobs=["a", "b"])
        if self.run is None:
            return
        for job_id in ("a", "b"):
            with self.going_on():
                self.logs[job_id] = self.run.job(job_id)
        for count in range(2):
            for log in self.logs.values():
                self.append(log, count)
        for log in self.logs.values():
            with self.going_on():
                self.note(log, "end", log.end("succeeded"))
        with self.going_on():
            own = Path(self.run.path, "run.jsonl")
            self.acknowledged.append(Acknowledged(own, "end", self.run.end("succeeded")))

    def append(self, log: AttemptLog, count: int) -> None:
        with self.going_on():
            self.note(log, "metric", log.append("metric", count=count))

    def note(self, log: AttemptLog, event: str, position: Position) -> None:
        path = Path(log.log_path).parents[1] / "jobs" / f"{log.job_id}.a1.jsonl"
        self.acknowledged.append(Acknowledged(path, event, position))

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RunStoreError):
            self.failures += 1

    def close(self) -> None:
        for writer in (*self.logs.values(), self.run):
            if writer is not None:
                writer._segment.close()


def steps_of_a_whole_run(tmp_path: Path) -> int:
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, tmp_path / "whole")
        caller = Caller()
        caller.work(RunStore(tmp_path / "whole", "disk"))
        assert caller.failures == 0
        return len(disk.steps)


@pytest.mark.parametrize("for_ever", [False, True])
@pytest.mark.parametrize("cut", [False, True])
def test_whatever_operation_fails_what_was_acknowledged_is_there(
    tmp_path: Path, cut: bool, for_ever: bool
) -> None:
    for number in range(1, steps_of_a_whole_run(tmp_path) + 1):
        path = tmp_path / f"{number}"
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, path)
            disk.fails_at, disk.cut, disk.for_ever = number, cut, for_ever
            caller = Caller()
            caller.work(RunStore(path, "disk"))
            caller.close()
        assert caller.failures > 0, disk.failed
        assert_acknowledged_is_there(caller, disk)
        assert_nothing_is_tried_again(disk)
        with contextlib.suppress(RunStoreError):  # none was made
            report = RunStore(path).verify()
            assert report.ok, (disk.failed, report.errors)


def assert_acknowledged_is_there(caller: Caller, disk: Disk) -> None:
    assert len({*caller.acknowledged}) == len(caller.acknowledged)
    for path, event, position in caller.acknowledged:
        raw = path.read_bytes().split(b"\n")[position.n]
        record = json.loads(raw)
        assert (record["n"], record["crc"], record["event"]) == (*position, event), disk.failed
    if caller.run is None:
        return
    own = Path(caller.run.path, "run.jsonl").read_bytes().split(b"\n")[:-1]
    done = {record["job"] for record in map(json.loads, own) if record["event"] == "done"}
    ended = {a.path.name[0] for a in caller.acknowledged if a.path.name != "run.jsonl"} & {
        a.path.name[0] for a in caller.acknowledged if a.event == "end"
    }
    # The run is told of what is safe, and of nothing else.
    assert done == ended, disk.failed


def assert_nothing_is_tried_again(disk: Disk) -> None:
    """After a failed write or sync of a file no other of the same file comes."""
    assert disk.failed is not None
    kind, path = disk.failed
    if kind in {"append", "sync_file"}:
        again = [step for step in disk.steps[disk.fails_at :] if step[1] == path]
        assert again == [], disk.failed
    if disk.failed == ("sync_folder", "runs/RUN/jobs"):
        assert Counter(disk.steps)[disk.failed] == 1


def let_fail_once(operation: str, error: BaseException) -> None:
    """Let the next call of an operation fail."""
    patch = pytest.MonkeyPatch()

    def fail(*_: object) -> None:
        patch.undo()
        raise error

    patch.setattr(files, operation, fail)


def events(path: str | Path) -> list[str]:
    return [json.loads(line)["event"] for line in Path(path).read_bytes().splitlines()]


@pytest.mark.parametrize("operation", ["append", "sync_file", "sync_folder"])
def test_a_failed_end_is_not_told_and_cannot_be_tried_again(tmp_path: Path, operation: str) -> None:
    run = RunStore(tmp_path / "store", "disk").create_run(pipeline="p", jobs=["a"])
    log = run.job("a")
    let_fail_once(operation, OSError(errno.EIO, "injected"))
    with pytest.raises(OSError, match="injected"):
        log.end("succeeded")
    calls: list[Callable[[], object]] = [
        lambda: log.end("succeeded"),
        lambda: log.append("metric"),
        lambda: log.__exit__(None, None, None),
    ]
    for call in calls:
        with pytest.raises(SegmentPoisonedError, match="injected"):
            call()
    with pytest.raises(RunStoreError, match="have not ended"):
        run.end("failed")
    run.__exit__(None, None, None)
    assert events(f"{run.path}/run.jsonl") == ["begin", "planned", "start"]
    assert RunStore(tmp_path / "store").verify().ok


def test_after_a_failed_sync_of_their_folder_no_other_attempt_is_told(tmp_path: Path) -> None:
    run = RunStore(tmp_path / "store", "disk").create_run(pipeline="p", jobs=["a", "b"])
    logs = [run.job("a"), run.job("b")]
    let_fail_once("sync_folder", OSError(errno.EIO, "injected"))
    for log, reason in zip(logs, ("injected", "an earlier sync"), strict=True):
        with pytest.raises(OSError, match=reason):
            log.end("succeeded")
        with pytest.raises(SegmentPoisonedError), log:
            pass
    run.__exit__(None, None, None)
    assert "done" not in events(f"{run.path}/run.jsonl")


def test_a_run_whose_file_failed_starts_nothing_more(tmp_path: Path) -> None:
    run = RunStore(tmp_path / "store", "os").create_run(pipeline="p", jobs=["a", "b"])
    log = run.job("a")
    let_fail_once("append", OSError(errno.ENOSPC, "injected"))
    with pytest.raises(OSError, match="injected"):
        run.job("b")
    assert log.append("metric").n == 1
    calls: list[Callable[[], object]] = [
        lambda: run.job("b"),
        lambda: run.append("stage_begin"),
        lambda: run.not_run("b", "cancelled", "why"),
        lambda: log.end("succeeded"),  # the attempt is whole, but the run cannot say so
    ]
    for call in calls:
        with pytest.raises(SegmentPoisonedError, match="injected"):
            call()
    run.__exit__(None, None, None)
    assert events(f"{run.path}/jobs/a.a1.jsonl") == ["begin", "metric", "end"]
    assert not Path(run.path, "jobs", "b.a1.jsonl").exists()
    assert RunStore(tmp_path / "store").verify().ok


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "injected"), KeyboardInterrupt("injected")]
)
def test_contexts_are_left_by_the_error_that_poisoned_them(
    tmp_path: Path, error: BaseException
) -> None:
    run = RunStore(tmp_path / "store", "os").create_run(pipeline="p", jobs=["a"])
    log = run.job("a")
    let_fail_once("append", error)
    with pytest.raises(type(error), match="injected"), run, log:
        log.append("metric")
    assert (log.status, run.receipt) == (None, None)
    assert events(f"{run.path}/jobs/a.a1.jsonl") == ["begin"]
    assert RunStore(tmp_path / "store").verify().ok


def test_a_poisoned_context_that_is_left_without_an_error_raises_one(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "store", "os")
    run = store.create_run(pipeline="p", jobs=["a"])
    let_fail_once("append", OSError(errno.ENOSPC, "injected"))
    with pytest.raises(OSError, match="injected"):
        run.append("stage_begin")
    with pytest.raises(SegmentPoisonedError, match="injected"), run:
        pass
    assert store.verify().ok
