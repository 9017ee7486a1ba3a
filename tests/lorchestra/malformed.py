"""Files that are nearly pipelines, and texts that mean something to somebody who reads them."""

from __future__ import annotations

import codecs
import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

# Every key of a pipeline file, with a value that is right.
FULL: dict[str, Any] = {
    "pipeline_id": "pipeline.ingest",
    "description": "Ingest every account",
    "stop_on_failure": True,
    "halt": "now",
    "grace": "5s",
    "timeout": "2h",
    "params": {
        "day": {"type": "string", "default": "2026-11-24", "choices": ["2026-11-24", "x"]},
        "count": {"type": "int", "required": False, "description": "How many"},
        "plain": 7,
    },
    "secrets": ["TOKEN", {"PASSWORD": {"file": "password.txt"}}],
    "stages": [
        {
            "name": "ingest",
            "max_workers": 4,
            "stop_on_failure": False,
            "jobs": ["acct1", {"id": "acct2", "run": "echo ${params.day}", "env": {"PORT": 8080}}],
        },
        {
            "name": "report",
            "jobs": [
                {
                    "id": "report",
                    "call": "a.b:C.d",
                    "with": {"rows": 3.5, "of": [1, None, "b"], "day": "@payload.day"},
                    "description": "Two\nlines",
                    "isolation": "process",
                    "tags": ["slow"],
                    "allow_failure": True,
                }
            ],
        },
    ],
    "jobs": {
        "acct1": {
            "command": ["python", "-m", "ingest", "--account", 1],
            "cwd": "work",
            "timeout": "5m",
            "total_timeout": "1h",
            "retries": {
                "max": 3,
                "backoff": "2s",
                "factor": 2,
                "max_backoff": "1m",
                "jitter": True,
                "on_exit_codes": [75],
            },
        }
    },
}
AS_WRITTEN = """\
# a comment
pipeline_id: pipeline.ingest
description: "Ingest \\u00e9very account"
stop_on_failure: true
params: {day: '2026-11-24'}
stages:
  - name: ingest
    max_workers: 4
    jobs: [acct1, &x {id: acct2, run: python -m ingest, env: {PORT: 8080}}]
  - name: report
    description: |
      Two
      lines
    jobs:
      - {id: report, call: "a.b:C.d", with: {rows: 3.5, of: [a, null, 'b', ${params.day}]}}
jobs:
  acct1: {command: [python, -m, ingest, --account, 1], cwd: &y work}
"""

WRONG: list[Any] = [
    *(None, True, False, 0, -1, 1, 3.5, 10**30, "", " ", "x", "\0", "x" * 5000, "\n", "5m", "-5m"),
    *([], [[]], [None], ["x", "x"], [{}], {}, {"": ""}, {"x": None}, {"x": {"x": {"x": []}}}),
    *("${params.nothing}", "${params.day", "@run.nothing.x", "@item.x", "${env.HOME}", "1e999"),
]

HOSTILE = [
    *(" ", "  leading and trailing  ", "\t", "\n", "a\nb", "a\r\nb", "\0", "a\0b", "\x1b[31mred"),
    *("\x07", "\x7f", "\x85", "\u2028", "\u202ereversed", "\ufeff", "\u200b", "\U0010ffff", "é"),
    *("e\u0301", "😀" * 50, "\ufb01", "\u0130", "ß", "\u017f", "\u212a"),
    *("..", "../../etc/passwd", "a/b", "a\\b", "/", "C:\\x", "CON", "nul.txt", "a.", ".a", "~"),
    *("-rf", "--help", "-", "*", "?", "[a]", "a b", "a;b", "$(touch pwned)", "`touch pwned`"),
    *(
        "; touch pwned;",
        "' ; touch pwned; '",
        '" ; touch pwned; "',
        "& touch pwned &",
        "| cat",
        "#",
    ),
    *("$HOME", "${HOME}", "%PATH%", "!x", "${params.x}", "${", "@run.a.b", "@payload", "{0}", "%s"),
    *("null", "true", "no", "1", "1e3", "0x1f", "22:22", "<<", "=", "__class__", "constructor"),
    *("x" * 200, "x" * 10_000, "x" * 10_001, "é" * 5_000, "x" * 70_000),
]

