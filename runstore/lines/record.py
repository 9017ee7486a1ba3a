r"""The bytes of one record.

    {"n":0,"prev":"00000000","at":"2026-11-24T23:10:47.123456Z","event":"begin",...,"crc":"6902c9af"}

One JSON object a line, without white space between its tokens, ended by a line feed. `n` counts the
lines of the file from 0; `prev` is the `crc` of the line before, `00000000` in the first; `at` is
UTC. `crc` is the CRC-32 (zlib) of every byte of the line before `,"crc":`, in 8 lower-case hex
digits, and is compared as text with the bytes as read: a checksum over re-encoded values would miss
a flipped bit that changes only the spelling.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple, TypeGuard
from zlib import crc32

import orjson

from runstore.errors import RecordError

NO_PREVIOUS = "00000000"
MAX_LINE_BYTES = 1 << 20
MAX_N = 10**18 - 1
RESERVED_FIELDS = frozenset({"n", "prev", "at", "event", "crc", "job", "attempt"})

_FRAME_FIELDS = frozenset({"n", "prev", "at", "event", "crc"})
# What the encoder writes as it is; all else takes a look.
_EXACT = frozenset({str, int, bool, type(None)})
_OPTIONS = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
_CONTENT_WITHOUT_FIELDS = b'{"n":%d,"prev":"%b","at":"%b.%06dZ","event":%b'
_CONTENT = _CONTENT_WITHOUT_FIELDS + b",%b"
_MAX_DEPTH = 250
_CRC_BYTES = len(',"crc":"00000000"}')
_CRC = re.compile(r"[0-9a-f]{8}")
# Possessive: what can be gone back to costs some 200 bytes for each byte matched.
_EVENT = rb'((?:[^"\\]++|\\.)*+)"'
_HEAD = re.compile(
    rb'\{"n":(0|[1-9][0-9]{0,17}),"prev":"([0-9a-f]{8})",'
    rb'"at":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)",'
    rb'"event":"' + _EVENT
)
EVENT_END = re.compile(_EVENT)


class Position(NamedTuple):
    """Where a record stands: its number in the file, from 0, and its checksum."""

    n: int
    crc: str

    def __str__(self) -> str:
        return f"{self.n}:{self.crc}"


class Frame(NamedTuple):
    """What every record has, read from the raw bytes of its line without parsing the rest."""

    n: int
    prev: str
    event: bytes
    crc: str


now_ns = time.time_ns
# The second that is being written, in nanoseconds since 1970 and as text.
_second = (0, b"1970-01-01T00:00:00")
_SECOND_NS = 1_000_000_000


def timestamp(time_ns: int | None = None) -> str:
    """Write a moment as records do: UTC, microseconds, `Z`.

    Args:
        time_ns: Nanoseconds since 1970 UTC; None: now.
    """
    second, microsecond = _moment(now_ns() if time_ns is None else time_ns)
    return f"{second.decode()}.{microsecond:06d}Z"


def _moment(time_ns: int) -> tuple[bytes, int]:
    global _second  # noqa: PLW0603 - a memo of one entry; the tuple is replaced as a whole
    start_ns, text = _second
    past_ns = time_ns - start_ns
    if not 0 <= past_ns < _SECOND_NS:
        seconds, past_ns = divmod(time_ns, _SECOND_NS)
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode()
        _second = (seconds * _SECOND_NS, text)
    return text, past_ns // 1000


@functools.lru_cache(maxsize=256)
def _event_name(event: str) -> bytes:
    return orjson.dumps(event)


def encode(n: int, prev: str, event: str, fields: Mapping[str, Any]) -> tuple[bytes, Position]:
    """Encode one record, stamped with the present time.

    Args:
        n: The record's number in its file.
        prev: The checksum of the line before, or `NO_PREVIOUS`.
        event: What happened; not empty.
        fields: JSON values by name: None, bool, int, finite float, str, and lists, tuples and
            dicts of them.

    Returns:
        The whole line, its line feed included, and where it stands.

    Raises:
        RecordError: A field has a reserved name, a value is not a JSON value or not exactly
            representable (NaN, infinity, an integer outside -2^63 to 2^64-1, a lone surrogate), or
            the line is longer than 1 MiB.
    """
    if not _FRAME_FIELDS.isdisjoint(fields):
        raise RecordError(f"reserved field names: {', '.join(sorted(_FRAME_FIELDS & set(fields)))}")
    if not event or type(event) is not str:
        raise RecordError(f"an event is a non-empty text, not {event!r}")
    for value in fields.values():
        if type(value) not in _EXACT:
            _refuse_inexact(value)
    try:
        name = _event_name(event)
        body = orjson.dumps(fields, option=_OPTIONS)
    except TypeError as error:
        raise RecordError(f"cannot be written as JSON: {error}") from None
    second, microsecond = _moment(now_ns())
    frame = (n, prev.encode(), second, microsecond, name)
    content = _CONTENT % (*frame, body[1:-1]) if fields else _CONTENT_WITHOUT_FIELDS % frame
    crc = b"%08x" % crc32(content)
    line = b'%b,"crc":"%b"}\n' % (content, crc)
    if len(line) > MAX_LINE_BYTES:
        raise RecordError(f"a record of {len(line)} bytes; at most {MAX_LINE_BYTES} are allowed")
    return line, Position(n, crc.decode())


def _refuse_inexact(value: object, depth: int = 0) -> None:
    """Refuse what the encoder would change without a word: NaN becomes null, an enum its value."""
    kind = type(value)
    if kind is float:
        if not isfinite(value):  # type: ignore[arg-type]
            raise RecordError(f"{value} is not a JSON number")
    elif kind is dict:
        _refuse_deep(depth)
        for key, item in value.items():  # type: ignore[attr-defined]
            if type(key) is not str:
                raise RecordError(f"a key is a text, not {key!r}")
            _refuse_inexact(item, depth + 1)
    elif kind is list or kind is tuple:
        _refuse_deep(depth)
        for item in value:  # type: ignore[attr-defined]
            _refuse_inexact(item, depth + 1)
    elif kind not in _EXACT:
        raise RecordError(f"{kind.__name__} is not a JSON value")


def _refuse_deep(depth: int) -> None:
    """Stop before the encoder's own limit of 254 levels, and at values that contain themselves."""
    if depth >= _MAX_DEPTH:
        raise RecordError(f"values are nested more than {_MAX_DEPTH} levels deep")


