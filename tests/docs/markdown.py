"""Pages of documentation as data: their sections, fenced blocks, tables and links.

A fenced block says behind its language what it is for:

    ```yaml title="ingest.yaml"     a file of the reader's project
    ```console                      commands after `$ `, and what they print
    ```sh                           a script
    ```python run                   a program
    ```sh no-run=set-up             not to be run by a test, and why
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

_FENCE = re.compile(r"(`{3,})([^`]*)")
_HEADING = re.compile(r"#{1,6} +(.+?)(?: +#+)?")
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_CELL_END = re.compile(r"(?<!\\)\|")
_NOT_IN_ANCHOR = re.compile(r"[^\w\- ]")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        line: Where its text begins, from 1.
        language: The first word after the fence.
        words: The other words: `title="a"` is `title` with the value `a`, `run` has no value.
        text: What stands between the fences.
    """

    line: int
    language: str
    words: dict[str, str]
    text: str


@dataclass
class Section:
    """What stands under one heading, up to the next of any level."""

    title: str = ""
    prose: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    def rows(self) -> list[list[str]]:
        """The cells of all tables, without their heads."""
        return [row for table in self._tables() for row in table[2:]]

    def column(self, number: int = 0) -> list[str]:
        """All code in one column of the tables, in order."""
        return [code for row in self.rows() for code in codes(row[number])]

    def _tables(self) -> Iterator[list[list[str]]]:
        table: list[list[str]] = []
        for line in [*self.prose, ""]:
            if line.startswith("|"):
                table.append(_cells(line))
            elif table:
                yield table
                table = []


class Page:
    """One file of documentation."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def text(self) -> str:
        """The whole file."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def sections(self) -> list[Section]:
        """Its sections in order; the first is what stands before the first heading."""
        return _sections(self.text)

    @property
    def blocks(self) -> list[Block]:
        """Its fenced blocks in order."""
        return [block for section in self.sections for block in section.blocks]

    def section(self, title: str) -> Section:
        """The section under a heading; back quotes in the heading do not count."""
        for section in self.sections:
            if section.title == title:
                return section
        raise LookupError(f"{self.path} has no section {title!r}")

    def links(self) -> list[str]:
        """The targets of its links."""
        prose = (line for section in self.sections for line in section.prose)
        return [target for line in prose for target in _LINK.findall(_CODE.sub("", line))]

    def anchors(self) -> set[str]:
        """What a link into the page can name, as GitHub makes it from the headings."""
        seen: Counter[str] = Counter()
        anchors = set()
        for section in self.sections[1:]:
            anchor = _NOT_IN_ANCHOR.sub("", section.title.lower()).replace(" ", "-")
            anchors.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
            seen[anchor] += 1
        return anchors


def codes(text: str) -> list[str]:
    """What stands in back quotes."""
    return _CODE.findall(text)


def _cells(line: str) -> list[str]:
    cells = _CELL_END.split(line.strip())[1:-1]
    return [cell.strip().replace("\\|", "|") for cell in cells]


def _sections(text: str) -> list[Section]:
    section = Section()
    sections = [section]
    lines = enumerate(text.splitlines(), start=1)
    for number, line in lines:
        if fence := _FENCE.fullmatch(line):
            section.blocks.append(_block(number, fence[1], fence[2], lines))
        elif heading := _HEADING.fullmatch(line):
            section = Section(heading[1].replace("`", ""))
            sections.append(section)
        elif line.lstrip().startswith("```"):
            raise ValueError(f"the fence in line {number} is indented: nothing would run it")
        else:
            section.prose.append(line)
    return sections


def _block(number: int, fence: str, info: str, lines: Iterator[tuple[int, str]]) -> Block:
    text = ""
    for _, line in lines:
        if line.strip() == fence:
            language, *words = shlex.split(info) or [""]
            return Block(number + 1, language, dict(map(_word, words)), text)
        text += f"{line}\n"
    raise ValueError(f"the fence in line {number} is never closed")


def _word(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value