_PIECES = [
    *("\n", "  ", "\t", ": ", "- ", "? ", "[", "]", "{", "}", ",", "'", '"', "|", ">", "#", "\\"),
    *("&x ", "*x", "*y", "!t ", "!!str ", "!!python/object:os.system ", "---", "...", "<<: ", "~"),
    *("%YAML 1.1\n", "@", "`", "\r", "\0", "\ufeff", "\x85", "null", "true", ".inf", "1e999"),
    *("9" * 400, "\\ud800", "é", "😀", "\u2028", "jobs:", "stages:", "id: ", "run: x", "with: "),
]
_ENCODINGS = [
    *((b"", "utf-8"), (codecs.BOM_UTF8, "utf-8"), (b"", "utf-16-le"), (b"", "latin-1")),
    *((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")),
    *((codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF16_LE, "utf-16-be")),
]


def yaml_text(value: Any) -> str:
    """A value as JSON that is YAML too."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


def wrong_values() -> list[bytes]:
    """The whole pipeline with one value in the place of each value, and of each key."""
    return [
        yaml_text(changed).encode(errors="surrogatepass")
        for path in _paths(FULL)
        for changed in _changed(path)
    ]


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(item, (*path, key))


def _changed(path: tuple[Any, ...]) -> Iterator[Any]:
    for wrong in WRONG:
        if not path:
            yield wrong
            continue
        whole = copy.deepcopy(FULL)
        parent: Any = whole
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = wrong
        yield whole
        if isinstance(path[-1], str) and isinstance(wrong, str):
            whole = copy.deepcopy(whole)
            del parent[path[-1]]
            parent[wrong] = 1
            yield whole


def damaged(chance: Random) -> bytes:
    """A valid file with some damage done to its bytes, lines, or encoding."""
    text = chance.choice([AS_WRITTEN, AS_WRITTEN, yaml_text(FULL), json.dumps(FULL, indent=1)])
    for _ in range(chance.randint(1, 3)):
        text = chance.choice([_with_piece, _lines_changed, _indented, _with_keys_twice])(
            text, chance
        )
    mark, encoding = chance.choice(_ENCODINGS) if chance.random() < 0.3 else (b"", "utf-8")
    data = mark + text.encode(encoding, errors="replace")
    if chance.random() < 0.5:
        data = _bytes_changed(data, chance)
    return data


def _with_piece(text: str, chance: Random) -> str:
    start, length = chance.randint(0, len(text)), chance.choice([0, 0, 1, 2, 10, 60])
    return text[:start] + chance.choice(_PIECES) + text[start + length :]


def _lines_changed(text: str, chance: Random) -> str:
    lines = text.split("\n")
    number = chance.randrange(len(lines))
    kind = chance.choice(["twice", "gone", "swapped"])
    if kind == "twice":
        lines.insert(number, lines[number])
    elif kind == "gone":
        del lines[number]
    else:
        other = chance.randrange(len(lines))
        lines[number], lines[other] = lines[other], lines[number]
    return "\n".join(lines)


def _indented(text: str, chance: Random) -> str:
    lines = text.split("\n")
    number = chance.randrange(len(lines))
    lines[number] = chance.choice([" ", "\t", "  ", "\xa0"]) + lines[number]
    return "\n".join(lines)


def _with_keys_twice(text: str, chance: Random) -> str:
    key = chance.choice(["stages", "jobs", "name", "id", "run", "env", "pipeline_id", "with"])
    return text.replace(key, chance.choice(["jobs", "run", "<<", f"{key}{key}", "? "]), 1)


def _bytes_changed(data: bytes, chance: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        if not changed:
            break
        at = chance.randrange(len(changed))
        kind = chance.choice(["flip", "set", "cut", "insert"])
        if kind == "flip":
            changed[at] ^= 1 << chance.randrange(8)
        elif kind == "set":
            changed[at] = chance.choice([0, 9, 0x80, 0xC3, 0xFF, 0xFE])
        elif kind == "cut":
            del changed[at : at + chance.choice([1, 3, 200])]
        else:
            changed[at:at] = bytes([chance.randrange(256)])
    return bytes(changed)


def bombs() -> dict[str, bytes]:
    """Files that are small, or not, and would cost much to whoever takes them as they are."""
    ladder = "\n".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" if n else "a0: &a0 [x, x, x]"
        for n in range(12)
    )
    maps = "\n".join(
        f"a{n}: &a{n} {{x: *a{n - 1}, y: *a{n - 1}}}" if n else "a0: &a0 {x: x}" for n in range(60)
    )
    stage = "stages: [{name: s, jobs: [{id: a, run: 'true', env: *%s}]}]\n"
    many = "".join(f"      - {{id: j{n}, run: 'true'}}\n" for n in range(20_000))
    unknown = "".join(f"unknown-{n}: {n}\n" for n in range(20_000))
    return {
        "a billion laughs": f"{ladder}\n{stage % 'a11'}".encode(),
        "doubling mappings": f"{maps}\n{stage % 'a59'}".encode(),
        "an alias in itself": b"stages: &x [*x]\n",
        "an alias in itself, as a key": b"&x {*x : 1}\n",
        "merge keys": b"a: &a {x: 1}\nstages:\n  - <<: *a\n    name: s\n    jobs: []\n",
        "deep lists": b"[" * 100_000,
        "deep mappings": b"{a: " * 50_000,
        "deep blocks": b"".join(b" " * n + b"- \n" for n in range(2_000)),
        "deep compact blocks": b"- " * 50_000,
        "deep keys": b"? " * 50_000,
        "a huge scalar": b"stages: " + b"x" * 8_000_000,
        "a huge quoted scalar": b'stages: "' + b"x" * 8_000_000 + b'"',
        "a scalar that is never closed": b'stages: "' + b"x\n" * 200_000,
        "a huge number": b"stages: [{name: s, max_workers: " + b"9" * 1_000_000 + b", jobs: [a]}]",
        "a huge exponent": b"stages: [{name: s, max_workers: 1e999999999, jobs: [a]}]",
        "a huge hexadecimal": b"stages: [{name: s, max_workers: 0x" + b"f" * 1_000_000 + b"}]",
        "a huge duration": b"timeout: " + b"9" * 100_000 + b"h\nstages: []\n",
        "a huge comment": b"#" * 8_000_000,
        "many lines": b"\n" * 2_000_000,
        "many anchors": b"".join(b"- &a%d x\n" % n for n in range(100_000)),
        "many documents": b"--- x\n" * 100_000,
        "many directives": b"%TAG !a! tag:x,2000:\n" * 50_000,
        "many keys that are twice": b"a: 1\n" * 50_000,
        "many keys that are unknown": unknown.encode(),
        "many jobs": f"stages:\n  - name: s\n    jobs:\n{many}".encode(),
        "many jobs of one name": b"stages:\n- name: s\n  jobs:\n"
        + b"  - {id: a, run: x}\n" * 20_000,
        "many jobs that are not there": b"stages:\n- name: s\n  jobs:\n"
        + b"".join(b"  - job-%d\n" % n for n in range(20_000)),
        "many references that are not there": b"stages:\n- name: s\n  jobs:\n"
        + b"".join(b"  - {id: j%d, run: '${params.p%d}'}\n" % (n, n) for n in range(10_000)),
        "many references in a line": b"stages:\n- name: s\n  jobs:\n  - {id: a, run: '"
        + b"${params.x} " * 50_000
        + b"'}\n",
        "references that are never closed": b"stages:\n- name: s\n  jobs:\n  - {id: a, run: '"
        + b"${" * 200_000
        + b"'}\n",
        "quotes that are never closed": b'stages:\n- name: s\n  jobs:\n  - {id: a, run: "'
        + b"${params.x} $( ' ` " * 20_000
        + b'"}\n',
        "NULs": b"\0" * 1_000_000,
        "any bytes": bytes(range(256)) * 1000,
        "half a character of UTF-16": codecs.BOM_UTF16_LE + b"s",
        "UTF-16 without a mark": "stages: []".encode("utf-16-le"),
        "only a mark": codecs.BOM_UTF8,
        "a tag that makes objects": b"stages: !!python/object/apply:os.system [touch pwned]\n",
        "a binary": b"stages: !!binary aGVsbG8=\n",
        "a set": b"stages: !!set {a, b}\n",
    }
