"""Secrets: which there are, and that what is shown has `***` in their place."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SHORTEST = 4  # of a shorter one every other word would be masked
MASKED = "***"
_ELLIPSIS = "..."  # what `wording.cut` puts where it cuts a value


@dataclass(frozen=True, slots=True)
class Secret:
    """A variable of the environment whose value is not to be shown.

    Attributes:
        name: The variable.
        file: The file that holds its value, relative to the project folder; None: it is set.
    """

    name: str
    file: str | None = None

    def definition(self) -> str | dict[str, dict[str, str]]:
        """The secret as it stands in a pipeline file."""
        return self.name if self.file is None else {self.name: {"file": self.file}}


def secrets_in(recorded: Any) -> list[Secret]:
    """The secrets that a run's record or a configuration names; what is none is left out."""
    found = []
    for item in recorded if isinstance(recorded, list) else ():
        if isinstance(item, str):
            found.append(Secret(item))
        elif isinstance(item, dict) and len(item) == 1:
            ((name, source),) = item.items()
            if isinstance(source, dict) and isinstance(source.get("file"), str):
                found.append(Secret(name, source["file"]))
    return found


class Mask:
    """Puts `***` in the place of secrets.

    Also where one stands as JSON, Python or a shell would write it, and each line of one with
    several. What has fewer than four characters is not masked.

    Attributes:
        longest: How many bytes the longest form of a secret has; 0: there is none.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms = {form for value in values for form in _forms(value) if len(form) >= SHORTEST}
        patterns = {form.encode("utf-8", "surrogatepass") for form in forms}
        patterns |= {os.fsencode(form) for form in forms if _is_of_the_system(form)}
        ordered = sorted(patterns, key=lambda pattern: (-len(pattern), pattern))
        self.longest = max(map(len, ordered), default=0)
        self._patterns = ordered
        self._pattern = re.compile(b"|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """The text without secrets."""
        if self._pattern is None:
            return text
        masked = self.content(text.encode("utf-8", "surrogatepass"))
        return masked.decode("utf-8", "surrogatepass")

    def message(self, text: str) -> str:
        """The same for a message, which may have quoted a value, and cut it with an ellipsis.

        It was made where nobody knew what is secret, so what is left of a secret may be any
        beginning of it.
        """
        *cut, rest = self.text(text).split(_ELLIPSIS)
        return _ELLIPSIS.join([*map(self._without_beginning, cut), rest])

    def _without_beginning(self, text: str) -> str:
        content = text.encode("utf-8", "surrogatepass")
        size = max((_beginning(pattern, content) for pattern in self._patterns), default=0)
        return content[: len(content) - size].decode("utf-8", "replace") + MASKED * bool(size)

    def data(self, data: Any) -> Any:
        """The value without secrets in its texts and in its keys, at any depth.

        A number that is a secret, but for its sign, is masked too: then a text stands there.
        """
        if self._pattern is None:
            return data
        if isinstance(data, int | float) and not isinstance(data, bool):
            digits = repr(data).removeprefix("-").encode()
            return MASKED if self._pattern.fullmatch(digits) else data
        if isinstance(data, str):
            return self.text(data)
        if isinstance(data, Mapping):
            return {self.data(key): self.data(value) for key, value in data.items()}
        if isinstance(data, list):
            return [self.data(value) for value in data]
        if isinstance(data, tuple):
            return tuple(map(self.data, data))
        return data

    def content(self, content: bytes) -> bytes:
        """The bytes without secrets."""
        return content if self._pattern is None else self._pattern.sub(MASKED.encode(), content)

    def tail(self, content: bytes) -> bytes:
        """The same for the end of something, which may begin in the middle of a secret."""
        cut = max((_overlap(pattern, content) for pattern in self._patterns), default=0)
        return (MASKED.encode() if cut else b"") + self.content(content[cut:])

    def stream(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same for bytes that come in pieces, which may end in the middle of a secret."""
        if self._pattern is None:
            yield from chunks
            return
        rest = b""
        for chunk in chunks:
            rest += chunk
            # Whatever begins before this is here to its end.
            whole = max(0, len(rest) - self.longest + 1)
            done, at = [], 0
            for match in self._pattern.finditer(rest):
                if match.start() >= whole:
                    break
                done += [rest[at : match.start()], MASKED.encode()]
                at = match.end()
            end = max(at, whole)
            yield b"".join([*done, rest[at:end]])
            rest = rest[end:]
        yield self.content(rest)


def _forms(value: str) -> Iterator[str]:
    import json

    for text in (value, *value.splitlines()):
        yield text
        yield text.strip()
        yield json.dumps(text)[1:-1]
        yield json.dumps(text, ensure_ascii=False)[1:-1]
        yield repr(text)[1:-1]
        yield shlex.quote(text).removeprefix("'").removesuffix("'")


def _beginning(pattern: bytes, content: bytes) -> int:
    """How many bytes at the end of the content are the beginning of a pattern."""
    sizes = range(min(len(pattern) - 1, len(content)), SHORTEST - 1, -1)
    return next((size for size in sizes if content.endswith(pattern[:size])), 0)


def _overlap(pattern: bytes, content: bytes) -> int:
    """How many bytes of the content are the end of a pattern that began before."""
    sizes = range(min(len(pattern) - 1, len(content)), 0, -1)
    return next((size for size in sizes if pattern.endswith(content[:size])), 0)


def _is_of_the_system(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True