def read_frame(line: bytes) -> Frame | None:
    """Check one line, without its line feed, against its own checksum.

    Returns:
        Its frame, or None when the line is not, byte for byte, what a writer wrote.
    """
    head = _HEAD.match(line)
    if head is None or len(line) >= MAX_LINE_BYTES:
        return None
    end = len(line) - _CRC_BYTES
    crc = f"{crc32(line[:end]):08x}"
    if end < head.end() or line[end:] != b',"crc":"%b"}' % crc.encode():
        return None
    return Frame(int(head[1]), head[2].decode(), head[4], crc)


def decode(line: bytes) -> dict[str, Any] | None:
    """Parse one line whose checksum holds; None when it is no JSON object all the same.

    What is nested deeper than a writer may is none either: it could be parsed, and then neither be
    written again nor shown.
    """
    try:
        fields = orjson.loads(line)
    except ValueError:
        return None
    if not isinstance(fields, dict):
        return None
    may_be_deep = line.count(b"[") + line.count(b"{") > _MAX_DEPTH
    return None if may_be_deep and _is_deep(fields) else fields


def _is_deep(fields: dict[str, Any]) -> bool:
    level: list[Any] = [fields]
    for _ in range(_MAX_DEPTH + 1):
        level = [
            item
            for each in level
            for item in (each.values() if type(each) is dict else each)
            if type(item) is dict or type(item) is list
        ]
        if not level:
            return False
    return True


def fields_in(line: bytes, n: int) -> dict[str, Any] | None:
    """The fields of a line whose checksum holds and whose frame has this number; None: no record.

    A checksum holds for whatever another program wrote: text that is no JSON, or a name that
    stands there twice, of which the parser takes the last.
    """
    fields = decode(line)
    if fields is None or type(fields["n"]) is not int:
        return None
    fits = fields["n"] == n and type(fields["at"]) is type(fields["event"]) is str
    return fields if fits else None


def position_in(fields: Mapping[str, Any]) -> Position | None:
    """The position that a record vouches for, such as `done`, or the `begin` of a resume."""
    n, crc = fields.get("last_n"), fields.get("last_crc")
    return Position(n, crc) if is_number(n) and is_crc(crc) else None


def is_number(value: object) -> TypeGuard[int]:
    """Tell whether a value, of a file that anybody may have written, can number a record."""
    return type(value) is int and 0 <= value <= MAX_N


def is_crc(value: object) -> TypeGuard[str]:
    """Tell whether a value can be the checksum of a record."""
    return isinstance(value, str) and _CRC.fullmatch(value) is not None
