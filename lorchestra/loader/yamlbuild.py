"""From the events of the YAML parser to nodes, within limits of depth and size."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import cast

import yaml

from lorchestra.loader.nodes import Entry, Kind, ListNode, MapNode, Node, ScalarNode, described
from lorchestra.loader.problems import Problems
from lorchestra.loader.yamlerror import TOO_DEEP, YamlError
from lorchestra.wording import quoted

MAX_DEPTH = 100  # far below where orjson (254 levels) and Python's own recursion end
MAX_SIZE = 1_000_000  # values, and hundreds of characters, with every alias written out

_STANDARD = "tag:yaml.org,2002:"
_SURROGATE = re.compile("[\ud800-\udfff]")
_PLAIN = re.compile(
    r"(?P<null>|~|null|Null|NULL)"
    r"|(?P<bool>true|True|TRUE|false|False|FALSE)"
    r"|(?P<int>[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+)"
    r"|(?P<float>[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))"
)


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not been read yet."""

    node: ListNode | MapNode
    anchor: str | None = None
    size_before: int = 0
    deepest: int = 0  # the deepest level inside it, counted from the document
    awaits_value: bool = False
    key: ScalarNode | None = None  # of the value awaited; None: that value has no place


@dataclass(frozen=True, slots=True)
class _Anchored:
    """What an alias stands for: the node, its size written out, and the levels inside it."""

    node: Node
    size: int
    levels: int


class NodeBuilder:
    """Builds the nodes of one file; mistakes that do not stop it go to `problems`."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._documents = ListNode(1, 1)
        self._open = [_Open(self._documents)]
        self._anchors: dict[str, _Anchored | None] = {}  # None: not closed yet
        self._size = 0

    def document(self, events: Iterable[yaml.Event]) -> Node | None:
        """The one document that the events make up; None, and a mistake, if there is nothing.

        Raises:
            YamlError: It is too deep or too large, or an alias stands for nothing.
        """
        for event in events:
            self._take(event)
        if not self._documents.items or _is_blank(self._documents.items[0]):
            self._problems.add(self._documents, "the file is empty")
            return None
        return self._documents.items[0]

    def _take(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.MappingStartEvent():
                self._begin(event, "map", MapNode(*_place(event)))
            case yaml.SequenceStartEvent():
                self._begin(event, "seq", ListNode(*_place(event)))
            case yaml.CollectionEndEvent():
                self._end()
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.DocumentStartEvent():
                self._begin_document(event)

    def _begin_document(self, event: yaml.DocumentStartEvent) -> None:
        if self._documents.items:
            raise YamlError(*_place(event), "a second document begins here; a file holds one")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        node = ScalarNode(*_place(event), _kind(event), event.value)
        size = 1 + len(node.text) // 100
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(node, size, 0)
        if not node.text.isascii() and _SURROGATE.search(node.text):
            self._problems.add(node, f"{described(node)} is not valid Unicode text")
        self._check_tag(event, "str", node)
        self._add(node, size)

    def _begin(self, event: yaml.CollectionStartEvent, kind: str, node: ListNode | MapNode) -> None:
        self._check_tag(event, kind, node)
        if event.anchor:
            self._anchors[event.anchor] = None
        opened = _Open(node, event.anchor, self._size)
        self._add(node, 1)
        self._open.append(opened)
        self._reach(node, len(self._open) - 1)

    def _end(self) -> None:
        closed = self._open.pop()
        around = self._open[-1]
        around.deepest = max(around.deepest, closed.deepest)
        if closed.anchor:
            size = self._size - closed.size_before
            levels = closed.deepest - len(self._open) + 1
            self._anchors[closed.anchor] = _Anchored(closed.node, size, levels)

    def _alias(self, event: yaml.AliasEvent) -> None:
        line, column = _place(event)
        name = cast(str, event.anchor)
        if name not in self._anchors:
            raise YamlError(
                line, column, f"*{name} stands for nothing above it; put text in quotes"
            )
        anchored = self._anchors[name]
        if anchored is None:
            raise YamlError(line, column, f"*{name} stands for a value that contains it")
        node = replace(anchored.node, line=line, column=column)
        self._reach(node, len(self._open) - 1 + anchored.levels)
        self._add(node, anchored.size)

    def _reach(self, node: Node, level: int) -> None:
        if level > MAX_DEPTH:
            raise YamlError(node.line, node.column, TOO_DEEP)
        self._open[-1].deepest = max(self._open[-1].deepest, level)

    def _add(self, node: Node, size: int) -> None:
        self._size += size
        if self._size > MAX_SIZE:
            raise YamlError(node.line, node.column, f"more than {MAX_SIZE:,} values: too large")
        around = self._open[-1]
        if isinstance(around.node, ListNode):
            around.node.items.append(node)
        elif around.awaits_value:
            around.awaits_value = False
            if around.key:
                around.node.entries[around.key.text] = Entry(around.key, node)
        else:
            around.awaits_value = True
            around.key = self._key(node, around.node)

    def _key(self, node: Node, mapping: MapNode) -> ScalarNode | None:
        """The node as a key; None, and a mistake, if it can be none."""
        if not isinstance(node, ScalarNode) or node.kind != "text":
            self._problems.add(node, f"a key must be text, not {described(node)}")
        elif first := mapping.entries.get(node.text):
            line = first.key.line
            self._problems.add(node, f"duplicate key {quoted(node.text)} (first in line {line})")
        elif node.text == "<<":
            self._problems.add(node, "merge keys (<<) are not supported; write the keys out")
        else:
            return node
        return None

    def _check_tag(
        self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, kind: str, node: Node
    ) -> None:
        if event.tag not in {None, "!", _STANDARD + kind}:
            tag = (event.tag or "").replace(_STANDARD, "!!")
            self._problems.add(node, f"the tag {quoted(tag)} is not supported; leave it out")


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = cast(yaml.Mark, event.start_mark)
    return mark.line + 1, mark.column + 1


def _kind(event: yaml.ScalarEvent) -> Kind:
    plain = event.tag is None and event.implicit[0] and _PLAIN.fullmatch(event.value)
    return cast(Kind, plain.lastgroup) if plain else "text"


def _is_blank(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.kind == "null" and not node.text
