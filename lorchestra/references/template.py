"""Where references stand in a text.

    @run.peek.items          a value that is nothing else; it keeps the type of what it stands for
    ${params.day}            inside a text; it becomes text
    @run.["a.b"].rows[0]     a name in brackets and quotes is taken as it is; a number is an index
    $${params.day}           the text `${params.day}`; likewise @@run.peek.items

Only what begins with one of `ROOTS` and a dot is a reference: `${HOME}` belongs to the shell, and
`$${HOME}` does too. Inside a loop the item itself is one besides: `@item` and `${item}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lorchestra.errors import ReferenceSyntaxError
from lorchestra.wording import did_you_mean, quoted

ROOTS = ("params", "payload", "env", "run", "item", "matrix")

Part = str | int

_STEP = r"""(?:\.[^\s.\[\]{}"'`$\\]+|\.?\[(?:[0-9]{1,9}|"(?:[^"\\]|\\.)*")\])"""
_STEPS = re.compile(f"(?=\\.)(?:{_STEP})+")
_ONE_STEP = re.compile(_STEP)
_OPENING = re.compile(r"(\$?)\$\{([A-Za-z_]\w*)(?=\.)")
_WHOLE = re.compile(r"(@?)@([A-Za-z_]\w*)(?=\.)")
_BARE = "item"
_BARE_OPENING = re.compile(r"(\$?)\$\{([A-Za-z_]\w*)(?=\.)|(\$?)\$\{item\}")
_NEAR = 0.8  # `items` and `item`, not `team` and `item`


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference: one of `ROOTS`, and the way from there.

    Attributes:
        root: Where the value is looked for.
        path: Names and indices, at least one; none for the item itself.
        text: As it was written.
        is_exact: Whether the first name stands in brackets, and so is not to be put together
            with those after it.
    """

    root: str
    path: tuple[Part, ...]
    text: str
    is_exact: bool = False

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Template:
    """A text cut at its references.

    Attributes:
        parts: Text and references, in order.
        is_whole: Whether it is one reference that keeps its type.
    """

    parts: tuple[str | Reference, ...]
    is_whole: bool = False

    @property
    def references(self) -> tuple[Reference, ...]:
        """The references alone."""
        return tuple(part for part in self.parts if isinstance(part, Reference))


def parse(text: str, *, in_loop: bool = False) -> Template:
    """Find the references of a text.

    Args:
        text: The text.
        in_loop: Whether `@item` and `${item}` are references too.

    Raises:
        ReferenceSyntaxError: One is begun and not finished, or its root is misspelled.
    """
    if "@" not in text and "$" not in text:
        return Template((text,) if text else ())
    if in_loop and text in {f"@{_BARE}", f"@@{_BARE}"}:
        item = Reference(_BARE, (), text)
        return Template((text[1:],)) if text.startswith("@@") else Template((item,), is_whole=True)
    if (whole := _WHOLE.match(text)) and (template := _whole(text, whole)):
        return template
    parts: list[str | Reference] = []
    end = 0
    for opening in (_BARE_OPENING if in_loop else _OPENING).finditer(text):
        escape, root = (opening[1], opening[2]) if opening[2] else (opening[3], _BARE)
        if opening.start() < end or not _is_ours(root, opening[0][len(escape) :], escape):
            continue
        parts.append(text[end : opening.start()])
        if escape:  # the first of two dollar signs goes
            end = opening.start() + 1
            continue
        found = _closed(text, opening) if opening[2] else Reference(_BARE, (), opening[0])
        parts.append(found)
        end = opening.start() + len(found.text)
    parts.append(text[end:])
    return Template(tuple(part for part in parts if part != ""))


def only_reference(text: str) -> Reference | None:
    """The reference that a text is, written in either way; None: it is more than that, or none.

    Raises:
        ReferenceSyntaxError: As `parse`.
    """
    parts = parse(text).parts
    first = parts[0] if len(parts) == 1 else None
    return first if isinstance(first, Reference) else None


def references_in(data: Any, *, in_loop: bool = False) -> Iterator[Reference]:
    """The references of all texts in a value, at any depth; keys have none.

    Raises:
        ReferenceSyntaxError: As `parse`.
    """
    if isinstance(data, str):
        yield from parse(data, in_loop=in_loop).references
    elif isinstance(data, dict):
        for value in data.values():
            yield from references_in(value, in_loop=in_loop)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from references_in(value, in_loop=in_loop)


def _whole(text: str, match: re.Match[str]) -> Template | None:
    """A text that is one reference; None: it only looks like one, as `@run.me if you can`."""
    escape, root = match.groups()
    steps = _STEPS.fullmatch(text, match.end())
    if steps is None and re.search(r"\s", text):
        return None
    if not _is_ours(root, text[len(escape) :][: len(root) + 1], escape):
        return None
    if escape:
        return Template((text[1:],))
    if steps is None:
        raise _malformed(text)
    return Template((_reference(root, steps[0], text),), is_whole=True)


def _is_ours(root: str, opening: str, escape: str) -> bool:
    if root in ROOTS:
        return True
    import difflib

    guesses = difflib.get_close_matches(root.casefold(), ROOTS, n=1, cutoff=_NEAR)
    if guesses and not escape:
        raise ReferenceSyntaxError(
            f"unknown reference {opening}...{did_you_mean(guesses)}; {_HOW_TO_ESCAPE}"
        )
    return bool(guesses)


def _closed(text: str, opening: re.Match[str]) -> Reference:
    steps = _STEPS.match(text, opening.end())
    if steps is None or not text.startswith("}", steps.end()):
        raise _malformed(text[opening.start() :].partition("}")[0])
    return _reference(opening[2], steps[0], text[opening.start() : steps.end() + 1])


def _reference(root: str, steps: str, text: str) -> Reference:
    written = _ONE_STEP.findall(steps)
    if root == "env" and len(written) > 1:
        raise ReferenceSyntaxError(f"{quoted(text)}: a variable of the environment has no fields")
    is_exact = written[0].removeprefix(".").startswith("[")
    try:
        return Reference(root, tuple(map(_part, written)), text, is_exact)
    except ValueError:
        raise _malformed(text) from None


def _part(step: str) -> Part:
    name = step.removeprefix(".")
    if not name.startswith("["):
        return name
    import json

    part: Part = json.loads(name[1:-1])
    return part


_HOW_TO_ESCAPE = "write $${ for a literal ${, and @@ for a literal @"


def _malformed(text: str) -> ReferenceSyntaxError:
    return ReferenceSyntaxError(
        f'{quoted(text)} is no reference: names and [0] or ["a name"] follow the first dot, '
        f"and }} follows them after ${{; {_HOW_TO_ESCAPE}"
    )
