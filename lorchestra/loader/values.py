"""From a node to a typed value.

Every function here takes a node, what to call it in a message, and where to note a mistake; it
gives the value, or None after noting what was expected and what was found.
"""

from __future__ import annotations

import math
import re
from typing import Any

from lorchestra.loader.nodes import ListNode, MapNode, Node, ScalarNode, described
from lorchestra.loader.problems import Problems

MOST_WORKERS = 1_000_000
LONGEST_LABEL = 200

_INTEGERS = range(-(2**63), 2**64)  # what a record can hold
_MOST_DIGITS = 20
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def mapping(node: Node, what: str, problems: Problems) -> MapNode | None:
    """A mapping, which may be empty."""
    if isinstance(node, MapNode):
        return node
    return _mismatch(node, what, "a mapping", problems)


def listing(node: Node, what: str, problems: Problems) -> ListNode | None:
    """A list, which may be empty."""
    if isinstance(node, ListNode):
        return node
    return _mismatch(node, what, "a list", problems)


def text(node: Node, what: str, problems: Problems) -> str | None:
    """Text, which may be empty."""
    if isinstance(node, ScalarNode) and node.kind == "text":
        return node.text
    return _mismatch(node, what, "text", problems)


def written(node: Node, what: str, problems: Problems) -> str | None:
    """Text for another program: numbers, `true` and `false` count as they are written."""
    if not isinstance(node, ScalarNode) or node.kind == "null":
        return _mismatch(node, what, "text", problems)
    if "\0" in node.text:
        return problems.add(node, f"{what} must not contain a NUL byte")
    return node.text


def filled(node: Node, what: str, problems: Problems) -> str | None:
    """The same, with more than white space in it."""
    value = written(node, what, problems)
    if value is not None and not value.strip():
        return problems.add(node, f"{what} must not be empty")
    return value


def label(node: Node, what: str, problems: Problems) -> str | None:
    """A short name on one line."""
    name = text(node, what, problems)
    if name is not None and (mistake := label_mistake(name)):
        return problems.add(node, f"{what} {mistake}")
    return name


def label_mistake(name: str) -> str | None:
    """What is wrong with a short name, as the end of a sentence; None if nothing is."""
    if not name.strip():
        return "must not be empty"
    if len(name) > LONGEST_LABEL:
        return f"must have at most {LONGEST_LABEL} characters, not {len(name):,}"
    if _CONTROL.search(name):
        return "must not contain control characters"
    return None


def flag(node: Node, what: str, problems: Problems) -> bool | None:
    """True or false."""
    if isinstance(node, ScalarNode) and node.kind == "bool":
        return node.text.lower() == "true"
    return _mismatch(node, what, "true or false", problems)


def workers(node: Node, what: str, problems: Problems) -> int | None:
    """A number of workers."""
    if isinstance(node, ScalarNode) and node.kind == "int":
        number = _integer(node.text)
        if number is None or number > MOST_WORKERS: ...
    return _mismatch(node, what, "a whole number of at least 1", problems)


def data(node: Node, what: str, problems: Problems) -> Any:
    """Plain data as JSON has it; the numbers that JSON cannot hold are mistakes."""
    match node:
        case MapNode():
            return {key: data(entry.value, what, problems) for key, entry in node.entries.items()}
        case ListNode():
            return [data(item, what, problems) for item in node.items]
        case ScalarNode(kind="text"):
            return node.text
        case ScalarNode(kind="bool"):
            return node.text.lower() == "true"
        case ScalarNode(kind="int" | "float"):
            return _number(node, what, problems)
    return None


def _number(node: ScalarNode, what: str, problems: Problems) -> int | float | None:
    number = _integer(node.text) if node.kind == "int" else _finite(node.text)
    if number is None:
        problems.add(node, f"{node.text} in {what} is no number that JSON can hold")
    return number
