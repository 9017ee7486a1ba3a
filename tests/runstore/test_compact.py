"""A compacted run reads, verifies and follows as before, and can be checked with ordinary tools."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from runstore import (
    CorruptSegmentError,
    RunDamagedError,
    RunIsAliveError,
    RunNotEndedError,
    RunNotFoundError,
    RunStore,
    RunStoreError,
    files,
)
from runstore.reading.parts import Parts
from tests import scale
from tests.runstore.samples import (
    ELSEWHERE,
    FIRST,
    PLAIN,
    RUN_FILE,
    SLUGGED,
    THIRD,
    SampleRun,
    abandon,
    codes,
    finished_run,
    frozen,
    open_run,
    resume,
)
from tests.runstore.sealing import KINDS, SEALED, SealedRun, is_record, made, read
from tests.runstore.steps import contents, flipped, unseal

of_every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def finished(tmp_path: Path) -> SampleRun:
    return finished_run(tmp_path / "store")


# What it gives


@of_every_kind
def test_a_compacted_run_reads_and_verifies_as_before(tmp_path: Path, kind: str) -> None:
    sample = made(kind, tmp_path / "store")
    before, followed = read(sample.store, sample.id), list(sample.store.follow(sample.id))
    compacted = sample.store.compact(sample.id)
    assert read(sample.store, sample.id) == before
    assert (compacted.parts, compacted.removed) == (len(sample.content), len(sample.content))
    assert compacted.path == f"runs/{sample.id}/{SEALED}"
    assert compacted.size_bytes == (sample.folder / SEALED).stat().st_size
    assert list(sample.store.follow(sample.id)) == followed


@of_every_kind
def test_every_file_stands_in_it_byte_for_byte_under_its_header(tmp_path: Path, kind: str) -> None:
    sample = made(kind, tmp_path / "store")
    sample.store.compact(sample.id)
    sealed = (sample.folder / SEALED).read_bytes()
    own = [line for line in sealed.splitlines() if line.startswith((b'{"part', b'{"i', b'{"s'))]
    assert all(f"{zlib.crc32(line[:-18]):08x}" == json.loads(line)["crc"] for line in own)
    headers, index, last = sorted_out([json.loads(line) for line in own])
    assert [without(each, "part") for each in headers] == [without(each, "index") for each in index]
    assert (last["sealed"], last["parts"]) == (1, len(sample.content))
    assert sealed[last["index"] :].startswith(b'{"index":1,')
    assert headers[0]["path"] == RUN_FILE
    assert {header["path"] for header in headers} == set(sample.content)
    for header in headers:
        data = sealed[header["offset"] :][: header["bytes"]]
        assert data == sample.content[header["path"]]
        assert header["crc32"] == f"{zlib.crc32(data):08x}"
        assert header["lines"] == len(data.split(b"\n")) - data.endswith(b"\n")


def sorted_out(own: list[dict[str, object]]) -> tuple[list, list, dict]:  # type: ignore[type-arg]
    """The headers, the index, and the last line."""
    kinds = [next(iter(each)) for each in own]
    parts = kinds.count("part")
    assert kinds == ["part"] * parts + ["index"] * parts + ["sealed"]
    assert [each[kind] for each, kind in zip(own, kinds, strict=True)][:-1] == [
        *range(1, parts + 1),
        *range(1, parts + 1),
    ]
    return own[:parts], own[parts:-1], own[-1]


def without(fields: dict[str, object], kind: str) -> dict[str, object]:
    return {name: value for name, value in fields.items() if name not in (kind, "crc")}


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
def test_ordinary_tools_find_in_it_what_they_found_before(finished: SampleRun) -> None:
    def lines_of(command: str) -> list[str]:
        done = subprocess.run(
            ["sh", "-c", command], cwd=finished.folder, capture_output=True, check=True
        )
        return sorted(done.stdout.decode().splitlines())

    ended = """grep -h '"event":"end"' {} | jq -c '{{status, error}}'"""
    done = """jq -c 'select(.event == "done") | [.job, .attempt, .status]' {}"""
    before = [lines_of(each.format("run.jsonl jobs/*.jsonl")) for each in (ended, done)]
    finished.store.compact(finished.id)
    assert [lines_of(each.format(SEALED)) for each in (ended, done)] == before
    index = "$(tail -n 1 sealed.jsonl | jq .index)"
    entry = f"""tail -c +$(({index} + 1)) sealed.jsonl | jq 'select(.path == "run.jsonl")'"""
    (place,) = lines_of(f"{entry} | jq -c '[.offset, .bytes]'")
    offset, size = json.loads(place)
    one = lines_of(f"tail -c +{offset + 1} sealed.jsonl | head -c {size}")
    assert one == sorted(finished.content[RUN_FILE].decode().splitlines())


def test_one_file_is_read_without_the_others(finished: SampleRun) -> None:
    finished.store.compact(finished.id)
    data = bytearray(finished.path(SEALED).read_bytes())
    parts = Parts(str(finished.folder), quick=True)
    parts.look()
    part = parts.find(THIRD)
    others = [parts.find(name) for name in finished.content if name != THIRD]
    for other in others:
        data[other.start : other.end] = bytes(other.size_bytes or 0)
    finished.path(SEALED).write_bytes(data)
    parts = Parts(str(finished.folder), quick=True)
    parts.look()
    assert parts.find(THIRD)[:4] == part[:4]
    assert bytes(data[part.start : part.end]) == finished.content[THIRD]


def test_logs_and_what_repairs_have_kept_stay_as_they_are(finished: SampleRun) -> None:
    kept = {"logs/ingest.a1.log": b"x", "jobs/a.a1.jsonl.damaged": b"y", "b.damaged": b"z"}
    for name, data in kept.items():
        finished.path(name).write_bytes(data)
    finished.store.compact(finished.id)
    assert contents(finished.folder).items() >= kept.items()
    assert finished.verify().ok
    assert finished.store.read(finished.id).log_path(PLAIN, 1) is not None


def test_compacting_again_changes_nothing(finished: SampleRun) -> None:
    finished.store.compact(finished.id)
    before = contents(finished.folder)
    assert finished.store.compact(finished.id).removed == 0
    assert contents(finished.folder) == before


def test_what_a_killed_compaction_left_is_ignored_and_removed(finished: SampleRun) -> None:
    half = finished.path("0123456789abcdef.tmp")
    half.write_bytes(b'{"part":1,"path":"run.jsonl"')
    before = read(finished.store, finished.id)
    finished.store.compact(finished.id)
    assert read(finished.store, finished.id) == before
    assert not half.exists()


def test_progress_tells_how_many_bytes_are_done(finished: SampleRun) -> None:
    told: list[tuple[int, int]] = []
    finished.store.compact(finished.id, on_bytes=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert {total for _, total in told} == {2 * sum(map(len, finished.content.values()))}
    assert told[-1][0] == told[-1][1]


def test_a_run_of_nothing_but_its_own_file_is_compacted(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "store", "os")
    with store.create_run("p") as run:
        pass
    before = read(store, run.id)
    store.compact(run.id)
    assert read(store, run.id) == before


# What is refused


def test_a_live_run_is_refused_and_not_touched(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "store", "os")
    with store.create_run("p", ["a"]) as run:
        with run.job("a"):
            pass
        before = contents(Path(run.path))
        with pytest.raises(RunIsAliveError):
            store.compact(run.id)
        assert contents(Path(run.path)) == before


def test_a_live_run_whose_begin_is_damaged_is_still_known_to_be_alive(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "store", "os")
    with store.create_run("p", ["a"]) as run:
        log = run.job("a")
        path = Path(run.path, RUN_FILE)
        path.write_bytes(flipped(path.read_bytes(), 100))
        for change in (store.compact, store.repair):
            with pytest.raises(RunIsAliveError):
                change(run.id)
        abandon(log)


def test_a_run_of_another_host_that_has_no_end_is_refused(tmp_path: Path) -> None:
    sample = open_run(tmp_path / "store", ELSEWHERE)
    with pytest.raises(RunIsAliveError, match="elsewhere"):
        sample.store.compact(sample.id)


def test_a_killed_run_is_refused(tmp_path: Path) -> None:
    sample = open_run(tmp_path / "store")
    with pytest.raises(RunNotEndedError, match=f"run {sample.id} has not ended"):
        sample.store.compact(sample.id)
    assert contents(sample.folder) == sample.content


def test_a_damaged_run_is_refused_with_what_is_wrong(finished: SampleRun) -> None:
    finished.path(FIRST).write_bytes(flipped(finished.content[FIRST], 30))
    before = contents(finished.folder)
    with pytest.raises(RunDamagedError, match=r"repair it first: damaged: .*ingest\.a1\.jsonl:1 "):
        finished.store.compact(finished.id)
    assert contents(finished.folder) == before


@pytest.mark.parametrize("run_id", ["", "../..", "00000000-0000-7000-8000-000000000000"])
def test_a_run_that_is_not_there_is_refused(finished: SampleRun, run_id: str) -> None:
    with pytest.raises(RunNotFoundError):
        finished.store.compact(run_id)


def test_what_was_not_sealed_as_it_is_is_not_removed(
    finished: SampleRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a disk that gives back other bytes than it was given."""
    placed = files.place

    def place(temporary: str, path: str) -> None:
        placed(temporary, path)
        data = Path(path).read_bytes()
        Path(path).write_bytes(flipped(data, data.index(b"rows")))

    monkeypatch.setattr(files, "place", place)
    with pytest.raises(CorruptSegmentError, match=f"{SEALED}.* is not a copy of"):
        finished.store.compact(finished.id)
    assert contents(finished.folder).items() >= finished.content.items()
    assert codes(finished.verify().errors) == ["damaged"]
    finished.store.repair(finished.id)
    assert finished.verify().ok
    assert finished.records() == list(finished.store.read(finished.id).records())


