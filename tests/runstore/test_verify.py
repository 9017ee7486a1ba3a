"""What verify says: each code where it belongs, and what it counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runstore import ERROR_CODES, NOTE_CODES, RunNotFoundError, RunStore
from runstore.lines.record import encode
from tests.runstore.samples import (
    DEAD,
    FIRST,
    PLAIN,
    RUN_FILE,
    RUN_FILES,
    SLUGGED,
    THIRD,
    SampleRun,
    attempt_begin,
    codes,
    finished_run,
    found,
    last_position,
    open_run,
    write_segment,
)

CONTRACT_ERRORS = """damaged gap chain duplicate truncated missing-file unexpected-file wrong-file
run-lost bad-version receipt-mismatch"""


@pytest.fixture
def finished(tmp_path: Path) -> SampleRun:
    return finished_run(tmp_path / "store")


@pytest.fixture
def unfinished(tmp_path: Path) -> SampleRun:
    return open_run(tmp_path / "store")


def test_the_codes_are_those_of_the_contract() -> None:
    assert set(CONTRACT_ERRORS.split()) == ERROR_CODES
    assert {"torn-tail", "lost", "no-newline", "open"} == NOTE_CODES


def test_what_is_intact_is_counted(finished: SampleRun) -> None:
    report = finished.store.verify(strict=True)
    assert (report.ok, report.errors, report.notes) == (True, [], [])
    assert (report.runs, report.segments) == (1, 4)
    assert report.records == len(finished.written)
    assert report.bytes == sum(map(len, finished.content.values()))
    assert report.store == finished.store.path


def test_what_is_damaged_is_counted_as_far_as_it_counts(finished: SampleRun) -> None:
    finished.write(FIRST, finished.content[FIRST].replace(b"metric", b"metrix") + b"x")
    report = finished.verify()
    assert report.records == len(finished.written) - 1
    assert report.bytes == sum(map(len, finished.content.values())) + 1


def test_a_report_is_plain_values_for_programs(unfinished: SampleRun) -> None:
    unfinished.path(FIRST).unlink()
    report = unfinished.verify()
    plain = json.loads(json.dumps(report.as_dict()))
    assert plain["ok"] is False
    counts = (plain["runs"], plain["segments"], plain["records"], plain["bytes"])
    assert counts == (report.runs, report.segments, report.records, report.bytes)
    (error,) = plain["errors"]
    assert error["path"] == f"runs/{unfinished.id}/{FIRST}"
    assert set(error) == {"code", "path", "line", "offset", "detail"}
    assert {note["code"] for note in plain["notes"]} == {"open"}


def test_a_finding_can_be_read_by_a_person(finished: SampleRun) -> None:
    lines = finished.lines(FIRST)
    finished.write(FIRST, b"".join([lines[0], lines[2]]))
    (error,) = finished.verify().errors
    where = f"runs/{finished.id}/{FIRST}:2 (byte {len(lines[0])})"
    assert str(error) == f"gap: {where}: record 1 is missing before it"


def test_writing_nothing_verify_leaves_a_store_as_it_is(finished: SampleRun) -> None:
    root = Path(finished.store.path)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    finished.store.verify(strict=True)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


class TestReceipt:
    def test_that_of_the_run_is_accepted(self, finished: SampleRun) -> None:
        assert finished.receipt is not None
        for receipt in (finished.receipt, f" {finished.receipt}\n"):
            assert finished.verify(receipt).ok

    @pytest.mark.parametrize("receipt", ["", "x", "0:00000000", "11", "11:", ":6902c9af"])
    def test_another_is_not(self, finished: SampleRun, receipt: str) -> None:
        (error,) = finished.verify(receipt).errors
        assert (error.code, error.path) == (("receipt-mismatch", f"runs/{finished.id}/{RUN_FILE}"))
        assert f"ends with {finished.receipt}" in error.detail

    def test_that_of_an_earlier_state_is_not(self, finished: SampleRun) -> None:
        lines = finished.lines(RUN_FILE)
        for count in range(1, len(lines)):
            earlier = last_position(b"".join(lines[:count]))
            assert codes(finished.verify(str(earlier)).errors) == ["receipt-mismatch"]

    def test_a_run_that_is_lost_or_empty_has_none(self, unfinished: SampleRun) -> None:
        unfinished.write(RUN_FILE, b"")
        (error,) = unfinished.verify("4:6902c9af").errors
        assert error.code == "receipt-mismatch"
        assert "ends with nothing" in error.detail


class TestVersions:
    def test_a_runs_file_of_a_newer_format_is_not_guessed_at(self, unfinished: SampleRun) -> None:
        begin = {"format": 2, "run": unfinished.id, "segment": 1, "pipeline": "future"}
        start = {"job": "x", "attempt": 1}
        write_again(unfinished, RUN_FILE, [("begin", begin), ("start", start)])
        assert found(unfinished.verify().errors) == {("bad-version", RUN_FILE)}
        view = unfinished.store.read(unfinished.id)
        assert view.pipeline is None
        assert "x" not in view.jobs

    @pytest.mark.parametrize("version", [None, 0, 2, "1", [1]])
    def test_an_attempts_file_of_another_format_is_not_read(
        self, unfinished: SampleRun, version: object
    ) -> None:
        begin = {**attempt_begin(unfinished, SLUGGED, 1), "format": version}
        write_again(unfinished, THIRD, [("begin", begin), ("metric", {"x": 1})])
        assert found(unfinished.verify().errors) == {("bad-version", THIRD)}
        assert len(unfinished.records()) == len(unfinished.written) - 2


WRONG = [{"run": "x"}, {"job": "other"}, {"job": PLAIN}, {"job": 5}, {"attempt": 2}, {"job": ""}]


@pytest.mark.parametrize("wrong", WRONG)
def test_an_attempts_first_record_is_held_against_its_path(
    unfinished: SampleRun, wrong: dict[str, object]
) -> None:
    begin = {**attempt_begin(unfinished, SLUGGED, 1, DEAD), **wrong}
    write_again(unfinished, THIRD, [("begin", begin)])
    (error,) = unfinished.verify().errors
    assert found([error]) == {("wrong-file", THIRD)}
    assert (error.line, error.offset) == (1, 0)


@pytest.mark.parametrize("wrong", [{"run": "x"}, {"segment": 2}, {"segment": None}])
def test_a_runs_first_record_is_held_against_its_path(
    unfinished: SampleRun, wrong: dict[str, object]
) -> None:
    begin = {"format": 1, "run": unfinished.id, "segment": 1, "pipeline": "p", **wrong}
    write_again(unfinished, RUN_FILE, [("begin", begin)])
    assert ("wrong-file", RUN_FILE) in found(unfinished.verify().errors)


@pytest.mark.parametrize("name", [RUN_FILE, THIRD])
def test_a_file_that_does_not_begin_with_begin_is_wrong(unfinished: SampleRun, name: str) -> None:
    write_again(unfinished, name, [("metric", {"x": 1})])
    assert ("wrong-file", name) in found(unfinished.verify().errors)


def test_a_segment_between_two_that_is_gone_is_missing(unfinished: SampleRun) -> None:
    for segment in (2, 4):
        begin = {"format": 1, "run": unfinished.id, "segment": segment, "pipeline": "p"}
        unfinished.path(f"run.{segment}.jsonl").unlink(missing_ok=True)
        write_segment(unfinished.path(f"run.{segment}.jsonl"), [("begin", begin)])
    assert found(unfinished.verify().errors) == {("missing-file", "run.3.jsonl")}


def test_an_open_run_without_an_owner_is_said_to_have_no_end(unfinished: SampleRun) -> None:
    begin = {"format": 1, "run": unfinished.id, "segment": 1, "pipeline": "p"}
    write_again(unfinished, RUN_FILE, [("begin", begin)])
    report = unfinished.verify()
    assert report.ok
    assert [n.detail for n in report.notes if n.path.endswith(RUN_FILE)] == ["the run has no end"]


@pytest.mark.parametrize("name", RUN_FILES)
def test_a_record_after_the_end_is_chain(finished: SampleRun, name: str) -> None:
    last = last_position(finished.content[name])
    line, _ = encode(last.n + 1, last.crc, "metric", {"late": True})
    finished.write(name, finished.content[name] + line)
    (error,) = finished.verify().errors
    assert (error.code, error.line) == ("chain", len(finished.lines(name)) + 1)
    assert len(finished.records()) == len(finished.written)


@pytest.mark.parametrize("tail", [b'{"n":', b"x", b"\0\0", b" "])
@pytest.mark.parametrize("name", RUN_FILES)
def test_whatever_stands_after_the_end_is_no_torn_write(
    finished: SampleRun, name: str, tail: bytes
) -> None:
    finished.write(name, finished.content[name] + tail)
    assert found(finished.verify().errors) == {("damaged", name)}


def test_several_stores_and_runs_do_not_mix(tmp_path: Path) -> None:
    one, other = finished_run(tmp_path / "store"), finished_run(tmp_path / "store")
    one.path(FIRST).unlink()
    store = RunStore(tmp_path / "store")
    assert store.verify(other.id).ok
    assert {error.path.split("/")[1] for error in store.verify().errors} == {one.id}
    assert store.verify().runs == 2


def write_again(sample: SampleRun, name: str, records: list[tuple[str, dict[str, object]]]) -> None:
    """Write a file anew, with these records."""
    sample.path(name).unlink()
    write_segment(sample.path(name), records)


@pytest.mark.parametrize("runs", [1, 9])
def test_several_processes_find_what_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: int
) -> None:
    monkeypatch.setattr("runstore.verifying.workers.ALONE_S", 0)
    samples = [finished_run(tmp_path / "store") for _ in range(runs)]
    for sample in samples[::2]:
        sample.write(FIRST, sample.content[FIRST].replace(b"metric", b"metrix"))
        sample.path(THIRD).unlink()
    store = RunStore(tmp_path / "store")
    begun: list[str] = []
    report = store.verify(strict=True, workers=2, on_run=begun.append)
    assert report == store.verify(strict=True)
    assert len(report.errors) >= 2 * len(samples[::2])
    assert sorted(begun) == sorted(store.run_ids())


def test_several_processes_name_a_run_that_is_not_there(
    finished: SampleRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runstore.verifying.workers.ALONE_S", 0)
    ids = [finished.id] * 9 + ["01a211c5-bb14-738c-aea1-7dc953f81bff"]
    with pytest.raises(RunNotFoundError, match="53f81bff"):
        finished.store.verify(ids, workers=2)


@pytest.mark.parametrize("name", [FIRST, RUN_FILE])
def test_of_a_file_full_of_damage_the_first_lines_are_named_and_the_others_counted(
    finished: SampleRun, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runstore.verifying.run_check.MOST_NAMED", 3)
    lines = finished.lines(name)
    finished.write(name, b"".join(lines) + b"garbage\n" * 20)
    errors = finished.verify().errors
    of_file = [error for error in errors if error.path.endswith(name)]
    first = len(lines) + 1
    assert [(error.code, error.line) for error in of_file] == [
        ("damaged", first + number) for number in range(4)
    ]
    assert of_file[-1].detail == "is not what a writer wrote, nor are 16 more lines after it"
    finished.write(name, b"".join(lines) + b"garbage\n" * 4)
    of_file = [error for error in finished.verify().errors if error.path.endswith(name)]
    assert [error.line for error in of_file] == [first + number for number in range(4)]
    assert of_file[-1].detail == "is not what a writer wrote"
