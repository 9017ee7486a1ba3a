"""Repair loses exactly the damaged records, keeps what was found, and does nothing twice."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from runstore import RunIsAliveError, RunNotFoundError, RunStore, StoreNotFoundError, layout
from runstore.layout import attempt_file, job_name
from tests.runstore.samples import (
    ATTEMPT_FILES,
    ELSEWHERE,
    FIRST,
    PLAIN,
    RUN_FILE,
    RUN_FILES,
    SECOND,
    SLUGGED,
    THIRD,
    SampleRun,
    attempt_begin,
    codes,
    finished_run,
    frozen,
    open_run,
    resume,
    statuses,
    write_segment,
)
from tests.runstore.steps import contents, flipped, record_lines
from tests.scale import count

of_every_file = pytest.mark.parametrize("name", RUN_FILES)


@pytest.fixture(autouse=True)
def _no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on the disk when is the subject of other tests."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    monkeypatch.setattr("os.fdatasync", lambda _descriptor: None, raising=False)


@pytest.fixture
def finished(tmp_path: Path) -> SampleRun:
    return finished_run(tmp_path / "store")


def check_repair(sample: SampleRun, lost: int | None = None) -> None:
    """Repair a run, and hold the result against what was there and what had been written.

    Args:
        sample: The run, damaged.
        lost: How many of its records are damaged or missing.
    """
    found = contents(sample.folder)
    report = sample.store.repair(sample.id)
    after = sample.verify()
    assert after.errors == [], report
    mended = contents(sample.folder)
    written = {line for name in sample.content for line in sample.lines(name)}
    survivors = {line if line.endswith(b"\n") else line + b"\n" for line in records(sample)}
    assert survivors <= written
    if lost is not None:
        assert len(written) - len(survivors) == lost, report
    for name, data in found.items():
        assert data in (mended.get(name), *evidence(mended, name)), name
    read = [frozen(each) for each in sample.records() if each["event"] != "lost"]
    assert set(read) <= sample.written
    assert len(read) == len(survivors)
    assert sample.store.repair(sample.id).mended == []
    assert contents(sample.folder) == mended


def records(sample: SampleRun) -> set[bytes]:
    return record_lines(sample.folder)


def evidence(found: dict[str, bytes], name: str) -> list[bytes]:
    """What was kept of a file that was found under a name."""
    return [
        data for kept, data in found.items() if kept.startswith(name) and kept.endswith(".damaged")
    ]


# Faults of one file


@of_every_file
def test_a_flipped_bit_in_any_byte_costs_the_lines_that_it_is_in(
    finished: SampleRun, name: str
) -> None:
    data = finished.content[name]
    for offset in range(len(data)):
        if offset % count(1, 11) and data[offset] != 10:
            continue
        finished.restore()
        finished.path(name).write_bytes(flipped(data, offset, offset * 3 % 8))
        joins_two = data[offset] == 10 and offset != len(data) - 1
        check_repair(finished, 2 if joins_two else 1)


@of_every_file
@pytest.mark.parametrize("fault", ["removed", "doubled", "swapped", "zeroed"])
def test_a_fault_in_any_line_costs_no_other(finished: SampleRun, name: str, fault: str) -> None:
    lines = finished.lines(name)
    for at, line in enumerate(lines):
        before, after = lines[:at], lines[at + 1 :]
        if fault == "removed" and name == RUN_FILE and not after:
            continue  # nobody vouches for the last record of the run's own file
        changed = {
            "removed": after,
            "doubled": [line, line, *after],
            "swapped": [*after[:1], line, *after[1:]],
            "zeroed": [bytes(len(line) - 1) + b"\n", *after],
        }[fault]
        finished.restore()
        finished.path(name).write_bytes(b"".join(before + changed))
        check_repair(finished, fault in ("removed", "zeroed"))


@of_every_file
def test_lines_in_any_order_are_all_found_again(finished: SampleRun, name: str) -> None:
    lines = finished.lines(name)
    for order in itertools.islice(itertools.permutations(range(len(lines))), 0, 5000, 97):
        finished.restore()
        finished.path(name).write_bytes(b"".join(lines[at] for at in order))
        if codes(finished.verify().errors):
            check_repair(finished, 0)


@pytest.mark.parametrize("name", ATTEMPT_FILES)
def test_a_file_that_was_cut_loses_what_was_cut_off(finished: SampleRun, name: str) -> None:
    data = finished.content[name]
    ends = {at + shift for at, byte in enumerate(data) if byte == 10 for shift in (-1, 0, 1)}
    for cut in sorted({*ends, *range(0, len(data), 7)} - {len(data)}):
        finished.restore()
        finished.path(name).write_bytes(data[:cut])
        # A record counts without its line feed.
        whole = (data[:cut] + b"\n").count(b"}\n")
        check_repair(finished, len(finished.lines(name)) - whole)


@of_every_file
def test_a_line_of_another_file_costs_nothing(finished: SampleRun, name: str) -> None:
    for other in RUN_FILES:
        for line in finished.lines(other)[1:] if other != name else []:
            for at in range(1, len(finished.lines(name))):
                finished.restore()
                lines = finished.lines(name)
                finished.path(name).write_bytes(b"".join([*lines[:at], line, *lines[at:]]))
                check_repair(finished, 0)


# Files that are missing, or are others


def test_attempts_under_each_others_names_are_put_right(finished: SampleRun) -> None:
    for one, other in itertools.combinations(ATTEMPT_FILES, 2):
        finished.restore()
        finished.path(one).write_bytes(finished.content[other])
        finished.path(other).write_bytes(finished.content[one])
        check_repair(finished, 0)
        assert contents(finished.folder).items() >= finished.content.items()


@pytest.mark.parametrize("name", ATTEMPT_FILES)
def test_a_missing_attempt_is_said_to_be_lost(finished: SampleRun, name: str) -> None:
    expected = statuses(finished.store.read(finished.id))
    finished.path(name).unlink()
    check_repair(finished, len(finished.lines(name)))
    assert codes(finished.verify().notes) == ["lost"]
    assert statuses(finished.store.read(finished.id)) == expected


@pytest.mark.parametrize("name", ATTEMPT_FILES)
def test_an_attempt_that_was_renamed_is_put_back(finished: SampleRun, name: str) -> None:
    finished.path(name).rename(finished.path("jobs/renamed.a1.jsonl"))
    check_repair(finished, 0)
    assert finished.path(name).read_bytes() == finished.content[name]


@pytest.mark.parametrize("name", ["jobs/extra.a1.jsonl", "jobs/stray", "stray", "jobs/x.jsonl"])
def test_a_file_that_belongs_to_nothing_is_put_aside(finished: SampleRun, name: str) -> None:
    finished.path(name).write_bytes(finished.content[FIRST])
    check_repair(finished, 0)
    assert finished.path(f"{name}.damaged").read_bytes() == finished.content[FIRST]


def test_an_attempt_of_another_run_is_put_aside(finished: SampleRun, tmp_path: Path) -> None:
    other = finished_run(tmp_path / "other")
    finished.path(FIRST).write_bytes(other.content[FIRST])
    check_repair(finished, len(finished.lines(FIRST)))
    assert finished.path(f"{FIRST}.damaged").read_bytes() == other.content[FIRST]


def test_a_run_whose_own_file_is_gone_keeps_its_attempts(finished: SampleRun) -> None:
    finished.path(RUN_FILE).unlink()
    check_repair(finished, len(finished.lines(RUN_FILE)))
    assert finished.store.read(finished.id).jobs.keys() == {PLAIN, SLUGGED}


def test_the_own_file_of_another_run_is_put_aside(finished: SampleRun, tmp_path: Path) -> None:
    other = finished_run(tmp_path / "other")
    finished.path(RUN_FILE).write_bytes(other.content[RUN_FILE])
    check_repair(finished, len(finished.lines(RUN_FILE)))
    assert finished.path(f"{RUN_FILE}.damaged").read_bytes() == other.content[RUN_FILE]


@pytest.mark.parametrize("what", ["folder", "full folder", "link"])
@of_every_file
def test_something_else_in_the_place_of_a_file_is_put_aside(
    finished: SampleRun, name: str, what: str
) -> None:
    finished.path(name).unlink()
    if what == "link":
        finished.path(name).symlink_to(finished.path("elsewhere"))
    else:
        finished.path(name).mkdir()
    if what == "full folder":
        (finished.path(name) / "mine").write_bytes(b"x")
    finished.store.repair(finished.id)
    assert finished.verify().errors == []
    kept = finished.path(f"{name}.damaged")
    assert kept.is_symlink() if what == "link" else kept.is_dir()
    if what == "full folder":
        assert (kept / "mine").read_bytes() == b"x"
    assert finished.store.repair(finished.id).mended == []


@pytest.mark.parametrize("what", ["gone", "file", "link"])
def test_without_the_folder_of_attempts_they_are_said_to_be_lost(
    finished: SampleRun, what: str
) -> None:
    finished.path("jobs").rename(finished.folder.parent.parent / "away")
    if what == "file":
        finished.path("jobs").write_bytes(b"mine")
    elif what == "link":
        finished.path("jobs").symlink_to(finished.folder.parent.parent / "away")
    found = contents(finished.folder)
    finished.store.repair(finished.id)
    assert finished.verify().errors == []
    assert records(finished) == set(finished.lines(RUN_FILE))
    assert (
        contents(finished.folder).items()
        >= {name.replace("jobs", "jobs.damaged"): data for name, data in found.items()}.items()
    )
    assert finished.store.repair(finished.id).mended == []


def test_one_of_several_own_files_that_is_gone_is_said_to_be_lost(tmp_path: Path) -> None:
    sample = open_run(tmp_path / "store")
    resume(sample)
    sample.path(RUN_FILE).unlink()
    assert codes(sample.verify().errors) == ["missing-file"]
    sample.store.repair(sample.id)
    report = sample.verify()
    assert (report.errors, codes(report.notes)) == ([], ["lost"])
    assert sample.store.read(sample.id).status == "succeeded"


def test_a_file_of_a_newer_version_is_left_alone(finished: SampleRun) -> None:
    begin = {**attempt_begin(finished, PLAIN, 1), "format": 2}
    finished.path(FIRST).unlink()
    write_segment(finished.path(FIRST), [("begin", begin)])
    data = finished.path(FIRST).read_bytes()
    report = finished.store.repair(finished.id)
    assert report.left == {f"runs/{finished.id}/{FIRST}": "is of a newer format"}
    assert finished.path(FIRST).read_bytes() == data
    assert "bad-version" in codes(finished.verify().errors)


# What is told


def test_each_file_is_told_with_what_is_lost_and_where_the_original_is(
    finished: SampleRun,
) -> None:
    lines = finished.lines(FIRST)
    finished.path(FIRST).write_bytes(lines[0] + b"x" + lines[1] + lines[2])
    finished.path(SECOND).unlink()
    finished.path("stray").write_bytes(b"mine")
    report = finished.store.repair(finished.id)
    folder = f"runs/{finished.id}"
    assert [(m.path, m.action, m.kept, m.lost, m.original) for m in report.mended] == [
        (f"{folder}/stray", "set aside", 0, (), f"{folder}/stray.damaged"),
        (f"{folder}/{FIRST}", "rewritten", 2, ((1, 1),), f"{folder}/{FIRST}.damaged"),
        (f"{folder}/{SECOND}", "made", 0, ((0, 2),), None),
    ]
    assert report.lost_records == 4
    assert report.left == {}


def test_what_would_be_done_is_told_and_nothing_is_written(finished: SampleRun) -> None:
    finished.path(FIRST).write_bytes(flipped(finished.content[FIRST], 30))
    finished.path(SECOND).unlink()
    finished.path("stray").write_bytes(b"mine")
    before = contents(finished.folder)
    dry = finished.store.repair(finished.id, dry_run=True)
    assert contents(finished.folder) == before
    done = finished.store.repair(finished.id)
    assert dry == done
    assert [each.action for each in done.mended] == ["set aside", "rewritten", "made"]


def test_the_evidence_of_several_repairs_is_kept(finished: SampleRun) -> None:
    found = []
    for offset in (30, 300, 30):
        finished.path(FIRST).write_bytes(flipped(finished.path(FIRST).read_bytes(), offset))
        found.append(finished.path(FIRST).read_bytes())
        finished.store.repair(finished.id)
    kept = evidence(contents(finished.folder), FIRST)
    assert sorted(kept) == sorted(set(found))


def test_a_whole_run_is_not_touched(finished: SampleRun) -> None:
    assert finished.store.repair(finished.id).mended == []
    assert contents(finished.folder) == finished.content


def test_what_a_killed_process_leaves_is_not_touched(tmp_path: Path) -> None:
    sample = open_run(tmp_path / "store")
    with sample.path(THIRD).open("ab") as file:
        file.write(b'{"n":2,"prev":"')
    before = contents(sample.folder)
    assert sample.verify().ok
    assert sample.store.repair(sample.id).mended == []
    assert contents(sample.folder) == before


def test_a_run_of_another_host_is_refused(tmp_path: Path) -> None:
    sample = open_run(tmp_path / "store", ELSEWHERE)
    sample.path(FIRST).write_bytes(b"x")
    with pytest.raises(RunIsAliveError):
        sample.store.repair(sample.id)
    assert sample.path(FIRST).read_bytes() == b"x"


def test_a_run_that_is_not_there_is_refused(finished: SampleRun) -> None:
    for run_id in ("", "..", layout.new_run_id()):
        with pytest.raises(RunNotFoundError):
            finished.store.repair(run_id)


def test_a_job_whose_id_only_its_own_records_know_keeps_it(finished: SampleRun) -> None:
    finished.path(RUN_FILE).unlink()
    finished.store.repair(finished.id)
    name = attempt_file(job_name(SLUGGED), 1)
    assert finished.path(name).read_bytes() == finished.content[name]
    assert SLUGGED in finished.store.read(finished.id).jobs


# The store's own file


@pytest.fixture
def store_file(finished: SampleRun) -> Path:
    return Path(finished.store.path, "store.json")


def damaged_store_files(whole: bytes) -> Iterator[bytes]:
    for offset in range(len(whole)):
        for bit in range(8):
            yield flipped(whole, offset, bit)
    yield from (b"", b"\0" * len(whole), whole[:-1], whole + whole, b"{", b"\xff\xfe")


def test_the_damaged_file_of_a_store_is_written_anew_and_kept(store_file: Path) -> None:
    whole = store_file.read_bytes()
    kept = store_file.with_name("store.json.damaged")
    for damaged in damaged_store_files(whole):
        store_file.write_bytes(damaged)
        store = RunStore(store_file.parent)
        assert codes(store.verify().errors) == ["damaged"]
        (dry,) = store.repair_store_file(dry_run=True).mended
        assert store_file.read_bytes() == damaged
        (mended,) = store.repair_store_file().mended
        assert (dry.path, mended.path) == ("store.json", "store.json")
        assert (mended.action, mended.original) == ("rewritten", "store.json.damaged")
        assert store_file.read_bytes() == whole
        assert kept.read_bytes() == damaged
        assert store.verify().ok
        assert store.repair_store_file().mended == []
        kept.unlink()


def test_the_file_of_a_store_that_is_gone_is_made(store_file: Path) -> None:
    whole = store_file.read_bytes()
    store = RunStore(store_file.parent)
    store_file.unlink()
    (mended,) = store.repair_store_file().mended
    assert (mended.action, mended.original) == ("made", None)
    assert store_file.read_bytes() == whole


def test_a_folder_without_runs_is_made_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError):
        RunStore(tmp_path / "store").repair_store_file()
    assert not (tmp_path / "store").exists()


@pytest.mark.skipif(shutil.which("chmod") is None or os.geteuid() == 0, reason="root may write")
def test_a_store_that_cannot_be_written_is_an_error_of_the_system(finished: SampleRun) -> None:
    finished.path(FIRST).write_bytes(b"x")
    finished.path("jobs").chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            finished.store.repair(finished.id)
    finally:
        finished.path("jobs").chmod(0o700)