# Files of both kinds


def test_with_the_sealed_file_and_its_parts_all_reads_and_verifies(finished: SampleRun) -> None:
    before = read(finished.store, finished.id)
    finished.store.compact(finished.id)
    sealed = finished.path(SEALED).read_bytes()
    for count in range(len(finished.content) + 1):
        for present in itertools.combinations(finished.content, count):
            for name in present:
                finished.path(name).write_bytes(finished.content[name])
            assert read(finished.store, finished.id) == before
            assert finished.store.compact(finished.id).removed == count
            assert contents(finished.folder) == {SEALED: sealed}


def test_a_file_that_is_not_what_was_sealed_of_it_is_found_and_put_aside(
    finished: SampleRun,
) -> None:
    before = read(finished.store, finished.id)
    finished.store.compact(finished.id)
    lines = finished.lines(RUN_FILE)
    for name, data in (
        (FIRST, flipped(finished.content[FIRST], 40)),
        (RUN_FILE, b"".join(lines[:-1])),
        (THIRD, b""),
    ):
        finished.path(name).write_bytes(data)
        assert f"runs/{finished.id}/{name}" in {error.path for error in finished.verify().errors}
        with pytest.raises(RunStoreError):
            finished.store.compact(finished.id)
        report = finished.store.repair(finished.id)
        assert [(each.action, each.lost) for each in report.mended] == [("set aside", ())]
        assert finished.path(f"{name}.damaged").read_bytes() == data
        assert read(finished.store, finished.id) == before
        finished.path(f"{name}.damaged").unlink()


