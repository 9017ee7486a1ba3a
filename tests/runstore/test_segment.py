"""One writer per file, no second chance after a failure, and no record that was only half taken."""

from __future__ import annotations

import errno
import os
import pickle
import stat
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runstore import files
from runstore.errors import RecordError, SegmentClosedError, SegmentPoisonedError
from runstore.lines.record import NO_PREVIOUS, Position, decode, read_frame
from runstore.lines.scan import Scan
from runstore.writing.segment import SegmentWriter

needs_modes = pytest.mark.skipif(sys.platform == "win32", reason="needs permission bits")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "f.jsonl"


@pytest.fixture
def writer(path: Path) -> Iterator[SegmentWriter]:
    made = SegmentWriter(str(path))
    yield made
    made.close()


class Calls:
    """A function in the place of one of `files`, which fails when it is told to."""

    def __init__(self, real: Callable[..., Any]) -> None:
        self.real = real
        self.count = 0
        self.error: BaseException | None = None
        self.is_after = False

    def __call__(self, *arguments: Any) -> Any:
        self.count += 1
        if self.error is not None and not self.is_after:
            raise self.error
        result = self.real(*arguments)
        if self.error is not None:
            raise self.error
        return result


@pytest.fixture
def appends(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls(files.append)
    monkeypatch.setattr(files, "append", calls)
    return calls


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls(files.sync_file)
    monkeypatch.setattr(files, "sync_file", calls)
    return calls


def findings(path: Path) -> list[str | None]:
    return [line.code for line in Scan(str(path))]


def test_records_follow_each_other(path: Path, writer: SegmentWriter) -> None:
    assert writer.position is None
    positions = [writer.append(event, {"i": event}) for event in ("begin", "e", "end")]
    assert [position.n for position in positions] == [0, 1, 2]
    assert writer.position == positions[-1]
    frames = [read_frame(line) for line in path.read_bytes().splitlines()]
    assert [frame and (frame.n, frame.prev, frame.crc) for frame in frames] == [
        (0, NO_PREVIOUS, positions[0].crc),
        (1, positions[0].crc, positions[1].crc),
        (2, positions[1].crc, positions[2].crc),
    ]


def test_a_record_is_there_for_others_when_append_returns(
    path: Path, writer: SegmentWriter
) -> None:
    for i in range(3):
        writer.append("e", {"i": i})
        assert [decode(line) is not None for line in path.read_bytes().splitlines()] == [True] * (
            i + 1
        )
        assert path.read_bytes().endswith(b"\n")


def test_a_record_is_a_single_write(writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = Calls(os.write)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", writes)
        writer.append("e", {"text": "x" * 1_000_000})
    assert writes.count == 1


def test_a_file_that_is_there_is_never_opened(path: Path) -> None:
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        SegmentWriter(str(path))
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize("make", ["folder", "link", "dangling link"])
def test_whatever_stands_there_is_left_alone(path: Path, tmp_path: Path, make: str) -> None:
    other = tmp_path / "other"
    if make == "folder":
        path.mkdir()
    elif make == "link":
        other.write_bytes(b"precious")
        path.symlink_to(other)
    else:
        path.symlink_to(other)
    with pytest.raises(FileExistsError):
        SegmentWriter(str(path))
    assert not other.exists() or other.read_bytes() == b"precious"


def test_of_many_writers_at_once_one_gets_the_file(path: Path) -> None:
    barrier = threading.Barrier(8)
    made: list[SegmentWriter] = []
    refused: list[OSError] = []

    def make() -> None:
        barrier.wait()
        try:
            made.append(SegmentWriter(str(path)))
        except FileExistsError as error:
            refused.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in made:
        one.close()
    assert (len(made), len(refused)) == (1, 7)


@needs_modes
def test_the_file_is_for_its_owner_alone(path: Path, writer: SegmentWriter) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EFBIG])
def test_a_failed_write_passes_through_and_poisons(
    path: Path, writer: SegmentWriter, appends: Calls, syncs: Calls, code: int
) -> None:
    first = writer.append("begin", {})
    appends.error = OSError(code, os.strerror(code))
    with pytest.raises(OSError, match=os.strerror(code)) as caught:
        writer.append("e", {})
    assert caught.value is appends.error
    assert_takes_no_more(writer, appends, syncs, os.strerror(code))
    assert writer.position == first
    assert findings(path) == [None]


def test_a_short_write_poisons_and_leaves_a_torn_tail(
    path: Path,
    writer: SegmentWriter,
    appends: Calls,
    syncs: Calls,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = writer.append("begin", {})
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: real(fd, data[:30]))
        with pytest.raises(OSError, match=r"only 30 of .* bytes were written"):
            writer.append("e", {})
    assert_takes_no_more(writer, appends, syncs, "only 30 of")
    assert writer.position == first
    assert findings(path) == [None, "torn-tail"]


def test_a_failed_sync_poisons_and_is_never_tried_again(
    path: Path, writer: SegmentWriter, appends: Calls, syncs: Calls
) -> None:
    writer.append("begin", {})
    syncs.error = OSError(errno.EIO, "lost")
    with pytest.raises(OSError, match="lost") as caught:
        writer.sync()
    assert caught.value is syncs.error
    assert_takes_no_more(writer, appends, syncs, "a sync failed: ")
    assert findings(path) == [None]


