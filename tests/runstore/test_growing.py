"""A file that grows gives the same lines as one that is read when it has its last length."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from runstore.lines.part import Part
from runstore.lines.record import Position
from runstore.lines.scan import Line, Scan
from runstore.reading.growing import GrowingScan
from tests.leaks import open_descriptors
from tests.runstore.samples import last_position, write_segment


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "f.jsonl"


@pytest.fixture
def data(path: Path) -> bytes:
    """The bytes of a file of nine records."""
    events = [("metric", {"text": "ä" * (k * 37 % 90), "k": k}) for k in range(7)]
    write_segment(path, [("begin", {}), *events, ("end", {"status": "succeeded"})])
    content = path.read_bytes()
    path.unlink()
    return content


def taken(scan: GrowingScan, *, is_final: bool = False) -> list[Line]:
    """All lines that can be had now."""
    scan.look(is_final=is_final)
    return list(iter(scan.next_line, None))


def scanned(path: Path, witness: Position | None = None) -> list[Line]:
    return [line for line in Scan(str(path), witness) if line.code != "truncated"]


def grown(path: Path, pieces: list[bytes], witness: Position | None = None) -> list[Line]:
    """What is given while the file grows piece by piece."""
    scan = GrowingScan(Part(str(path)), witness)
    path.write_bytes(b"")
    lines = []
    for piece in pieces:
        with path.open("ab") as file:
            file.write(piece)
        lines += taken(scan)
    return lines + taken(scan, is_final=True)


def test_what_is_whole_is_given_once_and_the_rest_when_it_is_there(path: Path, data: bytes) -> None:
    scan = GrowingScan(Part(str(path)))
    assert taken(scan) == []  # it is not even there
    given = 0
    for size in range(len(data)):
        path.write_bytes(data[: size + 1])
        lines = taken(scan)
        given += len(lines)
        assert given == data[: size + 1].count(b"\n")
        assert all(line.counts and line.code is None for line in lines)
    assert scan.ended
    assert taken(scan, is_final=True) == []


@pytest.mark.parametrize("is_vouched_for", [False, True])
def test_damage_is_judged_as_in_a_file_that_is_whole(
    path: Path, data: bytes, is_vouched_for: bool
) -> None:
    witness = last_position(data) if is_vouched_for else None
    chance = random.Random(2)
    for _ in range(600):
        content = bytearray(data)
        lines = data.splitlines(keepends=True)
        match chance.randrange(4):
            case 0:
                content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            case 1:
                del content[chance.randrange(len(content)) :]
            case 2:
                lines.insert(chance.randrange(9), lines.pop(chance.randrange(9)))
                content = bytearray(b"".join(lines))
            case 3:
                del lines[chance.randrange(9)]
                content = bytearray(b"".join(lines))
        cuts = sorted(chance.choices(range(len(content) + 1), k=4))
        pieces = [bytes(content[a:b]) for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
        lines_grown = grown(path, pieces, witness)
        assert lines_grown == scanned(path, witness)


def test_the_last_look_gives_a_torn_write_and_a_whole_record_without_its_line_feed(
    path: Path, data: bytes
) -> None:
    assert grown(path, [data[:-1]])[-1].code == "no-newline"
    assert grown(path, [data[:-2]])[-1].code == "torn-tail"


def test_a_part_of_a_larger_file_is_read_like_a_file_of_its_own(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    own = scanned(path)
    path.write_bytes(b"before\n" + data + b"after\n")
    scan = GrowingScan(Part(str(path), 7, len(data), 1))
    lines = taken(scan, is_final=True)
    assert [(line.raw, line.counts, line.code) for line in lines] == [
        (line.raw, line.counts, line.code) for line in own
    ]
    assert [(line.number, line.offset) for line in lines] == [
        (line.number + 1, line.offset + 7) for line in own
    ]


@pytest.mark.parametrize("read_before", [0, 1, 200, None])
def test_what_was_moved_meanwhile_is_found_again(
    tmp_path: Path, path: Path, data: bytes, read_before: int | None
) -> None:
    path.write_bytes(data)
    own = [line.raw for line in scanned(path)]
    path.write_bytes(data[:read_before])
    other = tmp_path / "sealed"
    other.write_bytes(b"before\n" + data)
    moved = Part(str(other), 7, len(data), 1)
    scan = GrowingScan(Part(str(path), moved=lambda: moved))
    lines = taken(scan)
    path.unlink()
    lines += taken(scan, is_final=True)
    assert [line.raw for line in lines] == own


def test_so_is_what_is_moved_between_a_look_and_the_reading(
    tmp_path: Path, path: Path, data: bytes
) -> None:
    path.write_bytes(data)
    own = [line.raw for line in scanned(path)]
    moved = Part(str(tmp_path / "sealed"), 0, len(data))
    scan = GrowingScan(Part(str(path), moved=lambda: moved))
    scan.look(is_final=True)
    path.rename(tmp_path / "sealed")
    assert [line.raw for line in iter(scan.next_line, None)] == own


def test_a_file_that_is_gone_gives_no_more_and_no_error(path: Path, data: bytes) -> None:
    path.write_bytes(data[:300])
    scan = GrowingScan(Part(str(path)))
    assert taken(scan)
    path.unlink()
    assert taken(scan) == []
    assert [line.code for line in taken(scan, is_final=True)] in ([], ["torn-tail"])


@pytest.mark.parametrize("put", [os.mkdir, os.mkfifo, lambda path: os.symlink("/etc/passwd", path)])
def test_what_is_no_file_has_no_lines(path: Path, put: object) -> None:
    put(path)  # type: ignore[operator]
    scan = GrowingScan(Part(str(path)))
    assert taken(scan) == taken(scan, is_final=True) == []


def test_a_long_file_is_read_in_pieces_and_stays_closed(path: Path) -> None:
    write_segment(path, [("metric", {"text": "x" * 50_000, "k": k}) for k in range(40)])
    before = open_descriptors()
    scan = GrowingScan(Part(str(path)))
    scan.look(is_final=True)
    for k in range(40):
        line = scan.next_line()
        assert line is not None
        assert line.counts
        assert line.number == k + 1
        assert open_descriptors() == before
    assert scan.next_line() is None