def test_a_damaged_sealed_file_beside_its_parts_is_found_and_put_aside(
    finished: SampleRun,
) -> None:
    before = read(finished.store, finished.id)
    finished.store.compact(finished.id)
    for name, data in finished.content.items():
        finished.path(name).write_bytes(data)
    damaged = flipped(finished.path(SEALED).read_bytes(), 900)
    finished.path(SEALED).write_bytes(damaged)
    assert [error.path.rpartition("/")[2] for error in finished.verify().errors] == [SEALED]
    finished.store.repair(finished.id)
    assert contents(finished.folder) == {**finished.content, f"{SEALED}.damaged": damaged}
    assert read(finished.store, finished.id) == before


def test_a_run_that_was_resumed_after_it_was_compacted_is_compacted_again(tmp_path: Path) -> None:
    sample = open_run(tmp_path / "store")
    resume(sample)
    before = read(sample.store, sample.id)
    resumed = sample.path("run.2.jsonl").read_bytes()
    sample.store.compact(sample.id)
    unseal(sample.path(SEALED), "run.2.jsonl")
    assert sample.store.read(sample.id).status == "crashed"
    sample.path("run.2.jsonl").write_bytes(resumed)
    assert read(sample.store, sample.id) == before
    assert sample.store.compact(sample.id).path.endswith("/sealed.2.jsonl")
    assert list(contents(sample.folder)) == ["sealed.2.jsonl"]
    assert read(sample.store, sample.id) == before


# While others read


def test_a_reader_at_work_does_not_notice_a_compaction(tmp_path: Path) -> None:
    """Another process compacts the run right before each of the reader's operations."""
    readers: list[Callable[[RunStore, str], object]] = [
        lambda store, run_id: store.verify(run_id),
        lambda store, run_id: store.read(run_id),
        lambda store, run_id: list(store.runs()),
        lambda store, run_id: list(store.read(run_id).records()),
        lambda store, run_id: list(store.follow(run_id)),
    ]
    sample = finished_run(tmp_path / "store")
    for reader in readers:
        expected = reader(sample.store, sample.id)
        for moment in itertools.count(1):
            sample.restore()
            with pytest.MonkeyPatch.context() as patch:
                came = happens_at(patch, moment, lambda: sample.store.compact(sample.id))
                assert reader(sample.store, sample.id) == expected, moment
            if not came:
                break
        assert moment > 3


