"""From a node to the value that JSON has for it, at any depth."""

from __future__ import annotations

from typing import Any

from lorchestra.loader import values
from lorchestra.loader.nodes import ListNode, MapNode, Node, ScalarNode
from lorchestra.loader.problems import Problems


def data(node: Node, problems: Problems, what: str) -> Any:
    """The value of a node; what JSON cannot hold is noted as a mistake, and reads as None."""
    match node:
        case MapNode():
            return {key: data(entry.value, problems, what) for key, entry in node.entries.items()}
        case ListNode():
            return [data(item, problems, what) for item in node.items]
        case ScalarNode():
            return problems.check(values.single, node, what)
