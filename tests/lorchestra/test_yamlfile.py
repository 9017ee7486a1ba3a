"""YAML as people expect it, with both parsers: libyaml's, and PyYAML's own."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorchestra.loader import yamlfile
from lorchestra.loader.nodes import ListNode, MapNode, Node, ScalarNode
from lorchestra.loader.problems import Problems
from lorchestra.loader.yamlbuild import MAX_DEPTH, MAX_SIZE
from lorchestra.loader.yamlfile import read_yaml

PARSERS = {"libyaml": getattr(yaml, "CSafeLoader", yaml.SafeLoader), "python": yaml.SafeLoader}


@pytest.fixture(autouse=True, params=PARSERS)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    monkeypatch.setattr(yamlfile, "_PARSER", PARSERS[name])
    return name


def read(source: str | bytes) -> Node:
    """The document of a file that is right."""
    problems = Problems(Path("f.yaml"))
    document = read_yaml(source.encode() if isinstance(source, str) else source, problems)
    assert list(map(str, problems.in_order())) == []
    assert document is not None
    return document


def mistakes(source: str | bytes) -> list[str]:
    """The mistakes of a file, without its name."""
    problems = Problems(Path("f.yaml"))
    read_yaml(source.encode() if isinstance(source, str) else source, problems)
    return [str(problem).removeprefix("f.yaml:") for problem in problems.in_order()]


def mistake(source: str | bytes) -> str:
    """The only mistake of a file."""
    (only,) = mistakes(source)
    return only


def plain(node: Node) -> Any:
    """A node as data, each scalar as its kind and text."""
    match node:
        case MapNode():
            return {name: plain(entry.value) for name, entry in node.entries.items()}
        case ListNode():
            return [plain(item) for item in node.items]
        case ScalarNode():
            return (node.kind, node.text)


def scalar(source: str) -> tuple[str, str]:
    document = read(f"value: {source}")
    kind, text = plain(document)["value"]
    return kind, text


@pytest.mark.parametrize(
    "text",
    [
        *("no", "yes", "on", "off", "y", "n", "No", "ON", "nULL", "tRUE", "none"),
        *("22:22", "1:2:3", "190:20:30.15", "2026-11-24", "2026-11-24T10:00:00Z"),
        *("0777", "00", "-01", "01.5", "1_000", "1_0.5", "0b11", "0o8", "0xg", "+0x1", "-0o7"),
        *("1.2.3", "1e", "e5", ".", "+", "-x", "+.nan", ".iNf", "inf", "nan", "1,5", "12a", "="),
    ],
)
def test_what_only_looks_special_is_text(text: str) -> None:
    assert scalar(text) == ("text", text)


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("null", ["null", "Null", "NULL", "~", ""]),
        ("bool", ["true", "True", "TRUE", "false", "False", "FALSE"]),
        ("int", ["0", "7", "-7", "+7", "-0", "120", "0o17", "0x1F", "9" * 5000]),
        ("float", ["1.5", "-1.5", "+.5", "1.", "0.1", "1e3", "1E-3", "1.5e+3", ".inf", "-.Inf"]),
        ("float", [".nan", ".NaN", ".NAN", "+.INF"]),
    ],
)
def test_the_core_schema_of_yaml_1_2(kind: str, texts: list[str]) -> None:
    assert [scalar(text) for text in texts] == [(kind, text) for text in texts]


@pytest.mark.parametrize("source", ["'1'", '"1"', "!!str 1", "! 1", "|-\n  1", ">-\n  1"])
def test_a_scalar_in_quotes_or_a_block_or_marked_as_text_is_text(source: str) -> None:
    assert scalar(source) == ("text", "1")


def test_every_node_knows_its_line_and_column() -> None:
    document = read("é😀: x\r\nlist:\r\n  - {a: 1}\r\n")
    assert isinstance(document, MapNode)
    (first, text), (second, items) = document.entries.values()
    assert isinstance(items, ListNode)
    places: list[Node] = [document, first, text, second, items, items.items[0]]
    assert [(node.line, node.column) for node in places] == [
        (1, 1),
        (1, 1),
        (1, 5),
        (2, 1),
        (3, 3),
        (3, 5),
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_not_part_of_the_text(encoding: str) -> None:
    document = read("é: ü".encode(encoding))
    assert plain(document) == {"é": ("text", "ü")}
    assert (document.line, document.column) == (1, 1)


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("width", ["16", "32"])
def test_both_byte_orders_are_read(width: str, order: str) -> None:
    assert plain(read("\ufeffa: 1".encode(f"utf-{width}-{order}"))) == {"a": ("int", "1")}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"a: 1\nb\xc3\xa9: \xff", "2:5: not valid UTF-8 text"),
        (b"a\x0bb: \xff", "1:6: not valid UTF-8 text"),
        (b"a: \xed\xa0\x80", "1:4: not valid UTF-8 text"),
        ("é: é".encode()[:-1], "1:4: not valid UTF-8 text"),
        ("\ufeffa".encode("utf-16-le") + b"\0", "1:2: not valid UTF-16 text"),
        ("\ufeffa".encode("utf-32-be") + b"\0", "1:2: not valid UTF-32 text"),
        (b"a: 1\nb: \0", "2:4: a NUL byte is not allowed in YAML; is this a text file?"),
        (
            "a: 1".encode("utf-16-le"),
            "1:2: a NUL byte is not allowed in YAML; is this a text file?",
        ),
        (
            b"a: \x07",
            "1:4: the control character U+0007 is not allowed in YAML; is this a text file?",
        ),
    ],
)
def test_bytes_that_are_no_text_are_named_with_their_place(source: bytes, message: str) -> None:
    assert mistake(source) == message


@pytest.mark.parametrize("source", ["", "\n \n", "# only this\n", "---", "---\n# x\n", "\ufeff"])
def test_an_empty_file_is_called_empty(source: str) -> None:
    assert mistake(source) == "1:1: the file is empty"


INDENTATION = "check the indentation, and the quotes before it"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a:\n\tb: 1", "2:1: a tab cannot indent YAML; use spaces"),
        ("a:\n  b: 1\n\tc: 2", "3:1: a tab cannot indent YAML; use spaces"),
        (
            "run: echo a: b",
            "1:12: no ':' is possible here: check the indentation, and put text that contains ': '",
        ),
        ("a: - b", "1:4: no '-' is possible here: begin the list on a line of its own"),
        ("a:\n- b\nc", "3:1: expected 'key: value', but there is no ':' after this"),
        ('a: "abc\nb: 2', "1:4: the quote that opens here is never closed"),
        ("x:\n  a: 'abc\nb: 2", "2:6: the quote that opens here is never closed"),
        ("a: @x", "1:4: text cannot begin with '@' here; put it in quotes"),
        ("a: `x`", "1:4: text cannot begin with '`' here; put it in quotes"),
        ("é😀: %x", "1:5: text cannot begin with '%' here; put it in quotes"),
        ("a: [ls, *]", "1:9: text cannot begin with '*' or '&'; put it in quotes"),
        ("a: *.py", "1:4: text cannot begin with '*' or '&'; put it in quotes"),
        ("a: *x", "1:4: *x stands for nothing above it; put text in quotes"),
        ("a: ]", "1:4: expected a value here"),
        ("a: |x\n  b", "1:5: text after '|' or '>' begins on the next line"),
        ("a: [1\nb: 2", "2:2: expected ',' or ']' in the list that begins in line 1"),
        ("a:\n- {x: 1\nb: 2", "3:2: expected ',' or '}' in the mapping that begins in line 2"),
        ("x:\n  a: [1,\n    2\n", "2:6: expected ',' or ']' in the list that begins in line 2"),
        ("a: 1\n...\nb: 1", "3:1: nothing may follow the end of the document"),
        ("a: 1\n---\nb: 2", "2:1: a second document begins here; a file holds one"),
        ("---\n---\nb: 2", "2:1: a second document begins here; a file holds one"),
        ("a: !foo b", "1:4: the tag '!foo' is not supported; leave it out"),
        ("a: !!int 3", "1:4: the tag '!!int' is not supported; leave it out"),
        ("a: !!python/name:os.system", "1:4: the tag '!!python/name:os.system' is not supported"),
        ("a: !!set {x, y}", "1:4: the tag '!!set' is not supported; leave it out"),
        ("a: !!map [x]", "1:4: the tag '!!map' is not supported; leave it out"),
        ("a: !x!y z", "1:4: tags are not supported"),
        ("a: &x [*x]", "1:8: *x stands for a value that contains it"),
        ("a: &x\n  b: {c: *x}", "2:10: *x stands for a value that contains it"),
        ("a: 1\nb: 2\na: 3", "3:1: duplicate key 'a' (first in line 1)"),
        ("&k a: 1\n*k : 2", "2:1: duplicate key 'a' (first in line 1)"),
        ("x: {<<: {a: 1}}", "1:5: merge keys (<<) are not supported; write the keys out"),
        ("1: 2", "1:1: a key must be text, not 1"),
        ("true: 1", "1:1: a key must be text, not true"),
        ("~: 1", "1:1: a key must be text, not ~"),
        ("? \n: 1", "1:2: a key must be text, not empty"),
        ("[a]: 1", "1:1: a key must be text, not a list"),
        ("a: {b: # c", "1:10: expected a value here"),
        ("? {a: b}\n: 1", "1:3: a key must be text, not a mapping"),
    ],
)
def test_a_mistake_is_told_in_words_at_its_place(source: str, message: str) -> None:
    assert mistake(source).startswith(message)


@pytest.mark.parametrize(
    ("source", "libyaml", "python"),
    [
        (
            "a: 1\nb:\n    c: 1\n  d: 2",
            f"4:3: expected a key of the mapping that begins in line 1; {INDENTATION}",
            f"4:3: this does not go on with what begins in line 1; {INDENTATION}",
        ),
        (
            'run: "echo" b',
            f"1:13: expected a key of the mapping that begins in line 1; {INDENTATION}",
            f"1:13: this does not go on with what begins in line 1; {INDENTATION}",
        ),
        (
            "a:\n  - b\n  c: d",
            f"3:3: expected '-' as in line 2; {INDENTATION}",
            f"3:3: this does not go on with what begins in line 2; {INDENTATION}",
        ),
        (
            r'a: "\q"',
            r"1:5: unknown escape after '\': use single quotes, or '\\'",
            r"1:6: unknown escape after '\': use single quotes, or '\\'",
        ),
        (
            r'a: "\ud800"',
            "1:7: not valid YAML: found invalid Unicode character escape code",
            r"1:4: '\ud800' is not valid Unicode text",
        ),
        (
            r'a: "\UFFFFFFFF"',
            "1:7: not valid YAML: found invalid Unicode character escape code",
            "1:1: not valid YAML: ",
        ),
        (
            f"%YAML {'9' * 5000}.1\n--- a",
            "1:16: not valid YAML: found extremely long version number",
            "1:1: not valid YAML: Exceeds the limit",
        ),
        ("a: \t1\n@", "2:1: text cannot begin with '@'", "1:4: a tab cannot indent YAML"),
    ],
)
def test_where_the_parsers_differ_both_are_clear(
    source: str, libyaml: str, python: str, parser: str
) -> None:
    assert mistake(source).startswith(libyaml if parser == "libyaml" else python)


def test_reading_goes_on_after_a_mistake_and_keeps_the_first_of_duplicates() -> None:
    problems = Problems(Path("f.yaml"))
    document = read_yaml(b"a: 1\na: {b: !x 2}\n3: 4\nc: 5\n*q", problems)
    assert document is None
    assert [problem.line for problem in problems.in_order()] == [2, 2, 3, 5]
    document = read_yaml(b"a: 1\na: {b: 2}\n3: 4\nc: 5", Problems(Path("f.yaml")))
    assert document is not None
    assert plain(document) == {"a": ("int", "1"), "c": ("int", "5")}


def test_an_alias_shares_what_its_anchor_names_and_stands_where_it_is_written() -> None:
    document = read("a: &x {k: [1]}\nb:\n  - *x\n  - &x y\n  - *x")
    assert plain(document) == {
        "a": {"k": [("int", "1")]},
        "b": [{"k": [("int", "1")]}, ("text", "y"), ("text", "y")],
    }
    assert isinstance(document, MapNode)
    copies = document.entries["b"].value
    assert isinstance(copies, ListNode)
    assert [(node.line, node.column) for node in copies.items] == [(3, 5), (4, 5), (5, 5)]


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def test_as_deep_as_is_allowed_and_no_deeper() -> None:
    read(nested(MAX_DEPTH))
    assert mistake(nested(MAX_DEPTH + 1)) == f"1:{MAX_DEPTH + 1}: nested too deeply"


@pytest.mark.parametrize(
    "source",
    [
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "\n".join(f"{' ' * level}a:" for level in range(1200)),
    ],
)
def test_absurd_depth_is_a_mistake_and_no_crash(source: str) -> None:
    assert mistake(source).endswith(": nested too deeply")


def test_levels_behind_an_alias_count() -> None:
    half = MAX_DEPTH // 2
    source = f"- &x {nested(half)}\n- "
    read(source + "[" * (half - 1) + "*x" + "]" * (half - 1))
    assert mistake(source + "[" * half + "*x" + "]" * half).endswith(": nested too deeply")


def test_a_ladder_of_aliases_is_too_deep_and_no_crash() -> None:
    rungs = "\n".join(f"- &a{n + 1} [*a{n}]" for n in range(5000))
    assert mistake(f"- &a0 []\n{rungs}").endswith(": nested too deeply")


def test_the_limit_of_size_counts_aliases_written_out() -> None:
    thousand = f"- &k [{','.join('x' * 999)}]\n"
    read(thousand + "- *k\n" * (MAX_SIZE // 1000 - 2))
    assert mistake(thousand + "- *k\n" * (MAX_SIZE // 1000)) == (
        f"{MAX_SIZE // 1000}:3: more than 1,000,000 values: too large"
    )


def test_a_billion_laughs_cost_nothing() -> None:
    lines = ["- &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"- &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]" for n in range(40)]
    start = time.process_time()
    assert mistake("\n".join(lines)).endswith(": more than 1,000,000 values: too large")
    assert time.process_time() - start < 20


def test_long_text_repeated_by_aliases_counts_by_its_length() -> None:
    text = f"- &t {'x' * 100_000}\n"
    assert mistake(text + "- *t\n" * 1000).endswith(": more than 1,000,000 values: too large")


def test_a_long_text_is_read() -> None:
    assert scalar("x" * 1_000_000) == ("text", "x" * 1_000_000)


TEXT = st.text(st.characters(max_codepoint=0xD7FF, exclude_characters="\x7f"), max_size=20)
SINGLE = st.none() | st.booleans() | st.integers() | TEXT
JSON = st.recursive(
    SINGLE | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(TEXT.filter("<<".__ne__), inner, max_size=4)
    ),
    max_leaves=20,
)


def as_plain(value: Any) -> Any:
    match value:
        case dict():
            return {name: as_plain(inner) for name, inner in value.items()}
        case list():
            return [as_plain(inner) for inner in value]
        case str():
            return ("text", value)
    kinds = {type(None): "null", bool: "bool", int: "int", float: "float"}
    return (kinds[type(value)], json.dumps(value))


@pytest.mark.parametrize("indent", [None, 2])
@settings(
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(value=JSON)
def test_json_is_read_as_json(indent: int | None, value: Any) -> None:
    assert plain(read(json.dumps(value, indent=indent))) == as_plain(value)
