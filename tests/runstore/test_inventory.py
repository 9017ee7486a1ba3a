"""What files a run has, held against what its own file says, while it goes on and afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runstore import RunStore, files
from runstore.layout import AttemptKey, job_name
from runstore.lines.record import NO_PREVIOUS, Position, encode
from runstore.lines.scan import Scan
from runstore.reading.inventory import Inventory, record_in, take_inventory
from tests.runstore.samples import (
    DEAD,
    FIRST,
    PLAIN,
    RUN_FILE,
    SLUGGED,
    THIRD,
    SampleRun,
    attempt_begin,
    finished_run,
    last_position,
    open_run,
    resume,
    resume_begin,
    statuses,
    write_segment,
)


@pytest.fixture
def finished(tmp_path: Path) -> SampleRun:
    return finished_run(tmp_path / "store")


@pytest.fixture
def unfinished(tmp_path: Path) -> SampleRun:
    return open_run(tmp_path / "store")


def inventory_of(sample: SampleRun) -> Inventory:
    return take_inventory(str(sample.folder), sample.id)


def test_a_finished_run_has_every_file_that_its_own_names(finished: SampleRun) -> None:
    inventory = inventory_of(finished)
    keys = [AttemptKey(PLAIN, 1), AttemptKey(PLAIN, 2), AttemptKey(job_name(SLUGGED), 1)]
    assert inventory.segments == [1]
    assert sorted(inventory.found) == sorted(keys) == sorted(inventory.expected)
    assert inventory.expected[keys[2]].job_id == SLUGGED
    assert all(expected.has_start for expected in inventory.expected.values())
    assert inventory.expected[keys[0]].witness == last_position(finished.content[FIRST])
    assert (inventory.ended, inventory.incomplete, inventory.strays) == (True, False, [])
    assert inventory.last == {1: last_position(finished.content[RUN_FILE])}
    assert inventory.size_bytes == len(finished.content[RUN_FILE])
    assert not inventory.may_be_unannounced


def test_an_open_run_has_attempts_without_a_witness(unfinished: SampleRun) -> None:
    inventory = inventory_of(unfinished)
    assert inventory.expected[AttemptKey(job_name(SLUGGED), 1)].witness is None
    assert inventory.owner == DEAD
    assert inventory.may_be_unannounced
    assert inventory.without_start == []


def test_a_resume_vouches_for_the_file_before_it(unfinished: SampleRun) -> None:
    resume(unfinished)
    inventory = inventory_of(unfinished)
    assert inventory.segments == [1, 2]
    assert inventory.witnesses == {1: last_position(unfinished.content[RUN_FILE])}
    assert (inventory.ended, inventory.incomplete) == (True, False)
    assert inventory.begin is not None
    assert inventory.begin["segment"] == 2


def test_segments_are_read_in_the_order_of_their_numbers(unfinished: SampleRun) -> None:
    resume(unfinished)
    for segment in range(3, 12):
        last = last_position(unfinished.path(f"run.{segment - 1}.jsonl").read_bytes())
        begin = resume_begin(unfinished, segment, last, DEAD)
        write_segment(
            unfinished.path(f"run.{segment}.jsonl"),
            [("begin", begin), ("end", {"status": "interrupted" if segment < 11 else "failed"})],
        )
    inventory = inventory_of(unfinished)
    assert inventory.segments == list(range(1, 12))
    assert len(inventory.witnesses) == 10
    report = unfinished.verify()
    assert (report.ok, report.notes) == (True, [])
    assert unfinished.store.read(unfinished.id).status == "failed"


def test_a_file_of_another_run_says_nothing(finished: SampleRun, tmp_path: Path) -> None:
    other = finished_run(tmp_path / "other")
    finished.write(RUN_FILE, other.content[RUN_FILE])
    inventory = inventory_of(finished)
    assert inventory.foreign == {1: "wrong-file"}
    assert (inventory.expected, inventory.begin, inventory.owner) == ({}, None, None)
    assert (inventory.ended, inventory.incomplete) == (False, True)
    assert len(inventory.without_start) == 3


def test_a_resume_of_another_run_vouches_for_nothing(unfinished: SampleRun, tmp_path: Path) -> None:
    other = open_run(tmp_path / "other")
    resume(other)
    unfinished.write("run.2.jsonl", other.path("run.2.jsonl").read_bytes())
    inventory = inventory_of(unfinished)
    assert inventory.foreign == {2: "wrong-file"}
    assert inventory.witnesses == {}


def test_only_what_no_start_names_is_without_start(finished: SampleRun) -> None:
    lines = finished.lines(RUN_FILE)
    (start,) = [i for i, line in enumerate(lines) if b'"start"' in line and b"\xce\xa3" in line]
    finished.write(RUN_FILE, b"".join(lines[:start] + lines[start + 1 :]))
    inventory = inventory_of(finished)
    assert inventory.without_start == [AttemptKey(job_name(SLUGGED), 1)]
    assert inventory.expected[AttemptKey(job_name(SLUGGED), 1)].witness is not None


def after_the_listing_of(
    folder: Path, patch: pytest.MonkeyPatch, happens: Callable[[], None]
) -> None:
    """Let something happen right after a folder was listed, as another process could."""
    listed = files.names

    def names(path: str) -> list[str]:
        found = listed(path)
        if path == str(folder):
            patch.undo()
            happens()
        return found

    patch.setattr(files, "names", names)


def test_a_run_that_begins_while_it_is_listed_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RunStore(tmp_path / "store", durability="os")
    sample = open_run(tmp_path / "store")
    for name in sample.content:
        sample.path(name).unlink()
    after_the_listing_of(sample.folder, monkeypatch, sample.restore)
    report = store.verify(sample.id)
    assert report.ok, report.errors
    assert report.segments == 3
    for name in sample.content:
        sample.path(name).unlink()
    after_the_listing_of(sample.folder, monkeypatch, sample.restore)
    assert statuses(store.read(sample.id))[PLAIN] == "succeeded"


def test_a_resume_that_begins_while_a_run_is_listed_names_its_attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RunStore(tmp_path / "store", durability="os")
    with store.create_run(pipeline="p", jobs=[PLAIN]) as run:
        with run.job(PLAIN) as log:
            log.end("interrupted")
        run.end("interrupted")
    sample = SampleRun(store, run)
    last = last_position(sample.content[RUN_FILE])

    def go_on() -> None:
        begin = resume_begin(sample, 2, last, DEAD)
        start = {"job": PLAIN, "attempt": 2}
        write_segment(sample.path("run.2.jsonl"), [("begin", begin), ("start", start)])
        write_segment(
            sample.path("jobs/ingest.a2.jsonl"), [("begin", attempt_begin(sample, PLAIN, 2))]
        )

    after_the_listing_of(sample.folder, monkeypatch, go_on)
    report = sample.verify()
    assert report.ok, report.errors
    assert report.segments == 4
    # Each line is reported and counted once, however often the folder was listed.
    assert report.bytes == sum(path.stat().st_size for path in sample.folder.rglob("*.jsonl"))


# What the parser takes is the last of two fields of one name, what the frame has is the first.
DOUBLED = [b'"event":5', b'"event":["end"]', b'"at":7', b'"at":null', b'"n":9', b'"n":"0"']


@pytest.mark.parametrize(
    "field", [*DOUBLED, b'"x":NaN', b'"x":\xff', b'"x":1e', b'"x":' + b"[" * 9999]
)
@pytest.mark.parametrize("name", [RUN_FILE, FIRST, THIRD])
def test_a_line_that_is_no_record_although_its_checksum_holds_is_read_around(
    unfinished: SampleRun, name: str, field: bytes
) -> None:
    last = last_position(unfinished.content[name])
    line, _ = encode(last.n + 1, last.crc, "x", {"k": 0})
    unfinished.write(name, unfinished.content[name] + with_field(line, field))
    assert len(unfinished.records()) == len(unfinished.written)
    unfinished.store.read(unfinished.id)
    assert len(list(unfinished.store.runs())) == 1
    strict = unfinished.store.verify(unfinished.id, strict=True)
    if name != FIRST:
        assert [error.code for error in strict.errors] == ["damaged"]
        assert strict.errors[0].line == len(unfinished.lines(name)) + 1


@pytest.mark.parametrize("field", DOUBLED)
@pytest.mark.parametrize("name", [RUN_FILE, FIRST, THIRD])
def test_a_first_line_that_is_no_record_does_not_crash_a_reader(
    unfinished: SampleRun, name: str, field: bytes
) -> None:
    line, _ = encode(0, NO_PREVIOUS, "begin", {"k": 0})
    unfinished.write(name, with_field(line, field))
    unfinished.store.read(unfinished.id)
    unfinished.assert_reads_only_what_was_written()
    list(unfinished.store.runs())
    assert unfinished.store.verify(unfinished.id, strict=True).errors


def with_field(line: bytes, field: bytes) -> bytes:
    """A line with one of its fields in the place of `"k":0`, and the checksum that fits."""
    from zlib import crc32

    content = line[: line.index(b',"crc":')].replace(b'"k":0', field)
    return b'%b,"crc":"%08x"}\n' % (content, crc32(content))


def test_a_line_that_does_not_count_is_no_record(finished: SampleRun) -> None:
    finished.write(FIRST, finished.content[FIRST].replace(b"metric", b"matric"))
    records = [record_in(line) for line in Scan(str(finished.path(FIRST)))]
    assert [record and record["event"] for record in records] == ["begin", None, "end"]


FOREIGN_FIELDS = [
    {},
    {"job": 5, "attempt": 1},
    {"job": "", "attempt": 1},
    {"job": ["x"], "attempt": ["x"]},
    {"job": "x" * 20_000, "attempt": 1},
    {"job": "new", "attempt": "1"},
    {"job": "new", "attempt": 0},
    {"jobs": [{"id": 3}, "x", None], "job": None},
    {"jobs": {"id": "a"}, "status": {}},
    {"status": "exploded", "pipeline": 7, "host": 1, "pid": "x", "token": []},
]


@pytest.mark.parametrize("fields", FOREIGN_FIELDS)
@pytest.mark.parametrize("event", ["planned", "start", "done", "not_run", "stage_begin", "end"])
def test_records_that_lack_what_their_event_must_have_do_not_crash_a_reader(
    unfinished: SampleRun, event: str, fields: dict[str, object]
) -> None:
    for name in (RUN_FILE, THIRD):
        last = last_position(unfinished.content[name])
        line, _ = encode(last.n + 1, last.crc, event, fields)
        unfinished.write(name, unfinished.content[name] + line)
    view = unfinished.store.read(unfinished.id)
    assert len(list(view.records())) == len(unfinished.written) + 2
    assert view.jobs[PLAIN].status == "succeeded"
    assert len(list(unfinished.store.runs())) == 1
    unfinished.verify()
    for job_id in view.jobs:
        assert view.log_path(job_id) is None


@pytest.mark.parametrize(
    "fields", [{"last_n": 1}, {"last_n": "1", "last_crc": 5}, {"last_n": None}]
)
def test_a_done_without_a_position_vouches_for_nothing(
    unfinished: SampleRun, fields: dict[str, object]
) -> None:
    last = last_position(unfinished.content[RUN_FILE])
    done = {"job": SLUGGED, "attempt": 1, "status": "crashed", **fields}
    line, _ = encode(last.n + 1, last.crc, "done", done)
    unfinished.write(RUN_FILE, unfinished.content[RUN_FILE] + line)
    assert unfinished.verify().ok
    expected = inventory_of(unfinished).expected[AttemptKey(job_name(SLUGGED), 1)]
    assert expected.witness is None


def test_a_witness_is_a_number_and_a_checksum(unfinished: SampleRun) -> None:
    expected = inventory_of(unfinished).expected[AttemptKey(PLAIN, 1)]
    assert isinstance(expected.witness, Position)
    assert expected.witness == last_position(unfinished.content[FIRST])