def assert_takes_no_more(writer: SegmentWriter, appends: Calls, syncs: Calls, why: str) -> None:
    """However often it is asked, it neither writes nor syncs, even where both would work again."""
    appends.error = syncs.error = None
    counts = appends.count, syncs.count
    for call in (lambda: writer.append("e", {}), writer.sync, lambda: writer.append("end", {})):
        for _ in range(2):
            with pytest.raises(SegmentPoisonedError, match=why):
                call()
    writer.close()
    with pytest.raises(SegmentPoisonedError):
        writer.append("e", {})
    assert (appends.count, syncs.count) == counts


@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError, SystemExit, GeneratorExit])
@pytest.mark.parametrize("is_after", [False, True], ids=["before the write", "after the write"])
def test_whatever_interrupts_a_write_poisons(
    path: Path,
    writer: SegmentWriter,
    appends: Calls,
    syncs: Calls,
    kind: type[BaseException],
    is_after: bool,
) -> None:
    writer.append("begin", {})
    appends.error, appends.is_after = kind(), is_after
    with pytest.raises(kind):
        writer.append("e", {})
    assert_takes_no_more(writer, appends, syncs, "interrupted before its outcome was known")
    assert findings(path) == [None] * (2 if is_after else 1)


@pytest.mark.parametrize("is_after", [False, True], ids=["before the sync", "after the sync"])
def test_whatever_interrupts_a_sync_poisons(
    writer: SegmentWriter, appends: Calls, syncs: Calls, is_after: bool
) -> None:
    writer.append("begin", {})
    syncs.error, syncs.is_after = KeyboardInterrupt(), is_after
    with pytest.raises(KeyboardInterrupt):
        writer.sync()
    assert_takes_no_more(writer, appends, syncs, "sync was interrupted")


def test_an_interruption_before_the_write_does_not_poison(
    path: Path, writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("runstore.writing.segment.encode", Calls(lambda *_: 1 / 0))
        with pytest.raises(ZeroDivisionError):
            writer.append("e", {})
    assert writer.append("e", {}).n == 0
    assert findings(path) == [None]


def test_a_refused_record_does_not_poison(path: Path, writer: SegmentWriter) -> None:
    with pytest.raises(RecordError):
        writer.append("e", {"a": float("nan")})
    assert writer.append("e", {}).n == 0
    writer.sync()
    assert findings(path) == [None]


def test_it_can_be_poisoned_from_outside(
    path: Path, writer: SegmentWriter, appends: Calls, syncs: Calls
) -> None:
    writer.append("begin", {})
    writer.poison("its folder could not be synced")
    assert_takes_no_more(writer, appends, syncs, "its folder could not be synced")
    assert findings(path) == [None]


def test_the_error_names_the_file_and_the_reason_and_pickles(writer: SegmentWriter) -> None:
    writer.poison("because")
    with pytest.raises(SegmentPoisonedError) as caught:
        writer.sync()
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert (error.path, error.reason) == (writer.path, "because")
        assert str(error) == f"{writer.path}: takes no more records: because"


def test_a_closed_writer_takes_nothing(
    path: Path, writer: SegmentWriter, appends: Calls, syncs: Calls
) -> None:
    writer.append("begin", {})
    writer.close()
    counts = appends.count, syncs.count
    for call in (lambda: writer.append("e", {}), writer.sync):
        with pytest.raises(SegmentClosedError, match="has ended"):
            call()
    assert (appends.count, syncs.count) == counts
    assert findings(path) == [None]


def test_closing_twice_closes_no_other_descriptor(path: Path, writer: SegmentWriter) -> None:
    writer.close()
    other = os.open(path, os.O_RDONLY)
    try:
        writer.close()
        os.fstat(other)
    finally:
        os.close(other)


def test_a_failed_close_passes_through_and_is_not_tried_again(
    writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(files.close)
    with monkeypatch.context() as patch:
        patch.setattr(files, "close", calls)
        calls.error, calls.is_after = OSError(errno.EIO, "lost at close"), True
        with pytest.raises(OSError, match="lost at close"):
            writer.close()
        writer.close()
        with pytest.raises(SegmentClosedError):
            writer.append("e", {})
    assert calls.count == 1


def test_a_forked_child_may_not_write(path: Path, writer: SegmentWriter) -> None:
    writer.append("begin", {})
    codes = [in_child(lambda: writer.append("e", {})), in_child(writer.sync)]
    assert codes == ["SegmentPoisonedError", "SegmentPoisonedError"]
    assert writer.append("e", {}) == Position(1, str(writer.position).partition(":")[2])
    assert findings(path) == [None, None]


def test_a_forked_child_that_closes_does_not_close_for_its_parent(
    path: Path, writer: SegmentWriter
) -> None:
    writer.append("begin", {})
    assert in_child(writer.close) == "nothing"
    writer.append("end", {})
    writer.sync()
    assert findings(path) == [None, None]


def in_child(call: Callable[[], object]) -> str:
    """The name of what a call raises in a forked child, or `nothing`."""
    if sys.platform == "win32":
        pytest.skip("needs fork")
    reader, sender = os.pipe()
    with warnings.catch_warnings():
        # The tests' own threads take no part in what the child does.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:  # pragma: no cover - its coverage is not collected
        said = b"nothing"
        try:
            call()
        except BaseException as error:
            said = type(error).__name__.encode()
        finally:
            os.write(sender, said)
            os._exit(0)
    os.close(sender)
    os.waitpid(child, 0)
    try:
        return os.read(reader, 100).decode()
    finally:
        os.close(reader)
