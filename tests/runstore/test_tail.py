"""Torn writes are told from damage: every strict beginning of a record, and nothing else."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstore.lines.record import RESERVED_FIELDS, encode
from runstore.lines.tail import is_torn_write

N = 12
PREV = "0123abcd"
HEAD_BYTES = len(b'{"n":12,"prev":"0123abcd","at":"2026-11-24T23:10:47.123456Z","event":"')
# Those of them that are a digit of the time are like any other digit, hence the gap.
AT = range(len(b'{"n":12,"prev":"0123abcd","at":"'), HEAD_BYTES - len(b'","event":"'))

SAMPLES: dict[str, dict[str, Any]] = {
    "bare": {},
    "numbers": {"a": [0, -1, 1.5, -0.25, 1e300, 1.5e-7, 2**64 - 1, -0.0], "b": 10},
    "words": {"a": True, "b": False, "c": None, "d": [True, None, [False]]},
    "texts": {"a": 'q"\\/\b\f\n\r\t', "b": "\x00\x1f\x7f", "c": "aä€😀", "ä€😀\n": ""},
    "containers": {"a": [], "b": {}, "c": [[], {}, [{}], {"d": {"e": []}}], "f": [[[1, 2], 3], 4]},
    "crc inside": {"a": {"crc": "00000000"}, "b": ',"crc":"00000000"}'},
}


def record(fields: dict[str, Any], event: str = "metric") -> bytes:
    """A whole record, without its line feed."""
    return encode(N, PREV, event, fields)[0][:-1]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_strict_beginning_of_a_record_is_torn(name: str) -> None:
    line = record(SAMPLES[name])
    for size in range(len(line)):
        for n, prev in ((N, PREV), (None, None), (N, None), (None, PREV)):
            assert is_torn_write(line[:size], n, prev), line[:size]


@pytest.mark.parametrize("name", SAMPLES)
def test_nul_bytes_may_follow_a_strict_beginning(name: str) -> None:
    line = record(SAMPLES[name])
    for size in range(len(line)):
        for nul in (1, 7, 5000):
            assert is_torn_write(line[:size] + bytes(nul), N, PREV), line[:size]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_whole_record_is_not_torn_whatever_follows(name: str) -> None:
    line = record(SAMPLES[name])
    for more in (b"", b"\0", bytes(5000), b" ", b"\r", b",", b"}", b"{", b"x", b"\0x", line):
        assert not is_torn_write(line + more, N, PREV), more
        assert not is_torn_write(line + more, None, None), more


@pytest.mark.parametrize("name", SAMPLES)
def test_anything_before_or_after_nul_bytes_is_damage(name: str) -> None:
    line = record(SAMPLES[name])
    for size in range(len(line)):
        assert not is_torn_write(line[:size] + b"\0x", N, PREV)
        assert not is_torn_write(b"\0" + line[: size + 1], N, PREV)
        assert not is_torn_write(line[: size + 1] + b"\0" + line[size + 1 :] + b"x", N, PREV)


def test_no_bytes_at_all_and_nul_bytes_alone_are_torn() -> None:
    for size in (0, 1, 4096, 3 << 20):
        assert is_torn_write(bytes(size), N, PREV)
        assert is_torn_write(bytes(size), None, None)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_flipped_bit_in_the_fixed_head_is_damage(name: str) -> None:
    line = record(SAMPLES[name])
    for size in range(1, len(line)):
        for at in set(range(min(size, HEAD_BYTES))) - set(AT):
            for bit in range(8):
                flipped = bytearray(line[:size])
                flipped[at] ^= 1 << bit
                if not bytes(flipped).strip(b"\0"):
                    continue
                assert not is_torn_write(bytes(flipped), N, PREV), (bytes(flipped), at, bit)
        if size > HEAD_BYTES + 8:
            break


def test_a_flipped_bit_in_the_time_is_damage_unless_it_gives_another_digit() -> None:
    line = record({})
    for at in AT:
        for bit in range(8):
            flipped = bytearray(line[:-1])
            flipped[at] ^= 1 << bit
            is_digit = line[at] in b"0123456789" and flipped[at] in b"0123456789"
            assert is_torn_write(bytes(flipped), N, PREV) is is_digit, (at, bit)


def test_another_number_or_checksum_before_it_is_damage() -> None:
    line = record({})[:-5]
    for n in (0, 1, 2, 11, 13, 120, 112):
        assert not is_torn_write(line, n, PREV)
        assert not is_torn_write(line, n, None)
    assert not is_torn_write(line, N, "0123abce")
    assert not is_torn_write(line, None, "1123abcd")


def test_a_beginning_short_of_what_is_wrong_is_torn() -> None:
    assert is_torn_write(b'{"n":1', 12, None)
    assert is_torn_write(b'{"n":12,"prev":"0123abc', N, PREV)
    assert not is_torn_write(b'{"n":13', 12, None)
    assert not is_torn_write(b'{"n":12,"prev":"0123abc4', N, PREV)


@pytest.mark.parametrize(
    "tail",
    [
        b'{"n":01',
        b'{"n":00',
        b'{"n":,',
        b'{"n":-',
        b'{"n":1.',
        b'{"n":1e',
        b'{"n":1234567890123456789',
        b'{"n":"',
        b'{"n": ',
        b'{"n":1,"prev":"0000000g',
        b'{"n":1,"prev":"A',
        b'{"n":1,"prev":"0000000"',
        b'{"n":1,"prev":"000000000',
        b'{"n":1,"a',
    ],
)
def test_numbers_and_checksums_have_their_form_even_where_they_are_not_known(tail: bytes) -> None:
    assert not is_torn_write(tail, None, None)
    assert is_torn_write(tail[:-1], None, None)


BEGUN = b'{"n":12,"prev":"0123abcd","at":"2026-11-24T23:10:47.123456Z","event":'


@pytest.mark.parametrize("event", [b"2", b"2,", b"n", b"null", b"[", b"{", b"-", b" ", b"'", b"}"])
def test_the_event_is_a_text(event: bytes) -> None:
    assert is_torn_write(BEGUN, N, PREV)
    assert not is_torn_write(BEGUN + event, N, PREV)


# fmt: off
NO_JSON = [
    b" ", b"x", b'"', b":", b",,", b", ", b"]", b'},"a":1', b",}", b",1", b",[", b",{", b',"a"b',
    b',"a",', b',"a":,', b',"a"::', b',"a": 1', b',"a" :', b',"a":1 ', b',"a":}', b',"a":]',
    b',"a":01', b',"a":00', b',"a":-a', b',"a":--', b',"a":+', b',"a":.5', b',"a":1.,',
    b',"a":1.e', b',"a":1e,', b',"a":1ee', b',"a":1e+-', b',"a":1.5.', b',"a":1x', b',"a":-,',
    b',"a":0x', b',"a":T', b',"a":tru,', b',"a":truee', b',"a":nulll', b',"a":nil', b',"a":NaN',
    b',"a":Infinity', b',"a":-Infinity', b',"a":fals}', b',"a":true"', b',"a":\'x', b',"a":"\t',
    b',"a":"\x1f', b',"a":"\\x', b',"a":"\\u12g', b',"a":"\\u123"', b',"a":"\\u123,',
    b',"a":"\\\'', b',"a":"x"y', b',"a":"x""', b',"a":"x"1', b',"a\n', b',"\\a', b',"a":[}',
    b',"a":[,', b',"a":[1,]', b',"a":[1,,', b',"a":[1:', b',"a":[1 ', b',"a":[1}', b',"a":["x":',
    b',"a":[]]', b',"a":[[]}', b',"a":[][', b',"a":[]"', b',"a":{]', b',"a":{,', b',"a":{1',
    b',"a":{a', b',"a":{"x"}', b',"a":{"x",', b',"a":{"x":}', b',"a":{"x":1,}', b',"a":{"x":1]',
    b',"a":{"x":1 ', b',"a":{}{', b',"a":{"x":1}}x', b',"a":"\xff', b',"a":"\xc3"',
    b',"a":"\xe2\x82"', b',"a":"\xc0\x80', b',"a":"\xed\xa0\x80', b',"a":"\xf5', b',"a":"\x80',
    b',"a":\xc3\xa4', b"\xc3\xa4", b',"a":1\n', b"//", b',"a":/',
]
NO_RECORD = [
    b"x", b"[", b"\n", b" {", b"{ ", b"{}", b"{,", b"{'", b"null", b"\xef\xbb\xbf{", b"\xff",
    b"a line of text", b"\1", b'{"m', b'{"prev":"', b'{"n":12}', b"{\\",
]
# fmt: on


@pytest.mark.parametrize("rest", NO_JSON)
def test_what_no_json_can_begin_with_is_damage(rest: bytes) -> None:
    assert is_torn_write(BEGUN + b'"metric"', N, PREV)
    assert not is_torn_write(BEGUN + b'"metric"' + rest, N, PREV)


@pytest.mark.parametrize("tail", NO_RECORD)
def test_what_no_record_begins_with_is_damage(tail: bytes) -> None:
    assert not is_torn_write(tail, N, PREV)
    assert not is_torn_write(tail, None, None)


def test_long_tails_are_judged_in_little_memory() -> None:
    for text in ("x" * 1_000_000, "\n" * 500_000, "ä" * 500_000):
        tail = record({"a": text})[:-30]
        tracemalloc.start()
        try:
            assert is_torn_write(tail, N, PREV)
            assert tracemalloc.get_traced_memory()[1] < 16 << 20
        finally:
            tracemalloc.stop()


texts = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
all_fields = st.dictionaries(texts.filter(lambda name: name not in RESERVED_FIELDS), json_values)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(texts.filter(bool), all_fields, st.integers(0, 3))
def test_any_record_cut_anywhere_is_torn(event: str, fields: dict[str, Any], nul: int) -> None:
    line = record(fields, event)
    assert not is_torn_write(line, N, PREV)
    for size in range(len(line)):
        assert is_torn_write(line[:size] + bytes(nul), N, PREV), line[:size]


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(all_fields, st.data())
def test_any_bit_flipped_in_the_head_of_a_cut_record_is_damage(
    fields: dict[str, Any], data: st.DataObject
) -> None:
    line = record(fields)
    at = data.draw(st.sampled_from(sorted(set(range(HEAD_BYTES)) - set(AT))))
    size = data.draw(st.integers(at + 1, len(line) - 1))
    flipped = bytearray(line[:size])
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    if any(flipped):
        assert not is_torn_write(bytes(flipped), N, PREV)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(all_fields, st.data())
def test_a_tail_that_is_called_torn_can_be_completed_to_json(
    fields: dict[str, Any], data: st.DataObject
) -> None:
    """Whatever a mutation leaves: if it passes for torn, some record does begin like that."""
    line = bytearray(record(fields)[: data.draw(st.integers(HEAD_BYTES + 1, 400))])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(HEAD_BYTES, len(line)))
        kind = data.draw(st.sampled_from(["flip", "insert", "delete"]))
        if kind == "insert":
            line.insert(at, data.draw(st.sampled_from(b'{}[],:"\\ 0-1.eEtfnu\x7f\x00\xc3')))
        elif at < len(line):
            line[at : at + 1] = b"" if kind == "delete" else bytes([line[at] ^ 1 << at % 8])
    tail = bytes(line).rstrip(b"\0")
    if is_torn_write(tail, N, PREV):
        assert any(is_json(tail + rest) for rest in completions(tail)), tail


def is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def completions(tail: bytes) -> list[bytes]:
    """The rests that could make JSON of a tail: every way to end its last token, and its brackets.

    Found by trial with another parser, knowing only which brackets stand outside texts.
    """
    open_brackets, in_text, escaped = [], False, False
    for byte in tail:
        if in_text:
            in_text = escaped or byte != ord('"')
            escaped = not escaped and byte == ord("\\")
        elif byte == ord('"'):
            in_text = True
        elif byte in b"[{":
            open_brackets.append(b"]" if byte == ord("[") else b"}")
        elif byte in b"]}" and open_brackets:
            open_brackets.pop()
    brackets = b"".join(reversed(open_brackets))
    characters = [
        b"",
        b"\x80",
        b"\x80\x80",
        b"\x80\x80\x80",
        b"\xa0\x80",
        b"\x90\x80\x80",
        b"\x90\x80",
    ]
    escapes = [b"", b"n", b"u0000", b"0", b"00", b"000", b"0000"]
    if in_text:
        tokens = [one + b'"' for one in (*characters, *escapes)]
    else:
        words = [word[i:] for word in (b"true", b"false", b"null") for i in range(len(word) + 1)]
        tokens = [b"", b"0", b"0,0", b'"a":0', b":0", *words]
    tokens += [token + b":0" for token in tokens]
    return [token + brackets for token in tokens]
