"""The mistakes found so far, file by file, so that all of them can be told at once."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from lorchestra.errors import PipelineSyntaxError, Problem
from lorchestra.paths import shown_path
from lorchestra.references import Reference
from lorchestra.wording import did_you_mean, near, printable

# Comparing each of many unknown names with each of many known ones would be quadratic: after so
# many pairs of characters, about a second, the mistakes of a file get no more guesses.
_MOST_PAIRS_COMPARED = 10_000_000


class Place(Protocol):
    """Anything that knows where it stands: line and column, both from 1."""

    @property
    def line(self) -> int:
        """The line, from 1."""

    @property
    def column(self) -> int:
        """The column, from 1, in characters."""


PlaceT = TypeVar("PlaceT", bound=Place)
ValueT = TypeVar("ValueT")


class Mistake(Exception):  # noqa: N818 - not a failure: it becomes one of the problems
    """Something is wrong at a place; whoever reads on from there notes it."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(place, message)
        self.place = place
        self.message = message


class Use(NamedTuple):
    """A reference of a job, and where it stands: it is checked when all jobs are known.

    One of the job's loop itself says whether there is an item already: `in_loop`.
    """

    job_id: str
    reference: Reference
    place: Place
    problems: Problems
    in_loop: bool | None = None


class Need(NamedTuple):
    """A limit that a job needs, and where it says so: it is checked when all limits are known."""

    job_id: str
    name: str
    units: int
    place: Place
    problems: Problems


class Noted(NamedTuple):
    """What can only be checked when all files have been read."""

    uses: list[Use]
    needs: list[Need]


class Problems:
    """The mistakes of one file.

    Args:
        path: The file.
        noted: Where the references and limits of jobs are noted; those of all files come together
            there.
    """

    def __init__(self, path: Path, noted: Noted | None = None) -> None:
        self.path = shown_path(path)
        self.noted = noted or Noted([], [])
        self._found: list[Problem] = []
        self._pairs_left = _MOST_PAIRS_COMPARED

    def __len__(self) -> int:
        return len(self._found)

    def add(self, place: Place, message: str) -> None:
        """Note one more mistake; its message is one line, whatever is quoted in it."""
        self._found.append(Problem(self.path, place.line, place.column, printable(message)))

    def check(
        self, check: Callable[[PlaceT, str], ValueT], node: PlaceT, what: str
    ) -> ValueT | None:
        """The value that a check gives; None if it raised a mistake, which is noted."""
        try:
            return check(node, what)
        except Mistake as mistake:
            self.add(mistake.place, mistake.message)
            return None

    def guess(self, word: str, known: Collection[str]) -> str:
        """The question that names what may have been meant, for the end of a message."""
        if self._pairs_left > 0:
            self._pairs_left -= len(word) * sum(map(len, known))
        return did_you_mean(near(word, known, at_most=2)) if self._pairs_left > 0 else ""

    def in_order(self) -> list[Problem]:
        """All mistakes, in the order in which they stand in the file.

        What stands behind several aliases is read several times, and told once.
        """
        once = dict.fromkeys(self._found)
        return sorted(once, key=lambda problem: (problem.line, problem.column))


class Report:
    """The mistakes of all files that were read, the first file first."""

    def __init__(self) -> None:
        self._files: list[Problems] = []
        self._noted = Noted([], [])

    def of_inner(self) -> Report:
        """Begin to read a pipeline inside another: its jobs have nothing to do with those here."""
        inner = Report()
        inner._files = self._files
        return inner

    def of(self, path: Path) -> Problems:
        """Begin to read one more file."""
        problems = Problems(path, self._noted)
        self._files.append(problems)
        return problems

    def settle(self, value: ValueT | None) -> ValueT:
        """End the reading, and give what was read.

        Raises:
            PipelineSyntaxError: There was a mistake in one of the files.
        """
        told = (problem for problems in self._files for problem in problems.in_order())
        found = list(dict.fromkeys(told))  # a job file may be read for several pipelines
        if found or value is None:
            raise PipelineSyntaxError(found)
        return value
