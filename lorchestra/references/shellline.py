"""Values in a line for the shell, so that data cannot become commands.

On POSIX a value is never part of the line: it goes into a variable, and the line gets `"${name}"`.
The shell does not read what a variable holds as commands again, wherever the reference stands. How
the line has to be written there, in quotes of its own, in the quotes around it or in none, is all
that depends on the reading of the line here: if that is ever wrong, a value is split into words,
and still not run.

On Windows, where `cmd` reads what variables hold as commands, a value stands in double quotes, and
one that cannot safely stand there is refused. That has not been tested on Windows.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from lorchestra.references.scope import (
    ReferenceFailedError,
    Scope,
    is_known,
    shown_part,
    text_for_program,
)
from lorchestra.references.template import Reference, Template, parse

_IS_WINDOWS = sys.platform == "win32"
_VARIABLE = "lorchestra_value_{}"
_UNSAFE_IN_CMD = re.compile(r'["%!\r\n]')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)")

Kind = Literal["code", "double", "single", "arithmetic", "comment", "here", "here as it is"]

# In these a text is a pattern, and quotes in it count also where there are some around it.
_OF_PATTERN = re.compile(r"\$\{!?(?:[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*?$!#-])(?:\[[^]]*\])?[#%/^,]")

_BLANK = " \t"
_ENDS_WORD = frozenset(" \t\n;&|()<>`")
_BEFORE_COMMAND = frozenset({"", "then", "do", "else", "elif", "if", "while", "until", "{", "!"})
_HERE_BEGINS = re.compile(r"<<-?[ \t]*[^\s;&|()<>`]*\Z")
_HERE = re.compile(r"<<(-?)[ \t]*((?:'[^'\n]*'|\"[^\"\n]*\"|\\.|[^\s;&|()<>`'\"\\])+)")


def shell_line(text: str, scope: Scope) -> tuple[str, dict[str, str]]:
    """A line for the shell with the values of its references, each as one word or part of one.

    Args:
        text: The line as it stands in the pipeline.
        scope: What its references stand for.

    Returns:
        The line, and the variables that it needs in its environment.

    Raises:
        ReferenceFailedError: One stands for nothing, for what no program can be given, for no
            number in arithmetic, or stands where no value can.
    """
    template = parse(text, in_loop=scope.in_loop)
    if not template.references:
        return "".join(map(str, template.parts)), {}
    return (_for_cmd if _IS_WINDOWS else _for_posix)(template, scope)


def shell_mistake(text: str, *, in_loop: bool = False) -> str | None:
    """What is wrong with where the references of a line stand; None: nothing is."""
    try:
        for part, place in _placed(parse(text, in_loop=in_loop)):
            if isinstance(part, Reference):
                _refuse(part, place)
    except ReferenceFailedError as error:
        return str(error)
    return None


def shown_line(text: str, scope: Scope) -> str:
    """A line for people, with its parameters in it, as one would write them in the shell."""
    template = parse(text, in_loop=scope.in_loop)
    return "".join(
        shlex.quote(shown_part(part, scope))
        if isinstance(part, Reference) and is_known(part, scope) and place.kind == "code"
        else shown_part(part, scope)
        for part, place in _placed(template)
    )


def _for_posix(template: Template, scope: Scope) -> tuple[str, dict[str, str]]:
    names: dict[str, str] = {}
    variables: dict[str, str] = {}
    line = []
    for part, place in _placed(template):
        if isinstance(part, str):
            line.append(part)
            continue
        _refuse(part, place)
        name = names.setdefault(part.text, _VARIABLE.format(len(names) + 1))
        variables[name] = text_for_program(part, scope)
        if place.kind == "arithmetic" and not _NUMBER.fullmatch(variables[name]):
            # Some shells run what stands in brackets in the text that they calculate with.
            raise ReferenceFailedError(part, "in arithmetic it must be a whole number")
        line.append(_written(name, place.kind))
    return "".join(line), variables


def _written(name: str, kind: Kind) -> str:
    if kind == "code":
        return f'"${{{name}}}"'
    return f"'\"${{{name}}}\"'" if kind == "single" else f"${{{name}}}"


def _refuse(reference: Reference, place: _Place) -> None:
    if place.is_escaped:
        reason = "a backslash stands before it; write $${ for a literal ${"
        raise ReferenceFailedError(reference, reason)
    if place.names_here_end:
        raise ReferenceFailedError(reference, "the end of a here-document cannot be a value")
    if place.kind == "here as it is":
        reason = "the shell puts nothing into a here-document whose end is quoted; unquote it"
        raise ReferenceFailedError(reference, reason)


def _for_cmd(template: Template, scope: Scope) -> tuple[str, dict[str, str]]:
    line = []
    for part in template.parts:
        if isinstance(part, str):
            line.append(part)
            continue
        value = text_for_program(part, scope)
        if _UNSAFE_IN_CMD.search(value):
            raise ReferenceFailedError(part, "cmd cannot be given quotes, % or ! or line breaks")
        line.append(f'"{value}"')
    return "".join(line), {}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the shell's grammar a part of a line begins."""

    kind: Kind
    is_escaped: bool
    names_here_end: bool


