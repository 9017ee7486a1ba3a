"""Lines that fold, and marks of failures, as the pages of CI services show them.

GitHub Actions: docs.github.com, "Workflow commands"; GitLab: docs.gitlab.com, "Custom collapsible
sections"; Azure Pipelines: learn.microsoft.com, "Logging commands".
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

_NOT_IN_NAME = re.compile("[^a-z0-9_.-]+")
_ESCAPES = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_MORE_ESCAPES = {**_ESCAPES, ":": "%3A", ",": "%2C"}


class Folding(NamedTuple):
    """How a service is told.

    Attributes:
        begin: The line that begins what folds, with a title.
        end: The line that ends it, for the same title.
        failure: The line that marks a failure, with a title and a text.
        harmless: A line of somebody else so that it tells the service nothing.
    """

    begin: Callable[[str], str]
    end: Callable[[str], str]
    failure: Callable[[str, str], str]
    harmless: Callable[[str], str]

    def around(self, title: str, lines: Iterator[str]) -> Iterator[str]:
        """The lines, so that they fold."""
        yield self.begin(title)
        yield from map(self.harmless, lines)
        yield self.end(title)


def folding_of(environment: Mapping[str, str]) -> Folding | None:
    """The service whose job this process is; None: of none that is known."""
    if environment.get("GITHUB_ACTIONS") == "true":
        return _GITHUB
    if environment.get("GITLAB_CI") == "true":
        return _GITLAB
    if environment.get("TF_BUILD", "").lower() == "true":
        return _AZURE
    return None


def _escaped(text: str, escapes: Mapping[str, str]) -> str:
    return "".join(escapes.get(character, character) for character in text)


def _as_it_is(line: str) -> str:
    return line


# A command stands at the beginning of a line, and no line of a log does here.
_GITHUB = Folding(
    lambda title: f"::group::{_escaped(title, _ESCAPES)}",
    lambda _title: "::endgroup::",
    lambda title, text: (
        f"::error title={_escaped(title, _MORE_ESCAPES)}::{_escaped(text, _ESCAPES)}"
    ),
    _as_it_is,
)


def _section(title: str) -> str:
    return _NOT_IN_NAME.sub("_", title.lower()).strip("_")[:60] or "job"


_GITLAB = Folding(
    lambda title: (
        f"\x1b[0Ksection_start:{int(time.time())}:{_section(title)}[collapsed=true]\r\x1b[0K{title}"
    ),
    lambda title: f"\x1b[0Ksection_end:{int(time.time())}:{_section(title)}\r\x1b[0K",
    lambda title, text: f"\x1b[31mERROR: {title}: {text}\x1b[0m",
    _as_it_is,
)

_AZURE = Folding(
    lambda title: f"##[group]{title}",
    lambda _title: "##[endgroup]",
    lambda title, text: f"##vso[task.logissue type=error]{title}: {text}",
    # Its commands count wherever they stand.
    lambda line: line.replace("##vso[", "## vso[").replace("##[", "## ["),
)