def happens_at(patch: pytest.MonkeyPatch, moment: int, happens: Callable[[], object]) -> list[int]:
    """Let something happen before the Nth time that a folder is listed or a file is opened."""
    count = 0
    came: list[int] = []

    def wrapped(operation: Callable[[str], object]) -> Callable[[str], object]:
        def call(path: str) -> object:
            nonlocal count
            count += 1
            if count == moment:
                came.append(moment)
                patch.undo()
                happens()
            return operation(path)

        return call

    for name in ("names", "open_read"):
        patch.setattr(files, name, wrapped(getattr(files, name)))
    return came


def test_a_run_that_another_process_compacts_at_the_same_time_is_compacted_once(
    tmp_path: Path,
) -> None:
    sample = finished_run(tmp_path / "store")
    before = read(sample.store, sample.id)
    for moment in itertools.count(1):
        sample.restore()
        with pytest.MonkeyPatch.context() as patch:
            came = happens_at(patch, moment, lambda: sample.store.compact(sample.id))
            sample.store.compact(sample.id)
        assert list(contents(sample.folder)) in ([SEALED], ["sealed.2.jsonl"])
        assert read(sample.store, sample.id) == before
        if not came:
            break


# A sealed file that is gone, or is another one


@pytest.fixture
def sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SealedRun:
    """A compacted run, on a disk that is quick."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    monkeypatch.setattr("os.fdatasync", lambda _descriptor: None, raising=False)
    return SealedRun(tmp_path / "store")


def test_a_sealed_file_that_is_gone_is_found_and_said_to_be_lost(sealed: SealedRun) -> None:
    sealed.path.unlink()
    assert codes(sealed.check_found()) == ["run-lost"]
    sealed.store.repair(sealed.id)
    report = sealed.store.verify(sealed.id)
    assert (report.errors, codes(report.notes)) == ([], ["lost", "open"])
    assert sealed.store.repair(sealed.id).mended == []


def test_the_sealed_file_of_another_run_gives_no_records(sealed: SealedRun, tmp_path: Path) -> None:
    other = SealedRun(tmp_path / "other")
    sealed.damage(other.content)
    assert "wrong-file" in codes(sealed.check_found())
    assert list(sealed.store.read(sealed.id).records()) == []
    sealed.store.repair(sealed.id)
    assert sealed.store.verify(sealed.id).errors == []
    assert contents(sealed.folder)[f"{SEALED}.damaged"] == other.content


def test_a_sealed_file_of_a_newer_version_is_refused_and_left(sealed: SealedRun) -> None:
    content = b'{"sealed":2,"parts":4,"index":0'
    last = b'%b,"crc":"%08x"}\n' % (content, zlib.crc32(content))
    data = b"".join(sealed.lines[:-1]) + last
    sealed.damage(data)
    assert "bad-version" in codes(sealed.check_found())
    assert list(sealed.store.read(sealed.id).records()) == []
    report = sealed.store.repair(sealed.id)
    assert f"runs/{sealed.id}/{SEALED}" in report.left
    assert sealed.path.read_bytes() == data


@pytest.mark.parametrize("what", ["folder", "link", "empty"])
def test_something_else_in_the_place_of_the_sealed_file_is_damage(
    sealed: SealedRun, what: str
) -> None:
    sealed.path.unlink()
    if what == "folder":
        sealed.path.mkdir()
    elif what == "link":
        sealed.path.symlink_to(sealed.folder / "elsewhere")
    else:
        sealed.path.touch()
    sealed.check_found({1})
    assert list(sealed.store.read(sealed.id).records()) == []
    sealed.store.repair(sealed.id)
    assert sealed.store.verify(sealed.id).errors == []


# A damaged sealed file


def test_a_flipped_bit_in_any_byte_is_named_to_its_line_and_costs_that_record(
    sealed: SealedRun,
) -> None:
    number, end = 0, 0
    for offset in range(len(sealed.content)):
        if offset == end:
            number += 1
            end += len(sealed.lines[number - 1])
        is_feed = offset == end - 1
        if offset % scale.count(1, 7) and not is_feed:
            continue
        hit = sealed.lines[number - 1 : number + is_feed]
        sealed.damage(flipped(sealed.content, offset, offset * 5 % 8))
        sealed.check_found({number})
        if offset % 5 == 0 or is_feed:
            sealed.check_read(sum(map(is_record, hit)))
        if offset % 17 == 0 or is_feed:
            sealed.check_repaired(sum(map(is_record, hit)))


def test_the_file_cut_at_any_place_loses_what_is_behind_it(sealed: SealedRun) -> None:
    ends = [*itertools.accumulate(map(len, sealed.lines))]
    cuts = {*ends, *(end - 1 for end in ends), *range(0, len(sealed.content), 41)}
    for cut in sorted(cuts - {len(sealed.content)}):
        sealed.damage(sealed.content[:cut])
        sealed.check_found()
        # A record counts without its line feed.
        whole = [line for line, end in zip(sealed.lines, ends, strict=True) if end - 1 <= cut]
        lost = len(sealed.records) - sum(map(is_record, whole))
        sealed.check_read(lost)
        sealed.check_repaired(lost)


@pytest.mark.parametrize("fault", ["removed", "doubled", "swapped", "zeroed"])
def test_a_fault_in_any_line_is_found_and_costs_no_other(sealed: SealedRun, fault: str) -> None:
    for at, line in enumerate(sealed.lines):
        before, after = sealed.lines[:at], sealed.lines[at + 1 :]
        changed = {
            "removed": [],
            "doubled": [line, line],
            "swapped": [after[0], line] if after else [],
            "zeroed": [bytes(len(line) - 1) + b"\n"],
        }[fault]
        rest = after[1:] if fault == "swapped" else after
        sealed.damage(b"".join([*before, *changed, *rest]))
        sealed.check_found()
        lost = is_record(line) if fault in ("removed", "zeroed") else 0
        # A reader does without both lines that changed places; a repair has them.
        sealed.check_read(2 if fault == "swapped" else lost)
        sealed.check_repaired(lost)


@pytest.mark.parametrize("fault", ["removed", "zeroed"])
def test_a_fault_in_many_lines_costs_no_others(sealed: SealedRun, fault: str) -> None:
    """Headers are hit with what is around them; the index tells the parts apart."""
    for first, count in itertools.product(range(len(sealed.lines)), (2, 3, 5, 9)):
        hit = sealed.lines[first : first + count]
        size = sum(map(len, hit))
        changed = b"" if fault == "removed" else bytes(size - 1) + b"\n"
        rest = b"".join(sealed.lines[first + count :])
        sealed.damage(b"".join(sealed.lines[:first]) + changed + rest)
        sealed.check_found()
        lost = sum(map(is_record, hit))
        sealed.check_read(lost)
        sealed.check_repaired(lost)


@pytest.mark.parametrize("what", ["gone", "file"])
def test_a_sealed_file_is_taken_apart_without_the_folder_of_attempts(
    sealed: SealedRun, what: str
) -> None:
    sealed.damage(flipped(sealed.content, 10))
    (sealed.folder / "jobs").rmdir()
    if what == "file":
        (sealed.folder / "jobs").write_bytes(b"mine")
    assert sealed.store.verify(sealed.id).errors
    sealed.check_read(0)
    sealed.check_repaired(0)


def test_a_run_that_was_taken_apart_can_be_compacted_again(sealed: SealedRun) -> None:
    for offset in (10, 900, len(sealed.content) - 10):
        sealed.damage(flipped(sealed.content, offset))
        dry = sealed.store.repair(sealed.id, dry_run=True)
        assert list(contents(sealed.folder)) == [SEALED]
        report = sealed.store.repair(sealed.id)
        assert dry == report
        assert report.mended[-1].action == "taken apart"
        assert report.mended[-1].original == f"runs/{sealed.id}/{SEALED}.damaged"
        before = read(sealed.store, sealed.id)
        sealed.store.compact(sealed.id)
        assert list(contents(sealed.folder)) == [SEALED, f"{SEALED}.damaged"]
        assert read(sealed.store, sealed.id) == before
        assert before.view.receipt == sealed.receipt


def test_records_of_jobs_with_strange_ids_stay_with_their_job(sealed: SealedRun) -> None:
    """The names of both files are in the index and in the records: neither is taken for another."""
    header = next(i for i, line in enumerate(sealed.lines) if b"gr-" in line)
    sealed.damage(b"".join(sealed.lines[:header] + sealed.lines[header + 1 :]))
    read_back = {frozen(record) for record in sealed.store.read(sealed.id).records()}
    assert read_back == sealed.written
    assert SLUGGED in sealed.store.read(sealed.id).jobs
