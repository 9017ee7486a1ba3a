"""From a node to a typed value.

Each function takes a node and what to call it in a message; it gives the value, or raises the
mistake, which says what was expected and what was found.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from lorchestra.durations import EXAMPLES, MOST_S, seconds_in
from lorchestra.jsonvalues import INTEGERS
from lorchestra.loader.nodes import ListNode, MapNode, Node, ScalarNode, described
from lorchestra.loader.problems import Mistake
from lorchestra.seats import MOST_WORKERS

LONGEST_LABEL = 200

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
    return whole_number(node, what, 1, MOST_WORKERS)


def whole_number(node: Node, what: str, least: int, most: int) -> int:
    """A whole number between two others, both included."""
    expected = f"a whole number of at least {least}"
    if not isinstance(node, ScalarNode) or node.kind != "int" or node.text.startswith("-"):
        raise _mismatch(node, what, expected)
    found = _integer(node.text)
    if found is not None and found < least:
        raise _mismatch(node, what, expected)
    if found is None or found > most:
        raise _mismatch(node, what, f"at most {most:,}")
    return found


def number(node: Node, what: str) -> float:
    """A number, with or without a fraction."""
    found = single(node, what) if isinstance(node, ScalarNode) else None
    if isinstance(found, int | float) and not isinstance(found, bool):
        return float(found)
    raise _mismatch(node, what, "a number")


def duration(node: Node, what: str) -> float:
    """A duration of more than nothing, in seconds."""
    seconds = duration_or_none(node, what)
    if seconds == 0:
        raise Mistake(node, f"{what} must be longer than nothing")
    return seconds


def duration_or_none(node: Node, what: str) -> float:
    """A duration, in seconds: a text such as `1h30m`, or a number of seconds."""
    seconds = None
    if isinstance(node, ScalarNode) and node.kind in {"int", "float"}:
        seconds = number(node, what)
    elif isinstance(node, ScalarNode) and node.kind == "text":
        seconds = seconds_in(node.text)
    if seconds is None or not 0 <= seconds <= MOST_S:
        raise _mismatch(node, what, f"a duration such as {EXAMPLES}")
    return seconds


def one_of(*words: str) -> Callable[[Node, str], str]:
    """Make the check for one of some words."""

    def check(node: Node, what: str) -> str:
        if not isinstance(node, ScalarNode) or node.text not in words:
            raise _mismatch(node, what, " or ".join(words))
        return node.text

    return check


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
            found: int | float | None = _integer(node.text)
        case "float":
            found = _finite(node.text)
    if found is None:
        raise Mistake(node, f"{what} has a number that JSON cannot hold: {described(node)}")
    return found


def _integer(written: str) -> int | None:
    """The integer; None beyond 64 bits."""
    if written.startswith(("0x", "0o")):
        number = int(written, 0)
    elif len(written) <= _MOST_DIGITS + 1:
        number = int(written)
    else:  # Python refuses thousands of digits
        return None
    return number if number in INTEGERS else None


def _finite(written: str) -> float | None:
    """The number; None for infinities and what is not a number."""
    if written.lower().endswith(("inf", "nan")):
        return None
    number = float(written)
    return number if math.isfinite(number) else None


def _mismatch(node: Node, what: str, expected: str) -> Mistake:
    return Mistake(node, f"{what} must be {expected}, not {described(node)}")
