"""However bytes come in pieces, they are split into the same lines."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from runstore.lines.splitter import Splitter, Text


def texts(pieces: Iterable[bytes], keep_bytes: int = 8, **start: int) -> list[Text]:
    splitter = Splitter(keep_bytes, **start)
    found = [text for piece in pieces for text in splitter.feed(piece)]
    rest = splitter.rest()
    return [*found, rest] if rest else found


def in_pieces(data: bytes, chance: random.Random) -> list[bytes]:
    cuts = sorted(chance.choices(range(len(data) + 1), k=chance.randrange(6)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def test_lines_have_number_offset_and_size() -> None:
    assert texts([b"ab\n\nc"]) == [
        Text(1, 0, b"ab", 3),
        Text(2, 3, b"", 1),
        Text(3, 4, b"c", 1, is_tail=True),
    ]


def test_they_are_counted_from_where_it_starts() -> None:
    assert texts([b"a\nb\n"], number=7, offset=100) == [
        Text(7, 100, b"a", 2),
        Text(8, 102, b"b", 2),
    ]


@pytest.mark.parametrize("data", [b"", b"\n", b"a", b"a\n"])
def test_there_is_a_tail_only_after_the_last_line_feed(data: bytes) -> None:
    assert [text.is_tail for text in texts([data])] == [not data.endswith(b"\n")] * bool(data)


def test_of_a_long_line_only_the_beginning_is_kept_and_all_of_it_counted() -> None:
    line = b"0123456789" * 5
    for pieces in ([line + b"\nx\n"], [line[:4], line[4:30], line[30:] + b"\nx\n"]):
        long, short = texts(pieces)
        assert (long.raw, long.size, short) == (line[:8], 51, Text(2, 51, b"x", 2))
    assert texts([line[:10], line[10:] + b"\n"])[0].is_overlong


def test_nul_bytes_make_a_tail_no_longer_and_others_do() -> None:
    for pieces, is_overlong in (
        ([b"abc" + bytes(50)], False),
        ([b"abc" + bytes(9), bytes(50)], False),
        ([b"abc" + bytes(50), b"x"], True),
        ([b"x" * 9, bytes(50)], True),
        ([b"x" * 9 + b"\n" + b"abc" + bytes(50)], False),
    ):
        tail = texts(pieces)[-1]
        assert tail.is_tail
        assert tail.is_overlong is is_overlong
        assert tail.size == sum(map(len, pieces)) - tail.offset


def test_the_pieces_make_no_difference() -> None:
    chance = random.Random(1)
    for _ in range(2_000):
        data = bytes(chance.choices(b"a\n\0", k=chance.randrange(40)))
        whole = [text._replace(is_overlong=False) for text in texts([data], keep_bytes=99)]
        assert texts(in_pieces(data, chance), keep_bytes=99) == whole
        assert b"".join(t.raw + b"\n" * (not t.is_tail) for t in whole) == data
        kept = [text.raw for text in texts(in_pieces(data, chance))]
        assert kept == [text.raw[:8] for text in whole]
