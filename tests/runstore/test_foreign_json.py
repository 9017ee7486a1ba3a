"""Text that every JSON parser is tested with, where a line or a file of the store should be.

In the manner of the public suites: `n` is no JSON, `y` is, `i` is what each parser takes as it
likes. Each stands in a line whose checksum is right, and by itself.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from runstore import RunStore, StoreFormatError
from tests.runstore.foreign import (
    RUN_ID,
    Chain,
    Fields,
    Raw,
    attempt_begin,
    attempt_end,
    command,
    crc_of,
    read,
    run_file,
    seal,
    sealed_line,
    try_all,
    try_changing,
    whole,
    write,
)
from tests.runstore.test_foreign_values import VALUES
from tests.scale import count

TEXTS: dict[str, bytes] = {
    "n empty": b"",
    "n spaces": b"   ",
    "n byte order mark alone": b"\xef\xbb\xbf",
    "n byte order mark": b"\xef\xbb\xbf1",
    "n UTF-16": '{"a":1}'.encode("utf-16"),
    "n NaN": b"NaN",
    "n Infinity": b"-Infinity",
    "n leading zero": b"012",
    "n plus": b"+1",
    "n point alone": b"1.",
    "n no digit before the point": b".5",
    "n hexadecimal": b"0x1F",
    "n exponent without digits": b"1e+",
    "n single quotes": b"'a'",
    "n unclosed text": b'"a',
    "n escape of a letter": b'"\\a"',
    "n short escape": b'"\\u00a"',
    "n NUL in a text": b'"\0"',
    "n tab in a text": b'"\t"',
    "n overlong": b'"\xc0\xaf"',
    "n overlong NUL": b'"\xc0\x80"',
    "n bytes above U+10FFFF": b'"\xf4\xbf\xbf\xbf"',
    "n cut in a character": b'"\xe6\x97',
    "n trailing comma": b"[1,]",
    "n two commas": b"[1,,2]",
    "n no comma": b"[1 2]",
    "n colon in a list": b'["a":1]',
    "n key without quotes": b"{a:1}",
    "n key without value": b'{"a"}',
    "n comment": b"/**/1",
    "n two values": b"1 2",
    "n closed too often": b"[]]",
    "n wrong bracket": b"[}",
    "n word": b"TRUE",
    "n open 100,000 deep": b"[" * 100_000,
    "n open objects 100,000 deep": b'{"":' * 100_000,
    "n only NULs": bytes(1_000),
    "n only brackets": b"[]{}" * 1_000,
    "y object": b'{"a":[1,null,"x"]}',
    "y keys twice": b'{"a":1,"a":2,"a":[]}',
    "y key of nothing": b'{"":0}',
    "y huge key": b'{"' + b"k" * 100_000 + b'":0}',
    "y surrogate pair": b'"\\ud83d\\ude00"',
    "y NUL escaped": b'"\\u0000"',
    "y beyond the last plane's last character": b'"\xf4\x8f\xbf\xbf"',
    "y spaces": b' [ 1 , { "a" : 2 } ] ',
    "y many values": b"[" + b"1," * 100_000 + b"1]",
    "y 200 deep": b"[" * 200 + b"]" * 200,
    "i 900 deep": b"[" * 900 + b"]" * 900,
    "i 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "i 10,000 digits": b"9" * 10_000,
    "i -10,000 digits": b"-" + b"9" * 10_000,
    "i 1e999999": b"1e999999",
    "i -1e999999": b"-1e999999",
    "i 1e-999999": b"1e-999999",
    "i many digits in an exponent": b"1e" + b"9" * 10_000,
    "i lone surrogate": b'"\\ud800"',
    "i surrogates the wrong way round": b'"\\udc00\\ud800"',
    "i surrogate in UTF-8": b'"\xed\xa0\x80"',
    "i byte order mark in a text": b'"\xef\xbb\xbf"',
    "i no character": b'"\xef\xbf\xbf"',
}


def raw(data: bytes) -> Raw:
    return Raw(data.decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("what", TEXTS)
def test_the_text_of_a_field_harms_no_reader(what: str, tmp_path: Path) -> None:
    """In a whole line: the record says nothing if it is no JSON, and all others count."""
    value = {"x": raw(TEXTS[what])}
    events = ("begin", "metric", "output", "end")
    first = list(TEXTS).index(what)
    for number in range(count(4, 1)):
        event = events[(first + number) % 4]
        fields: dict[str, Fields] = {"begin": attempt_begin(), "end": attempt_end()}
        attempt = Chain()
        for each in ("begin", "metric", "output", "end"):
            more = value if each == event else {}
            attempt.add(each, {**fields.get(each, {}), **more})
        own = run_file(attempt, partial(_with, event, value))
        store = tmp_path / str(number)
        write(store, {"run.jsonl": own.content, "jobs/ingest.a1.jsonl": attempt.content})
        assert RunStore(store).verify().ok or event == "begin"
        try_all(store, commands=not number, changing=False)
        if what.startswith("y") or what == "i byte order mark in a text":
            read_events = [each["event"] for each in RunStore(store).read(RUN_ID).records()]
            assert len(read_events) == len(own.lines) + len(attempt.lines)
        try_changing(store)


def _with(event: str, value: Fields, each: str, old: Fields) -> Fields:
    return {**old, **value} if each == f"run.{event}" else old


ENDS = (b"", b"\n", b"\r\n")
PAIRS = [(what, end) for what in TEXTS for end in ENDS]


@pytest.mark.parametrize(("what", "end"), PAIRS[:: count(1, 4)])
def test_the_text_in_the_place_of_a_line_or_file_harms_no_reader(
    what: str, end: bytes, tmp_path: Path
) -> None:
    content = whole()
    for number, name in enumerate(("run.jsonl", "jobs/ingest.a1.jsonl", "sealed.jsonl")):
        data = content.get(name, b"")
        lines = data.splitlines(keepends=True)
        for place, changed in enumerate((TEXTS[what] + end, data + TEXTS[what] + end)):
            store = tmp_path / f"{number}-{place}"
            write(store, {**content, name: changed})
            try_all(store, changing=False, commands=False)
            try_changing(store)
        if lines:
            store = tmp_path / f"{number}-middle"
            write(store, {**content, name: b"".join([lines[0], TEXTS[what], end, *lines[1:]])})
            try_all(store, changing=False, commands=number == count(number, 1))


def test_lines_that_windows_ends_are_damaged_and_read_around(tmp_path: Path) -> None:
    content = whole()
    write(tmp_path, {name: data.replace(b"\n", b"\r\n") for name, data in content.items()})
    assert {error.code for error in RunStore(tmp_path).verify().errors} == {"damaged"}
    try_all(tmp_path)


STORE_FILES = {
    **TEXTS,
    **{
        f"version {name}": b'{"format":"runstore","version":%b}'
        % (
            value.encode("utf-8", "surrogateescape")
            if isinstance(value, Raw)
            else orjson.dumps(value)
        )
        for name, value in VALUES.items()
    },
    "huge": b'{"format":"runstore","version":1,"x":"' + b"x" * (1 << 20) + b'"}',
}


@pytest.mark.parametrize("what", STORE_FILES)
def test_whatever_the_stores_own_file_says_is_read_around_or_refused(
    what: str, tmp_path: Path
) -> None:
    write(tmp_path, whole())
    (tmp_path / "store.json").write_bytes(STORE_FILES[what])
    told, errors = "", []
    try:
        errors = [each.path for each in RunStore(tmp_path).verify().errors]
    except StoreFormatError as error:
        told = str(error)
    if told:
        assert len(told) < 300 + len(str(tmp_path))
        assert command(tmp_path, ("runstore", "verify")) == "3"
    else:
        assert errors == ["store.json"]
        read(RunStore(tmp_path), RUN_ID)
    try_all(tmp_path)


LIES: dict[str, Any] = {
    "null": None,
    "minus one": -1,
    "zero": 0,
    "one more": 1,
    "beyond the end": 10**6,
    "far beyond": 2**62,
    "more than a file can have": 2**63,
    "the largest integer": 2**64 - 1,
    "fraction": 0.5,
    "text": "0",
    "huge": Raw("9" * 400),
    "another path": "jobs/other.a1.jsonl",
    "the same path": "run.jsonl",
    "a path out of the store": "../../../etc/passwd",
    "another checksum": "00000000",
    "list": [],
}
OWN_FIELDS = {
    **{
        kind: (kind, "path", "offset", "bytes", "lines", "crc32", "last_n", "last_crc")
        for kind in ("part", "index")
    },
    "sealed": ("sealed", "parts", "index"),
}


LIED = [(kind, name) for kind, names in OWN_FIELDS.items() for name in names]


def _lie(kinds: set[str], name: str, value: Any, each: str, old: Fields) -> Fields:
    return {**old, name: value} if each in kinds else old


@pytest.mark.parametrize("both", [False, True], ids=["one", "both"])
@pytest.mark.parametrize(
    ("kind", "name"), [(k, n) for k, names in OWN_FIELDS.items() for n in names]
)
def test_a_sealed_file_that_lies_about_its_parts_harms_no_reader(
    kind: str, name: str, tmp_path: Path, *, both: bool
) -> None:
    kinds = {"part", "index"} if both and kind != "sealed" else {kind}
    content = whole()
    content.popitem()
    for number, (what, value) in list(enumerate(LIES.items())):
        data = seal(content, partial(_lie, kinds, name, value))
        store = tmp_path / str(number)
        run = write(store, {"sealed.jsonl": data})
        (run / "sealed").mkdir()
        try:
            try_all(store, changing=False, commands=number % count(1, 8) == 0)
            # Where header and index agree on a lie, nothing tells that it is one.
            if not (len(kinds) == 2 and name.startswith("last_")):
                try_changing(store)
        except BaseException as error:
            error.add_note(f"the lie: {what}")
            raise


def test_an_index_of_very_many_parts_that_are_not_there_harms_no_reader(tmp_path: Path) -> None:
    content = whole()
    content.popitem()
    data = seal(content)
    last = data.splitlines(keepends=True)[-1]
    index = data.splitlines(keepends=True)[-2]
    many = b"".join(
        sealed_line(index[: -len(b',"crc":"00000000"}\n')].replace(b'"index":2', b'"index":%d' % n))
        for n in range(3, count(100_000, 10_000))
    )
    run = write(tmp_path, {"sealed.jsonl": data[: -len(last)] + many + last})
    (run / "sealed").mkdir()
    assert crc_of(many[: many.index(b"\n") + 1])
    try_all(tmp_path)
