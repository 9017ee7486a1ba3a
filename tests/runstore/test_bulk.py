"""Many lines judged at once are judged as they would be one by one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstore.lines import scan as scanning
from runstore.lines.bulk import Block, last_in_good_order
from runstore.lines.record import NO_PREVIOUS, Position, encode
from runstore.lines.scan import Line, Scan

EVENTS = ("metric", "log", 'say "no"', "back\\slash", "é", "ending", "losty", "x" * 100)


def written(
    count: int, first: int = 0, seed: int = 0, events: tuple[str, ...] = EVENTS
) -> list[bytes]:
    """Lines of one file, from a number on; before the first stands `NO_PREVIOUS`."""
    chance, previous, lines = random.Random(seed), NO_PREVIOUS, []
    for n in range(first, first + count):
        fields = {"number": n, "text": chance.choice(["", '"}', "end", "é" * 40])}
        line, position = encode(n, previous, chance.choice(events), fields)
        lines.append(line[:-1])
        previous = position.crc
    return lines


def position(line: bytes, n: int) -> Position:
    return Position(n, line[-10:-2].decode())


@pytest.mark.parametrize("first", [1, 20, 100, 12_345])
def test_lines_in_good_order_give_the_checksum_of_the_last(first: int) -> None:
    lines = written(8, first)
    assert last_in_good_order(lines, first, NO_PREVIOUS) == lines[-1][-10:-2].decode()


def test_one_line_is_enough() -> None:
    (line,) = written(1, 5)
    assert last_in_good_order([line], 5, NO_PREVIOUS) is not None


def test_every_flipped_bit_is_noticed() -> None:
    lines = written(4, 20)
    for index, line in enumerate(lines):
        for at in range(len(line)):
            for bit in range(8):
                flipped = bytearray(line)
                flipped[at] ^= 1 << bit
                others = [*lines[:index], bytes(flipped), *lines[index + 1 :]]
                assert last_in_good_order(others, 20, NO_PREVIOUS) is None, (index, at, bit)


@pytest.mark.parametrize(
    ("n", "previous"), [(21, NO_PREVIOUS), (19, NO_PREVIOUS), (200, NO_PREVIOUS), (20, "deadbeef")]
)
def test_what_must_come_first_is_held_against_it(n: int, previous: str) -> None:
    assert last_in_good_order(written(4, 20), n, previous) is None


@pytest.mark.parametrize("event", ["end", "lost"])
@pytest.mark.parametrize("events", [(), ("metric",)])
def test_what_says_more_takes_a_closer_look(event: str, events: tuple[str, ...]) -> None:
    found = {
        last_in_good_order(written(3, 20, n, (event, *events)), 20, NO_PREVIOUS) for n in range(9)
    }
    assert None in found
    assert events or found == {None}


def test_a_line_in_which_the_event_has_no_end_is_none() -> None:
    line, _ = encode(20, NO_PREVIOUS, "metric", {})
    cut = line[:-1].replace(b'"metric"', b'"metric')
    content = cut[: cut.index(b',"crc"')]
    forged = content + b',"crc":"%08x"}' % crc32(content)
    assert last_in_good_order([forged], 20, NO_PREVIOUS) is None


def test_too_long_a_line_is_none() -> None:
    line, _ = encode(20, NO_PREVIOUS, "metric", {"text": "x" * 1_048_400})
    assert last_in_good_order([line[:-1]], 20, NO_PREVIOUS) is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runstore.lines.bulk.MAX_LINE_BYTES", len(line) - 1)
        assert last_in_good_order([line[:-1]], 20, NO_PREVIOUS) is None


def expanded(scan: Scan) -> Iterator[Line]:
    for judged in scan.blocks():
        if isinstance(judged, Line):
            yield judged._replace(frame=None)
            continue
        assert isinstance(judged, Block)
        assert [line.split(b",")[0] for line in judged.lines] == [
            b'{"n":%d' % (judged.n + index) for index in range(len(judged.lines))
        ]
        for index, (raw, offset) in enumerate(zip(judged.lines, judged.offsets(), strict=False)):
            yield Line(judged.number + index, offset, raw, None, True)


def state(scan: Scan) -> tuple[object, ...]:
    return scan.last, scan.ended, scan.incomplete, scan.size_bytes, scan.records, scan.missing()


def damaged(lines: list[bytes], chance: random.Random) -> bytes:
    """What may become of a file: flips, lines lost, doubled, swapped, foreign, joined, cut."""
    lines = list(lines)
    for _ in range(chance.randrange(4)):
        at, kind = chance.randrange(len(lines)), chance.randrange(8)
        if kind == 0:
            flipped = bytearray(lines[at] or b"x")
            flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
            lines[at] = bytes(flipped)
        elif kind == 1 and len(lines) > 1:
            del lines[at]
        elif kind == 2:
            lines.insert(chance.randrange(len(lines) + 1), lines[at])
        elif kind == 3:
            other = chance.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 4:
            lines.insert(at, chance.choice(written(40, seed=99)))
        elif kind == 5:
            lines[at : at + 2] = [b"".join(lines[at : at + 2])]
        elif kind == 6:
            lines.insert(at, chance.choice([b"", b"{}", b"\0" * 30, b"x" * 1_100_000]))
        else:
            n, before = at, lines[at - 1][-10:-2] if at else NO_PREVIOUS.encode()
            event, fields = chance.choice(
                [("end", {}), ("lost", {"first": n, "last": n, "was": None})]
            )
            lines.insert(at, encode(n, before.decode(errors="replace"), event, fields)[0][:-1])
    data = b"".join(line + b"\n" for line in lines)
    return data[: len(data) - chance.choice([0, 0, 1, 20, 300])]


@pytest.mark.parametrize(("few", "many"), [(1, 4), (2, 7), (16, 512)])
@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 60), is_vouched=st.booleans())
def test_blocks_and_lines_are_judged_alike(
    tmp_path_factory: pytest.TempPathFactory,
    few: int,
    many: int,
    seed: int,
    count: int,
    is_vouched: bool,
) -> None:
    chance = random.Random(seed)
    lines = written(count, seed=seed % 7)
    witness = position(lines[-1], count - 1) if is_vouched else None
    path = tmp_path_factory.getbasetemp() / "file.jsonl"
    path.write_bytes(damaged(lines, chance))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning, "FEW", few)
        patch.setattr(scanning, "MANY", many)
        patch.setattr("runstore.lines.part._CHUNK_BYTES", chance.choice([1_000, 1 << 18]))
        by_line, by_block = Scan(str(path), witness), Scan(str(path), witness)
        assert list(expanded(by_block)) == [line._replace(frame=None) for line in by_line]
        assert state(by_block) == state(by_line)


def test_most_of_a_file_in_good_order_comes_in_blocks(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in written(5_000)))
    judged = list(Scan(str(path)).blocks())
    assert sum(len(block.lines) for block in judged if isinstance(block, Block)) > 3_000
    assert len(judged) < 2_000
