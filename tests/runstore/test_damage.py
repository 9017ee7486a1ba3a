"""Every fault of a small kind, at every place of a small run: found, named, and read around."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runstore import RunStore, StoreFormatError
from tests.runstore.samples import (
    ATTEMPT_FILES,
    FIRST,
    RUN_FILE,
    RUN_FILES,
    SECOND,
    THIRD,
    SampleRun,
    codes,
    finished_run,
    found,
    open_run,
    quietly,
)

OPEN_FILES = (RUN_FILE, FIRST, THIRD)


@pytest.fixture
def finished(tmp_path: Path) -> SampleRun:
    return finished_run(tmp_path / "store")


@pytest.fixture
def unfinished(tmp_path: Path) -> SampleRun:
    return open_run(tmp_path / "store")


def line_starts(data: bytes) -> list[int]:
    """For every byte, where its line starts; a line feed belongs to the line that it ends."""
    starts: list[int] = []
    for line in data.splitlines(keepends=True):
        starts += [len(starts)] * len(line)
    return starts


def assert_flips_are_named(sample: SampleRun, name: str, bit: int, offsets: range) -> None:
    data = sample.content[name]
    starts = line_starts(data)
    descriptor = os.open(sample.path(name), os.O_RDWR)
    try:
        for offset in offsets:
            os.pwrite(descriptor, bytes([data[offset] ^ 1 << bit]), offset)
            errors = sample.verify().errors
            places = {(finding.line, finding.offset) for finding in errors}
            line = data.count(b"\n", 0, offset) + 1
            assert (line, starts[offset]) in places, (offset, errors)
            assert found(errors) == {("damaged", name)}, (offset, errors)
            if offset % 16 == bit:
                sample.assert_reads_only_what_was_written()
            os.pwrite(descriptor, data[offset : offset + 1], offset)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("bit", range(8))
@pytest.mark.parametrize("name", RUN_FILES)
def test_every_flipped_bit_of_a_finished_run_is_found_in_its_line(
    finished: SampleRun, name: str, bit: int
) -> None:
    assert_flips_are_named(finished, name, bit, range(len(finished.content[name])))


@pytest.mark.parametrize("bit", range(8))
@pytest.mark.parametrize("name", OPEN_FILES)
def test_no_flipped_bit_at_the_end_of_an_open_run_passes_for_a_torn_tail(
    unfinished: SampleRun, name: str, bit: int
) -> None:
    data = unfinished.content[name]
    before_the_last_line = data.rindex(b"\n", 0, -1)
    assert_flips_are_named(unfinished, name, bit, range(before_the_last_line, len(data)))


@pytest.mark.parametrize("name", OPEN_FILES)
def test_a_flipped_bit_anywhere_in_an_open_run_is_found_in_its_line(
    unfinished: SampleRun, name: str
) -> None:
    for offset in range(len(unfinished.content[name])):
        assert_flips_are_named(unfinished, name, offset * 5 % 8, range(offset, offset + 1))


@pytest.mark.parametrize("name", [RUN_FILE, THIRD])
def test_a_flipped_line_feed_before_a_torn_tail_is_found_in_its_line(
    unfinished: SampleRun, name: str
) -> None:
    data = unfinished.content[name]
    torn = data[data.rindex(b"\n", 0, -1) + 1 :][:40]
    for bit in range(8):
        unfinished.write(name, data[:-1] + bytes([ord("\n") ^ 1 << bit]) + torn)
        (error,) = unfinished.verify().errors
        assert (error.code, error.line) == ("damaged", data.count(b"\n"))


def test_a_flipped_line_feed_costs_the_two_records_that_it_joins(finished: SampleRun) -> None:
    lines = finished.lines(SECOND)
    finished.write(SECOND, b"".join([lines[0], lines[1][:-1], b"\x0b", lines[2]]))
    (error,) = finished.verify().errors
    assert (error.code, error.line) == ("damaged", 2)
    assert len(finished.records()) == len(finished.written) - 2


@pytest.mark.parametrize("name", RUN_FILES)
def test_one_damaged_line_costs_one_record(finished: SampleRun, name: str) -> None:
    lines = finished.lines(name)
    for index, line in enumerate(lines):
        damaged = line.replace(b'"at"', b'"aT"')
        finished.write(name, b"".join([*lines[:index], damaged, *lines[index + 1 :]]))
        assert codes(finished.verify().errors) == ["damaged"]
        assert len(finished.records()) == len(finished.written) - 1
        finished.assert_reads_only_what_was_written()


def test_every_flipped_bit_of_the_stores_own_file_is_found(finished: SampleRun) -> None:
    path = Path(finished.store.path, "store.json")
    data = path.read_bytes()
    for offset, bit in itertools.product(range(len(data)), range(8)):
        path.write_bytes(data[:offset] + bytes([data[offset] ^ 1 << bit]) + data[offset + 1 :])
        report = quietly(StoreFormatError, lambda: RunStore(finished.store.path).verify())
        if report is not None:
            (error,) = report.errors
            assert (error.code, error.path, error.line) == ("damaged", "store.json", 1)


@pytest.mark.parametrize("name", ATTEMPT_FILES)
def test_an_attempts_file_cut_anywhere_is_truncated(finished: SampleRun, name: str) -> None:
    data = finished.content[name]
    # Without only its last line feed it still has every record: see the test after this.
    for size in reversed(range(len(data) - 1)):
        os.truncate(finished.path(name), size)
        (error,) = finished.verify().errors
        assert found([error]) == {("truncated", name)}
        # Where only the line feed of a record is missing, what is missing is the line after it.
        assert error.line == data.count(b"\n", 0, size + 1) + 1
        assert error.offset <= size
        finished.assert_reads_only_what_was_written()


@pytest.mark.parametrize("name", RUN_FILES)
def test_a_last_line_without_its_line_feed_counts(finished: SampleRun, name: str) -> None:
    finished.write(name, finished.content[name][:-1])
    report = finished.verify(finished.receipt)
    assert report.ok
    assert found(report.notes) == {("no-newline", name)}
    assert len(finished.records()) == len(finished.written)


def test_a_runs_own_file_cut_anywhere_is_a_note_and_does_not_match_its_receipt(
    finished: SampleRun,
) -> None:
    data = finished.content[RUN_FILE]
    for size in reversed(range(len(data) - 1)):
        os.truncate(finished.path(RUN_FILE), size)
        report = finished.verify(finished.receipt)
        assert found(report.errors) == {("receipt-mismatch", RUN_FILE)}
        assert ("open", RUN_FILE) in found(report.notes)
        if size % 4 == 0:
            assert finished.verify().ok
            finished.assert_reads_only_what_was_written()


def test_an_open_run_cut_anywhere_loses_no_attempt_that_is_whole(unfinished: SampleRun) -> None:
    data = unfinished.content[RUN_FILE]
    for size in reversed(range(len(data))):
        os.truncate(unfinished.path(RUN_FILE), size)
        assert unfinished.verify().ok
        read = [record for record in unfinished.records() if record.get("event") == "metric"]
        assert len(read) == 2


@pytest.mark.parametrize("zeros", [1, 100, 5000])
@pytest.mark.parametrize("name", [RUN_FILE, THIRD])
def test_zeros_after_a_power_cut_are_a_torn_tail_wherever_they_begin(
    unfinished: SampleRun, name: str, zeros: int
) -> None:
    data = unfinished.content[name]
    last_line = data.rindex(b"\n", 0, -1) + 1
    for size in range(last_line, len(data) - 1):
        unfinished.write(name, data[:size] + bytes(zeros))
        report = unfinished.verify()
        assert report.ok, report.errors
        assert ("torn-tail", name) in found(report.notes)
        unfinished.assert_reads_only_what_was_written()


def faulty_lines(lines: list[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """Every way to lose, double and swap lines; a loss at the end alone cannot be seen."""
    n = len(lines)
    for start, stop in itertools.combinations(range(n), 2):
        yield f"without {start} to {stop - 1}", lines[:start] + lines[stop:]
        swapped = list(lines)
        swapped[start], swapped[stop] = lines[stop], lines[start]
        yield f"{start} and {stop} swapped", swapped
        zeroed = bytes(len(b"".join(lines[start:stop])))
        yield f"{start} to {stop - 1} zeroed", [*lines[:start], zeroed, *lines[stop:]]
    for index, at in itertools.product(range(n), range(n + 1)):
        yield f"{index} again at {at}", [*lines[:at], lines[index], *lines[at:]]


@pytest.mark.parametrize("name", RUN_FILES)
def test_lines_lost_doubled_and_swapped_are_found_in_their_file(
    finished: SampleRun, name: str
) -> None:
    for fault, lines in faulty_lines(finished.lines(name)):
        finished.write(name, b"".join(lines))
        errors = finished.verify().errors
        assert errors, fault
        assert {path for _, path in found(errors)} == {name}, (fault, errors)
        finished.assert_reads_only_what_was_written()


@pytest.mark.parametrize("name", RUN_FILES)
def test_a_lost_line_is_a_gap_where_it_was(finished: SampleRun, name: str) -> None:
    lines = finished.lines(name)
    for index in range(len(lines) - 1):
        finished.write(name, b"".join(lines[:index] + lines[index + 1 :]))
        (error,) = finished.verify().errors
        assert (error.code, error.line) == ("gap", index + 1)
        assert len(finished.records()) == len(finished.written) - 1


@pytest.mark.parametrize("name", RUN_FILES)
def test_a_doubled_line_costs_nothing(finished: SampleRun, name: str) -> None:
    lines = finished.lines(name)
    for index in range(len(lines)):
        finished.write(name, b"".join(lines[: index + 1] + lines[index:]))
        (error,) = finished.verify().errors
        is_last = index == len(lines) - 1
        assert (error.code, error.line) == ("chain" if is_last else "duplicate", index + 2)
        assert len(finished.records()) == len(finished.written)


@pytest.mark.parametrize("name", RUN_FILES)
def test_a_line_of_another_file_is_found_and_costs_nothing_else(
    finished: SampleRun, tmp_path: Path, name: str
) -> None:
    other_run = finished_run(tmp_path / "other")
    own = finished.lines(name)
    foreign = [
        *(line for other in RUN_FILES if other != name for line in finished.lines(other)),
        *other_run.lines(name),
    ]
    for at, line in itertools.product(range(len(own) + 1), foreign):
        for replaced in range(2 if at < len(own) else 1):
            finished.write(name, b"".join([*own[:at], line, *own[at + replaced :]]))
            errors = finished.verify().errors
            assert {path for _, path in found(errors)} == {name}, (at, line, errors)
            finished.assert_reads_only_what_was_written()
            if at > 0:  # else the whole file is taken for that of the stranger
                lost = len(finished.written) - len(finished.records())
                assert lost <= replaced, (at, replaced, line, errors)


@pytest.mark.parametrize("name", ATTEMPT_FILES)
def test_a_missing_file_is_named(finished: SampleRun, name: str) -> None:
    finished.path(name).unlink()
    assert found(finished.verify().errors) == {("missing-file", name)}
    finished.assert_reads_only_what_was_written()


def test_a_missing_file_of_an_open_run_is_named_when_it_was_done(unfinished: SampleRun) -> None:
    unfinished.path(FIRST).unlink()
    assert found(unfinished.verify().errors) == {("missing-file", FIRST)}
    unfinished.restore()
    unfinished.path(THIRD).unlink()
    report = unfinished.verify()
    assert report.ok
    assert ("open", THIRD) in found(report.notes)


def test_a_run_without_its_own_file_is_lost_and_its_attempts_are_read(
    finished: SampleRun,
) -> None:
    finished.path(RUN_FILE).unlink()
    assert found(finished.verify().errors) == {("run-lost", RUN_FILE)}
    view = finished.store.read(finished.id)
    assert [record["event"] for record in view.records()].count("end") == 3
    finished.assert_reads_only_what_was_written()
    assert found(finished.verify(finished.receipt).errors) == {
        ("run-lost", RUN_FILE),
        ("receipt-mismatch", RUN_FILE),
    }


@pytest.mark.parametrize("name", ["jobs/other.a1.jsonl", "jobs/ingest.a9.jsonl", SECOND + "l"])
@pytest.mark.parametrize("source", ATTEMPT_FILES)
def test_a_file_that_no_record_names_is_unexpected(
    finished: SampleRun, source: str, name: str
) -> None:
    finished.write(name, finished.content[source])
    assert found(finished.verify().errors) == {("unexpected-file", name)}
    assert len(finished.records()) == len(finished.written)


@pytest.mark.parametrize(
    "name", ["notes.txt", "run.0.jsonl", "run.1.jsonl", "run.02.jsonl", "jobs/ingest.a1.json"]
)
def test_what_is_no_file_of_a_run_is_unexpected(unfinished: SampleRun, name: str) -> None:
    unfinished.write(name, b"")
    assert found(unfinished.verify().errors) == {("unexpected-file", name)}


@pytest.mark.parametrize("name", ["run.jsonl.damaged", "jobs/ingest.a1.jsonl.4f.tmp"])
def test_what_the_store_itself_leaves_is_expected(finished: SampleRun, name: str) -> None:
    finished.write(name, b"whatever")
    assert finished.verify().ok


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(RUN_FILES, 2)))
def test_swapped_files_are_named(finished: SampleRun, one: str, other: str) -> None:
    finished.write(one, finished.content[other])
    finished.write(other, finished.content[one])
    assert {one, other} <= {path for _, path in found(finished.verify().errors)}
    finished.assert_reads_only_what_was_written()


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(ATTEMPT_FILES, 2)))
def test_swapped_files_of_attempts_are_wrong_and_give_no_record(
    finished: SampleRun, one: str, other: str
) -> None:
    finished.write(one, finished.content[other])
    finished.write(other, finished.content[one])
    assert {("wrong-file", one), ("wrong-file", other)} <= found(finished.verify().errors)
    assert len(finished.records()) == len(finished.written) - 6


def test_a_renamed_file_is_missing_and_unexpected(finished: SampleRun) -> None:
    for name in ATTEMPT_FILES:
        finished.path(name).rename(finished.path("jobs/else.a1.jsonl"))
        assert found(finished.verify().errors) == {
            ("missing-file", name),
            ("unexpected-file", "jobs/else.a1.jsonl"),
        }
        finished.assert_reads_only_what_was_written()
        finished.restore()


def test_a_renamed_or_copied_file_of_an_open_run_is_wrong(unfinished: SampleRun) -> None:
    copied = "jobs/ingest.a2.jsonl"
    unfinished.write(copied, unfinished.content[FIRST])
    assert found(unfinished.verify().errors) == {("wrong-file", copied)}
    assert len(unfinished.records()) == len(unfinished.written)
    unfinished.restore()
    unfinished.path(FIRST).rename(unfinished.path(copied))
    assert found(unfinished.verify().errors) == {("missing-file", FIRST), ("wrong-file", copied)}


def test_a_file_of_another_run_is_wrong(finished: SampleRun, tmp_path: Path) -> None:
    other = finished_run(tmp_path / "other")
    for name in RUN_FILES:
        finished.write(name, other.content[name])
        assert ("wrong-file", name) in found(finished.verify().errors)
        assert {path for _, path in found(finished.verify().errors)} == {name}
        finished.assert_reads_only_what_was_written()
        finished.restore()


def test_a_run_whose_own_file_is_of_another_run_keeps_its_attempts(
    finished: SampleRun, tmp_path: Path
) -> None:
    other = finished_run(tmp_path / "other", pipeline="weekly")
    finished.write(RUN_FILE, other.content[RUN_FILE])
    view = finished.store.read(finished.id)
    assert view.pipeline is None
    assert view.receipt is None
    assert [summary.pipeline for summary in finished.store.runs()] == [None]
    assert len(finished.records()) == 9
    assert ("receipt-mismatch", RUN_FILE) in found(finished.verify(finished.receipt).errors)


def test_a_folder_of_another_run_is_wrong_throughout(finished: SampleRun) -> None:
    moved = "01919191-9191-7191-9191-919191919191"
    finished.folder.rename(finished.folder.with_name(moved))
    errors = finished.store.verify(moved).errors
    assert found(errors) == {("wrong-file", name) for name in RUN_FILES}


def test_what_is_no_regular_file_is_damaged_and_read_around(finished: SampleRun) -> None:
    for name in RUN_FILES:
        finished.path(name).unlink()
        finished.path(name).mkdir()
        assert ("damaged", name) in found(finished.verify().errors)
        finished.assert_reads_only_what_was_written()
        assert len(list(finished.store.runs())) == 1
        finished.path(name).rmdir()
        finished.restore()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with a name")
def test_a_pipe_or_a_link_in_the_place_of_a_file_is_damaged(
    finished: SampleRun, tmp_path: Path
) -> None:
    for name in RUN_FILES:
        moved = tmp_path / "moved"
        finished.path(name).rename(moved)
        os.mkfifo(finished.path(name))
        assert ("damaged", name) in found(finished.verify().errors)
        finished.path(name).unlink()
        finished.path(name).symlink_to(moved)
        assert ("damaged", name) in found(finished.verify().errors)
        assert len(list(finished.store.runs())) == 1
        finished.path(name).unlink()
        finished.restore()


def test_folders_of_a_run_that_are_gone_are_seen(finished: SampleRun) -> None:
    for name in ATTEMPT_FILES:
        finished.path(name).unlink()
    finished.path("jobs").rmdir()
    assert found(finished.verify().errors) == {("missing-file", name) for name in ATTEMPT_FILES}
    finished.path("jobs").write_bytes(b"")
    assert ("unexpected-file", "jobs") in found(finished.verify().errors)
    finished.assert_reads_only_what_was_written()
