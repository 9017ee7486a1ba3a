"""What stops the reading of a YAML file, in words that a person understands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yaml import Mark

TOO_DEEP = "nested too deeply"

_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_INDENTATION = "; check the indentation, and the quotes before it"
_TAB = "a tab cannot indent YAML; use spaces"

# A part of what the parser says, and what that means; libyaml and PyYAML's own parser differ in
# their words. `{start}` is the line of the thing that was being read.
_MEANINGS = (
    (
        "mapping values are not allowed",
        "no ':' is possible here: check the indentation, and put text that contains ': ' in quotes",
    ),
    ("entries are not allowed", "no '-' is possible here: begin the list on a line of its own"),
    ("',' or ']'", "expected ',' or ']' in the list that begins in line {start}"),
    ("',' or '}'", "expected ',' or '}' in the mapping that begins in line {start}"),
    ("expected '-' indicator", "expected '-' as in line {start}" + _INDENTATION),
    ("expected key", "expected a key of the mapping that begins in line {start}" + _INDENTATION),
    ("<block end>", "this does not go on with what begins in line {start}" + _INDENTATION),
    ("unknown escape character", "unknown escape after '\\': use single quotes, or '\\\\'"),
    ("tab character", _TAB),
    ("node content", "expected a value here"),
    ("comment or line break", "text after '|' or '>' begins on the next line"),
    ("chomping or indentation", "text after '|' or '>' begins on the next line"),
    ("document start", "nothing may follow the end of the document"),
    ("undefined tag handle", "tags are not supported"),
    ("maximum nesting depth", TOO_DEEP),
)
# The same for mistakes that are better shown where the thing begins than where reading stopped.
_MEANINGS_AT_START = (
    ("could not find expected ':'", "expected 'key: value', but there is no ':' after this"),
    ("end of stream", "the quote that opens here is never closed"),
    ("document indicator", "the quote that opens here is never closed"),
    ("document separator", "the quote that opens here is never closed"),
    ("alphabetic or numeric character", "text cannot begin with '*' or '&'; put it in quotes"),
)


class YamlError(Exception):
    """The file cannot be read beyond this place; line and column from 1."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(line, column, message)
        self.line = line
        self.column = column
        self.message = message


def _at(mark: Mark, message: str) -> YamlError:
    """An error at a place that the parser knows."""
    return YamlError(mark.line + 1, mark.column + 1, message)


def explained(error: Exception, text: str) -> YamlError:
    """What an error of the parser means, at the place where a person would look.

    Args:
        error: What the parser raised.
        text: What it was reading.
    """
    problem = " ".join(str(getattr(error, "problem", None) or error).split())
    stopped: Mark | None = getattr(error, "problem_mark", None)
    if stopped is None:
        return YamlError(1, 1, f"not valid YAML: {problem}")
    started: Mark = getattr(error, "context_mark", None) or stopped
    if "cannot start any token" in problem:
        return _at(stopped, _unquoted(text[stopped.index : stopped.index + 1]))
    if meaning := _meaning(problem, _MEANINGS_AT_START):
        return _at(started, meaning)
    meaning = _meaning(problem, _MEANINGS) or f"not valid YAML: {problem}"
    message = meaning.replace("{start}", str(started.line + 1))
    for mark in (stopped, started):
        # The end of the file is no place to look at.
        if text[mark.index :].strip():
            return _at(mark, message)
    return _at_end(text, message)


def _at_end(text: str, message: str) -> YamlError:
    """An error where the last thing that was written ends."""
    line, column = place_after(text.rstrip()[:-1])
    return YamlError(line, column, message)


def place_after(text: str) -> tuple[int, int]:
    """The line and column, from 1, of what follows a text, with lines as YAML has them."""
    lines = _LINE_BREAK.split(text)
    return len(lines), len(lines[-1]) + 1


def _meaning(problem: str, meanings: tuple[tuple[str, str], ...]) -> str | None:
    return next((meaning for part, meaning in meanings if part in problem), None)


def _unquoted(character: str) -> str:
    if character == "\t":
        return _TAB
    return f"text cannot begin with {character!r} here; put it in quotes"
