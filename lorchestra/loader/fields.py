"""Reading the values of a mapping with their types checked, one key at a time.

Whatever is wrong is noted with its place and reads as None, so that the reading can go on and find
all mistakes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lorchestra.loader.nodes import Entry, ListNode, MapNode, Node, ScalarNode, described
from lorchestra.loader.problems import Problems
from lorchestra.wording import quoted

_MOST_DIGITS = 20  # of 2^64; Python itself refuses thousands, and is slow with hundreds
_MOST_WORKERS = 1_000_000


class Fields:
    """The keys of one mapping; keys that are not known are noted as mistakes at once.

    Args:
        node: The mapping.
        known: The keys that may be there.
        problems: Where mistakes are noted.
    """

    def __init__(self, node: MapNode, known: Sequence[str], problems: Problems) -> None:
        self.node = node
        self.problems = problems
        for name, entry in node.entries.items():
            if name not in known:
                guess = problems.guess(name, known)
                problems.add(entry.key, f"unknown key {quoted(name)}{guess}")

    def __contains__(self, name: str) -> bool:
        return name in self.node.entries

    def __getitem__(self, name: str) -> Entry:
        return self.node.entries[name]
