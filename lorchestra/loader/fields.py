"""The keys of one mapping, read one by one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

from lorchestra.loader.nodes import MapNode, Node, ScalarNode
from lorchestra.loader.problems import Problems
from lorchestra.wording import quoted

T = TypeVar("T")


class Fields:
    """Reads values by key; what is wrong is noted and reads as None, so that reading goes on.

    Args:
        node: The mapping.
        known: The keys that it may have; all others are mistakes, which are noted at once.
        problems: Where mistakes are noted.
    """

    def __init__(self, node: MapNode, known: Collection[str], problems: Problems) -> None:
        self.node = node
        self.problems = problems
        for name in node.entries:
            if name not in known:
                guess = problems.guess(name, known)
                problems.add(self.key(name), f"unknown key {quoted(name)}{guess}")

    def __contains__(self, name: str) -> bool:
        return name in self.node.entries

    def key(self, name: str) -> ScalarNode:
        """The key itself, to say where it stands."""
        return self.node.entries[name].key

    def read(self, name: str, check: Callable[[Node, str], T]) -> T | None:
        """The value of a key that may be missing."""
        entry = self.node.entries.get(name)
        return self.problems.check(check, entry.value, name) if entry else None

    def need(self, name: str, check: Callable[[Node, str], T], owner: str) -> T | None:
        """The value of a key that `owner` (`a stage`, for example) must have."""
        if name not in self:
            self.problems.add(self.node, f"{owner} needs {quoted(name)}")
        return self.read(name, check)
