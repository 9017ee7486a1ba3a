"""From a node to a typed value.

Each function takes a node and what to call it in a message; it gives the value, or raises the
mistake, which says what was expected and what was found.
"""

from __future__ import annotations

import math
import re

from lorchestra.loader.nodes import ListNode, MapNode, Node, ScalarNode, described
from lorchestra.loader.problems import Mistake

MOST_WORKERS = 1_000_000
LONGEST_LABEL = 200

_INTEGERS = range(-(2**63), 2**64)  # what orjson, and so a record, can hold
_MOST_DIGITS = 20
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def mapping(node: Node, what: str) -> MapNode:
    """A mapping, which may be empty."""
    if isinstance(node, MapNode):
        return node
    raise _mismatch(node, what, "a mapping")


def listing(node: Node, what: str) -> ListNode:
    """A list, which may be empty."""
    if isinstance(node, ListNode):
        return node
    raise _mismatch(node, what, "a list")


def text(node: Node, what: str) -> str:
    """Text, which may be empty."""
    if isinstance(node, ScalarNode) and node.kind == "text":
        return node.text
    in_quotes = "text in quotes" if isinstance(node, ScalarNode) and node.text else "text"
    raise _mismatch(node, what, in_quotes)


def written(node: Node, what: str) -> str:
    """Text for another program: plain numbers, `true` and `false` count as they are written."""
    if not isinstance(node, ScalarNode) or node.kind == "null":
        raise _mismatch(node, what, "text")
    if "\0" in node.text:
        raise Mistake(node, f"{what} must not contain a NUL byte")
    return node.text


def filled(node: Node, what: str) -> str:
    """Text for another program with more than white space in it."""
    value = written(node, what)
    if not value.strip():
        raise Mistake(node, f"{what} must not be empty")
    return value


def label(node: Node, what: str) -> str:
    """A short name on one line."""
    name = text(node, what)
    if mistake := label_mistake(name):
        raise Mistake(node, f"{what} {mistake}")
    return name


def label_mistake(name: str) -> str | None:
    """What is wrong with a short name, as the end of a sentence; None if nothing is."""
    if not name.strip():
        return "must not be empty"
    if len(name) > LONGEST_LABEL:
        return f"must have at most {LONGEST_LABEL} characters, not {len(name):,}"
    if _UNPRINTABLE.search(name):
        return "must not contain control characters"
    return None


def flag(node: Node, what: str) -> bool:
    """True or false."""
    if isinstance(node, ScalarNode) and node.kind == "bool":
        return node.text.lower() == "true"
    raise _mismatch(node, what, "true or false")


def workers(node: Node, what: str) -> int:
    """A number of workers."""
    if not isinstance(node, ScalarNode) or node.kind != "int" or node.text.startswith("-"):
        raise _mismatch(node, what, "a whole number of at least 1")
    number = _integer(node.text)
    if number == 0:
        raise _mismatch(node, what, "a whole number of at least 1")
    if number is None or number > MOST_WORKERS:
        raise _mismatch(node, what, f"at most {MOST_WORKERS:,}")
    return number


def single(node: ScalarNode, what: str) -> str | int | float | bool | None:
    """What YAML takes a scalar for, if JSON can hold it."""
    match node.kind:
        case "text":
            return node.text
        case "null":
            return None
        case "bool":
            return node.text.lower() == "true"
        case "int":
            number: int | float | None = _integer(node.text)
        case "float":
            number = _finite(node.text)
    if number is None:
        raise Mistake(node, f"{what} has a number that JSON cannot hold: {described(node)}")
    return number


def _integer(written: str) -> int | None:
    """The integer; None beyond 64 bits."""
    if written.startswith(("0x", "0o")):
        number = int(written, 0)
    elif len(written) <= _MOST_DIGITS + 1:
        number = int(written)
    else:  # Python refuses thousands of digits
        return None
    return number if number in _INTEGERS else None


def _finite(written: str) -> float | None:
    """The number; None for infinities and what is not a number."""
    if written.lower().endswith(("inf", "nan")):
        return None
    number = float(written)
    return number if math.isfinite(number) else None


def _mismatch(node: Node, what: str, expected: str) -> Mistake:
    return Mistake(node, f"{what} must be {expected}, not {described(node)}")
