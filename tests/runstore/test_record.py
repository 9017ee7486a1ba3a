"""The bytes of one record: what is refused, what is written, and that every flipped bit shows."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import re
import sys
import time
import tracemalloc
import uuid
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstore.errors import RecordError
from runstore.lines.record import (
    MAX_LINE_BYTES,
    NO_PREVIOUS,
    RESERVED_FIELDS,
    Position,
    decode,
    encode,
    read_frame,
    timestamp,
)
from runstore.writing.segment import SegmentWriter

SURROGATES = ("\ud800", "\udfff", "a\udc80b", "\ude00\ud83d")


class Text(str):
    __slots__ = ()


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Word(enum.StrEnum):
    YES = "yes"


class Count(int):
    pass


class Ratio(float):
    pass


class Items(list[int]):
    pass


@dataclasses.dataclass
class Point:
    x: int = 1


def itself_in_a_list() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


def itself_in_a_dict() -> dict[str, Any]:
    item: dict[str, Any] = {}
    item["self"] = [item]
    return item


def nested(levels: int, kind: Callable[[Any], Any]) -> Any:
    """A value of so many levels: 1 is a list, or whatever `kind` makes, that holds none."""
    value = kind(0)
    for _ in range(levels - 1):
        value = kind(value)
    return value


def line_of(size_bytes: int) -> tuple[bytes, Position]:
    """A record whose line has this length, its line feed included."""
    empty, _ = encode(0, NO_PREVIOUS, "e", {"text": ""})
    return encode(0, NO_PREVIOUS, "e", {"text": "x" * (size_bytes - len(empty))})


VALUES = {
    "NaN": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "a subclass of str": Text("x"),
    "a subclass of int": Count(1),
    "a subclass of float": Ratio(1.5),
    "a subclass of list": Items([1]),
    "a subclass of dict": OrderedDict(a=1),
    "an enum": Colour.RED,
    "an enum of ints": Level.HIGH,
    "an enum of texts": Word.YES,
    "a dataclass": Point(),
    "a named tuple": Position(1, "x"),
    "a datetime": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    "a date": datetime.date(2026, 1, 1),
    "a time": datetime.time(1, 2),
    "a time delta": datetime.timedelta(1),
    "a uuid": uuid.UUID(int=1),
    "a decimal": decimal.Decimal("1.5"),
    "a complex number": 1j,
    "bytes": b"x",
    "a bytearray": bytearray(b"x"),
    "a memoryview": memoryview(b"x"),
    "a set": {1},
    "a range": range(3),
    "a path": Path("x"),
    "a class": int,
    "a function": len,
    "an object": object(),
    "an exception": ValueError("x"),
    "a piece of ready JSON": orjson.Fragment(b'{"x":NaN}'),
    "an integer of 2^64": 2**64,
    "an integer below -2^63": -(2**63) - 1,
    "a huge integer": 10**400,
    "a key that is an int": {1: "x"},
    "a key that is None": {None: "x"},
    "a key that is a bool": {True: "x"},
    "a key that is a float": {1.5: "x"},
    "a key that is bytes": {b"x": 1},
    "a key that is a tuple": {("x",): 1},
    "a key that is a subclass of str": {Text("x"): 1},
    "a key that is an enum": {Word.YES: 1},
    "a lone surrogate": "\ud800",
    "a lone surrogate in a key": {"\ud800": 1},
    "251 lists in each other": nested(251, lambda value: [value]),
    "251 tuples in each other": nested(251, lambda value: (value,)),
    "251 dicts in each other": nested(251, lambda value: {"x": value}),
    "100,000 lists in each other": nested(100_000, lambda value: [value]),
    "a list that holds itself": itself_in_a_list(),
    "a dict that holds itself": itself_in_a_dict(),
}
WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "alone": lambda value: value,
    "in a list": lambda value: [0, value],
    "in a tuple": lambda value: (value, 0),
    "in a dict": lambda value: {"a": {"b": value}},
    "far inside": lambda value: [{"a": [({"b": [value]},)]}],
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", VALUES)
def test_what_is_no_json_value_is_refused_wherever_it_stands(name: str, wrapper: str) -> None:
    with pytest.raises(RecordError):
        encode(0, NO_PREVIOUS, "e", {"fine": 1, "value": WRAPPERS[wrapper](VALUES[name])})


@pytest.mark.parametrize("name", ["n", "prev", "at", "event", "crc"])
def test_the_names_of_the_frame_are_refused(name: str) -> None:
    with pytest.raises(RecordError, match=f"reserved field names: {name}"):
        encode(0, NO_PREVIOUS, "e", {"fine": 1, name: 1})


def test_the_names_of_the_frame_are_refused_as_subclasses_of_str_too() -> None:
    with pytest.raises(RecordError):
        encode(0, NO_PREVIOUS, "e", {Text("crc"): 1})


def test_all_reserved_names_are_those_of_the_contract() -> None:
    assert {"n", "prev", "at", "event", "crc", "job", "attempt"} == RESERVED_FIELDS


def test_reserved_names_are_free_inside_values() -> None:
    line, _ = encode(0, NO_PREVIOUS, "e", {"value": {"n": 1, "crc": "x"}, "ncrc": 2})
    assert decode(line) is not None
    assert read_frame(line[:-1]) is not None


@pytest.mark.parametrize("event", ["", None, 1, b"end", Text("end"), Word.YES, ["end"], ()])
def test_an_event_is_a_text_that_is_not_empty(event: Any) -> None:
    with pytest.raises(RecordError, match="an event is a non-empty text"):
        encode(0, NO_PREVIOUS, event, {})


@pytest.mark.parametrize("text", SURROGATES)
def test_lone_surrogates_are_refused_in_event_name_and_value(text: str) -> None:
    for event, fields in (
        (text, {}),
        ("e", {text: 1}),
        ("e", {"a": text}),
        ("e", {"a": [{text: 1}]}),
        ("e", {"a": [{"b": text}]}),
    ):
        with pytest.raises(RecordError):
            encode(0, NO_PREVIOUS, event, fields)


@pytest.mark.parametrize("key", [1, None, True, 1.5, b"x", ("x",), Text("x"), Word.YES])
def test_field_names_are_texts(key: Any) -> None:
    with pytest.raises(RecordError):
        encode(0, NO_PREVIOUS, "e", {key: 1})


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 2**63, 2**53 + 1, 0, -1])
def test_integers_up_to_the_limits_come_back_exactly(number: int) -> None:
    line, _ = encode(0, NO_PREVIOUS, "e", {"value": [number]})
    assert json.loads(line)["value"] == [number]
    assert decode(line) == json.loads(line)


@pytest.mark.parametrize("number", [5e-324, 1.7976931348623157e308, -0.0, 0.1 + 0.2, 1e16, 2.0])
def test_finite_floats_come_back_exactly_and_as_floats(number: float) -> None:
    line, _ = encode(0, NO_PREVIOUS, "e", {"value": number})
    value = json.loads(line)["value"]
    assert (repr(value), type(value)) == (repr(number), float)


@pytest.mark.parametrize("kind", [lambda value: [value], lambda value: {"x": value}])
def test_250_levels_are_written_and_read(kind: Callable[[Any], Any]) -> None:
    value = nested(250, kind)
    line, _ = encode(0, NO_PREVIOUS, "e", {"value": value})
    fields = decode(line)
    assert fields is not None
    assert fields["value"] == value


def test_a_line_of_exactly_one_mib_is_written_and_read() -> None:
    line, position = line_of(MAX_LINE_BYTES)
    assert len(line) == 1 << 20
    frame = read_frame(line[:-1])
    assert frame is not None
    assert frame.crc == position.crc


def test_a_line_one_byte_longer_is_refused() -> None:
    with pytest.raises(RecordError, match="1048577 bytes; at most 1048576"):
        line_of(MAX_LINE_BYTES + 1)


def test_the_limit_is_in_bytes_and_not_in_characters() -> None:
    with pytest.raises(RecordError):
        encode(0, NO_PREVIOUS, "e", {"text": "€" * 350_000})
    with pytest.raises(RecordError):
        encode(0, NO_PREVIOUS, "e", {"text": "\x00" * 180_000})
    with pytest.raises(RecordError):
        encode(0, NO_PREVIOUS, "e" * MAX_LINE_BYTES, {})


def test_a_longer_line_is_not_read_even_with_its_checksum() -> None:
    line, _ = line_of(MAX_LINE_BYTES)
    end = line.rindex(b',"crc"')
    content = line[: end - 1] + b'x"'
    longer = content + b',"crc":"%08x"}' % crc32(content)
    assert len(longer) == MAX_LINE_BYTES
    assert read_frame(longer) is None


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "reserved": ("e", {"crc": 1}),
    "no event": ("", {}),
    "surrogate": ("e", {"a": "\ud800"}),
    "too long": ("e", {"a": "x" * MAX_LINE_BYTES}),
    **{name: ("e", {"value": value}) for name, value in VALUES.items()},
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_writes_nothing_and_the_writer_goes_on(tmp_path: Path, name: str) -> None:
    path = tmp_path / "f.jsonl"
    writer = SegmentWriter(str(path))
    try:
        first = writer.append("begin", {})
        before = path.read_bytes()
        with pytest.raises(RecordError):
            writer.append(*REFUSED[name])
        assert path.read_bytes() == before
        assert writer.position == first
        second = writer.append("e", {"after": name})
        assert second.n == 1
    finally:
        writer.close()
    lines = path.read_bytes().splitlines()
    assert [decode(line) is not None for line in lines] == [True, True]
    frame = read_frame(lines[1])
    assert frame is not None
    assert (frame.n, frame.prev) == (1, first.crc)


def test_a_record_error_is_a_value_error_that_says_why() -> None:
    with pytest.raises(ValueError, match="set is not a JSON value"):
        encode(0, NO_PREVIOUS, "e", {"a": {1}})


def test_the_line_is_as_documented() -> None:
    line, position = encode(
        7, "0123abcd", "metric", {"rows": 978, "text": "ä\n", "list": [1, None]}
    )
    pattern = (
        r'\{"n":7,"prev":"0123abcd","at":"[^"]+","event":"metric","rows":978,"text":"ä\\n",'
        r'"list":\[1,null\],"crc":"[0-9a-f]{8}"\}\n'
    )
    assert re.fullmatch(pattern, line.decode())
    content = line[: line.index(b',"crc":')]
    assert position == (7, f"{crc32(content):08x}")
    assert line == content + b',"crc":"' + position.crc.encode() + b'"}\n'
    assert str(position) == f"7:{position.crc}"


def test_a_record_without_fields_has_only_its_frame() -> None:
    line, _ = encode(0, NO_PREVIOUS, "e", {})
    assert list(json.loads(line)) == ["n", "prev", "at", "event", "crc"]


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_794_697_847_123_456_789, "2026-11-14T23:10:47.123456Z"),
        (1_794_697_847_000_000_999, "2026-11-14T23:10:47.000000Z"),
        (951_782_400_000_001_000, "2000-02-29T00:00:00.000001Z"),
        (1_794_697_847_999_999_999, "2026-11-14T23:10:47.999999Z"),
    ],
)
def test_moments_are_utc_with_microseconds_cut_off(time_ns: int, text: str) -> None:
    assert timestamp(time_ns) == text


def test_moments_are_utc_wherever_the_machine_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "win32":
        pytest.skip("needs a time zone that can be set")
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Kathmandu")
        time.tzset()
        moment = timestamp(1_700_000_000_000_000_000)
    time.tzset()
    assert moment == "2023-11-14T22:13:20.000000Z"


def test_records_are_stamped_with_the_present_time() -> None:
    before = timestamp()
    line, _ = encode(0, NO_PREVIOUS, "e", {})
    assert before <= json.loads(line)["at"] <= timestamp()


SAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "bare": ("e", {}),
    "fields": ("metric", {"rows": 978, "ok": True, "none": None, "share": 1.5e-7}),
    "escapes": ('a"b\\', {"text": '\x00\x1f\n\\"/äß€😀', "key\t": ["", {}]}),
    "crc inside": ("e", {"x": {"crc": "00000000"}, "y": ',"crc":"00000000"}'}),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_flipped_bit_of_a_line_is_found(name: str) -> None:
    line = encode(12, "0123abcd", *SAMPLES[name])[0][:-1]
    assert read_frame(line) is not None
    for at in range(len(line)):
        for bit in range(8):
            flipped = bytearray(line)
            flipped[at] ^= 1 << bit
            assert read_frame(bytes(flipped)) is None, (at, bit)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_byte_too_few_or_too_many_is_found(name: str) -> None:
    line = encode(12, "0123abcd", *SAMPLES[name])[0][:-1]
    for at in range(len(line)):
        assert read_frame(line[:at]) is None, at
        if at:
            assert read_frame(line[at:]) is None, at
        assert read_frame(line[:at] + line[at + 1 :]) is None, at
        assert read_frame(line[: at + 1] + line[at:]) is None, at
        assert read_frame(line[:at] + b" " + line[at:]) is None, at
    for more in (b"\n", b"\r", b" ", b"\0", b"}", line):
        assert read_frame(line + more) is None
        assert read_frame(more + line) is None


def test_the_checksum_is_compared_as_text() -> None:
    n = 0
    while True:
        line, position = encode(n, NO_PREVIOUS, "e", {})
        if re.search("[a-f]", position.crc):
            break
        n += 1
    crc = position.crc.encode()
    assert read_frame(line[:-1]) is not None
    assert read_frame(line[:-1].replace(crc, crc.upper())) is None


def test_values_that_are_equal_but_spelled_otherwise_are_damage() -> None:
    line, _ = encode(0, NO_PREVIOUS, "e", {"text": "ä\x1f", "number": 1.0})
    for one, other in ((b"\\u001f", b"\\u001F"), ("ä".encode(), b"\\u00e4"), (b":1.0", b":1e0")):
        spelled = line[:-1].replace(one, other)
        assert decode(spelled) == decode(line)
        assert spelled != line[:-1]
        assert read_frame(spelled) is None


@pytest.mark.parametrize(
    "head",
    [
        b'{"n":01,"prev":"00000000","at":"2026-01-01T00:00:00.000000Z","event":"e"',
        b'{"n":-1,"prev":"00000000","at":"2026-01-01T00:00:00.000000Z","event":"e"',
        b'{"n":1.0,"prev":"00000000","at":"2026-01-01T00:00:00.000000Z","event":"e"',
        b'{"n":1,"prev":"0000000","at":"2026-01-01T00:00:00.000000Z","event":"e"',
        b'{"n":1,"prev":"0000000A","at":"2026-01-01T00:00:00.000000Z","event":"e"',
        b'{"n":1,"prev":"00000000","at":"2026-01-01T00:00:00Z","event":"e"',
        b'{"n":1,"prev":"00000000","at":"2026-01-01 00:00:00.000000Z","event":"e"',
        b'{"n":1,"prev":"00000000","at":"2026-01-01T00:00:00.000000Z","event":1',
        b'{"n":1,"prev":"00000000","event":"e","at":"2026-01-01T00:00:00.000000Z"',
        b'{"n": 1,"prev":"00000000","at":"2026-01-01T00:00:00.000000Z","event":"e"',
        b' {"n":1,"prev":"00000000","at":"2026-01-01T00:00:00.000000Z","event":"e"',
        b'{"n":1,"prev":"00000000","at":"2026-01-01T00:00:00.000000Z","event":"e\\"',
        b"[1",
        b"",
    ],
)
def test_a_line_with_a_right_checksum_but_another_frame_is_damage(head: bytes) -> None:
    assert read_frame(head + b',"crc":"%08x"}' % crc32(head)) is None


def test_the_checksum_cannot_stand_inside_the_event() -> None:
    content = b'{"n":1,"prev":"00000000","at":"2026-01-01T00:00:00.000000Z","event":"e'
    line = content + b',"crc":"%08x"}' % crc32(content)
    assert read_frame(line) is None
    assert read_frame(line + b'"') is None


def test_a_line_that_is_no_json_object_decodes_to_none() -> None:
    for line in (b"", b"[1]", b"1", b'"x"', b"null", b'{"a":', b'{"a":"\xff"}', b'{"a":NaN}'):
        assert decode(line) is None


def test_a_long_event_is_read_in_little_memory() -> None:
    line, _ = encode(0, NO_PREVIOUS, "e" * 1_000_000, {})
    assert peak_bytes(lambda: read_frame(line[:-1])) < 8 << 20


def peak_bytes(call: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
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
    max_leaves=12,
)
all_fields = st.dictionaries(texts.filter(lambda name: name not in RESERVED_FIELDS), json_values)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10**18 - 1), texts.filter(bool), all_fields)
def test_what_was_written_is_what_is_read(n: int, event: str, fields: dict[str, Any]) -> None:
    line, position = encode(n, "89abcdef", event, fields)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    frame = read_frame(line[:-1])
    assert frame is not None
    assert (frame.n, frame.prev, frame.crc) == (n, "89abcdef", position.crc)
    assert orjson.loads(b'"%b"' % frame.event) == event
    for parse in (json.loads, decode):
        record: Any = parse(line)
        assert {name: record[name] for name in fields} == fields
        assert record["event"] == event
        assert list(record)[-1] == "crc"
