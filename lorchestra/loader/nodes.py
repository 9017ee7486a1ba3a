"""What a YAML file holds, as plain values that know where they stand.

A scalar keeps its text as written beside what YAML takes it for: `8080` in an environment is the
text `8080`, as a number of workers it is a number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from lorchestra.wording import quoted

Kind = Literal["text", "int", "float", "bool", "null"]


@dataclass(slots=True)
class ScalarNode:
    """One single value; `kind` is what YAML takes `text` for."""

    line: int
    column: int
    kind: Kind
    text: str


@dataclass(slots=True)
class ListNode:
    """Values in order."""

    line: int
    column: int
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class MapNode:
    """Values by key; the keys are text, each once, in the order written."""

    line: int
    column: int
    entries: dict[str, Entry] = field(default_factory=dict)


class Entry(NamedTuple):
    """A key, where it stands, and its value."""

    key: ScalarNode
    value: Node


Node = ScalarNode | ListNode | MapNode


def described(node: Node) -> str:
    """What was found, as the end of a sentence: `a list`, `'four'`, `4`, `empty`."""
    match node:
        case MapNode():
            return "a mapping"
        case ListNode():
            return "a list"
        case ScalarNode(kind="text"):
            return quoted(node.text)
        case _:
            return node.text or "empty"


def node_of(value: Any) -> Node:
    """A value of a TOML file as the YAML of pipelines has it; nothing tells where it stands."""
    match value:
        case dict():
            entries = {
                name: Entry(ScalarNode(1, 1, "text", name), node_of(each))
                for name, each in value.items()
            }
            return MapNode(1, 1, entries)
        case list():
            return ListNode(1, 1, [node_of(each) for each in value])
        case bool():
            return ScalarNode(1, 1, "bool", str(value).lower())
        case int():
            return ScalarNode(1, 1, "int", str(value))
        case float():
            return ScalarNode(1, 1, "float", str(value))
    return ScalarNode(1, 1, "text", str(value))