def _placed(template: Template) -> Iterator[tuple[str | Reference, _Place]]:
    reader = _Reader()
    for part in template.parts:
        yield part, _Place(reader.top.kind, reader.is_escaped, reader.names_here_end)
        if isinstance(part, str):
            reader.read(part)
        else:
            reader.pass_value()


@dataclass(slots=True)
class _Frame:
    """Something that is open: a quote, a substitution, a here-document."""

    kind: Kind
    closed_by: str = ""
    parentheses: int = 0  # open in arithmetic
    cases: int = 0  # `case` without its `esac`: their patterns end in a parenthesis
    here: list[tuple[str, bool, bool]] = field(default_factory=list)  # begin after this line


class _Reader:
    """Reads a line for the shell just far enough to know what is quoted. POSIX, with a bit of bash.

    Attributes:
        is_escaped: Whether a backslash stands before what comes next.
        names_here_end: Whether what comes next is the word that ends a here-document, or of it.
    """

    def __init__(self) -> None:
        self.is_escaped = False
        self.names_here_end = False
        self._stack = [_Frame("code")]
        self._word = ""
        self._word_before = ""
        self._here_line = ""

    @property
    def top(self) -> _Frame:
        """What is open innermost."""
        return self._stack[-1]

    def pass_value(self) -> None:
        """Pass over the place of a value."""
        self.is_escaped = self.names_here_end = False
        self._word += "\0"
        self._here_line += "\0"

    def read(self, text: str) -> None:
        """Read a piece of the line."""
        self.names_here_end = False
        at = 0
        while at < len(text):
            at += self._read(text, at)

    def _read(self, text: str, at: int) -> int:
        """Read what begins here; gives how many characters that was."""
        character = text[at]
        if self.is_escaped:
            self.is_escaped = False
            self._word += character
            return 1
        match self.top.kind:
            case "single":
                self._close_at(character)
                return 1
            case "comment":
                if character == "\n":
                    self._stack.pop()
                    self._end_line()
                return 1
            case "here" | "here as it is":
                return self._read_here(text, at)
            case "arithmetic":
                return self._read_arithmetic(text, at)
            case "double":
                return self._read_double(text, at)
            case _:
                return self._read_code(text, at)

    def _read_double(self, text: str, at: int) -> int:
        if self._close_at(text[at]):
            return 1
        return self._open_expansion(text, at)

    def _open_expansion(self, text: str, at: int) -> int:
        """What means something in quotes as well as outside of them."""
        if text[at] == "\\":
            self.is_escaped = True
        elif text.startswith("$((", at):
            self._push("arithmetic", "))")
            return 3
        elif text.startswith("$(", at):
            self._push("code", ")")
            return 2
        elif _OF_PATTERN.match(text, at):
            self._push("code", "}")
            return 2
        elif text.startswith("${", at):
            kind = self.top.kind if self.top.kind in {"code", "double"} else "double"
            self._push(kind, "}")
            return 2
        elif text[at] == "`":
            self._push("code", "`")
        return 1

    def _read_arithmetic(self, text: str, at: int) -> int:
        if self.top.parentheses == 0 and text.startswith("))", at):
            self._stack.pop()
            return 2
        if text[at] in "()":
            self.top.parentheses += 1 if text[at] == "(" else -1
            return 1
        return self._open_expansion(text, at)

    def _read_code(self, text: str, at: int) -> int:
        character = text[at]
        in_braces = self.top.closed_by == "}"
        if in_braces and self._close_at(character):
            return 1
        if not in_braces:
            if character == "#" and not self._word:
                self._push("comment")
                return 1
            if character in _ENDS_WORD:
                return self._end_word(text, at)
        self._word += character
        if character in "'\"":
            self._push("single" if character == "'" else "double", character)
            return 1
        return self._open_expansion(text, at)

    def _end_word(self, text: str, at: int) -> int:
        """Read what ends a word and stands in no quotes."""
        character = text[at]
        begins_command = self._take_word(character)
        if character == "\n":
            self._end_line()
        elif character == "(":
            if begins_command and text.startswith("((", at):
                self._push("arithmetic", "))")
                return 2
            self._push("code", ")")
        elif character == ")" and self.top.cases == 0:
            self._close_at(character)
        elif character == "`" and not self._close_at(character):
            self._push("code", "`")
        elif text.startswith("<<<", at):
            return 3
        elif _HERE_BEGINS.match(text, at):
            self.names_here_end = True
            return 2
        elif found := _HERE.match(text, at):
            end = found[2]
            plain = re.sub(r"['\"\\]", "", end)
            self.top.here.append((plain, bool(found[1]), plain != end))
            return len(found[0])
        return 1

    def _take_word(self, character: str) -> bool:
        """Take in the word that a character ends; tells whether a command may begin with that."""
        is_command = self._word_before in _BEFORE_COMMAND
        begins_command = is_command and not self._word
        if self._word == "case" and is_command:
            self.top.cases += 1
        elif self._word == "esac" and is_command and self.top.cases:
            self.top.cases -= 1
        if self._word or character not in _BLANK:
            self._word_before = self._word if character in _BLANK else ""
        self._word = ""
        return begins_command

    def _end_line(self) -> None:
        self._word_before = self._word = ""
        self._begin_here()

    def _begin_here(self) -> None:
        if self.top.here:
            end, _, is_quoted = self.top.here[0]
            self._stack.append(_Frame("here as it is" if is_quoted else "here", end))
            self._here_line = ""

    def _read_here(self, text: str, at: int) -> int:
        character = text[at]
        if character == "\n":
            end, strips_tabs, _ = self._stack[-2].here[0]
            line = self._here_line.lstrip("\t") if strips_tabs else self._here_line
            self._here_line = ""
            if line == end:
                self._stack.pop()
                self.top.here.pop(0)
                self._begin_here()
            return 1
        self._here_line += character
        return 1 if self.top.kind == "here as it is" else self._open_expansion(text, at)

    def _push(self, kind: Kind, closed_by: str = "") -> None:
        self._stack.append(_Frame(kind, closed_by))
        if kind == "code" and closed_by != "}":
            self._word = self._word_before = ""

    def _close_at(self, character: str) -> bool:
        if len(self._stack) == 1 or self.top.closed_by != character:
            return False
        closed = self._stack.pop()
        if closed.kind == "code":
            self._word = "\0"  # what was substituted is part of a word
        return True
