"""The errors of lorchestra, each with the exit code that the command line answers.

An exception means that the tool could not do its work. A job that failed is not one: it is an
`Outcome`, and the run goes on to its end. Every error keeps what it was made from as attributes,
builds its message from them, and survives pickling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

EXIT_OK = 0
EXIT_JOB_FAILED = 1
EXIT_USAGE = 2
EXIT_STORE = 3
EXIT_GUARD_HELD = 75
EXIT_SIGHUP = 129
EXIT_SIGINT = 130
EXIT_SIGTERM = 143

_SHOWN = 10


class LorchestraError(Exception):
    """Base of all errors of lorchestra; `exit_code` is what the command line exits with."""

    exit_code = EXIT_USAGE


class PipelineNotFoundError(LorchestraError, LookupError):
    """No pipeline file has the name that was asked for.

    Attributes:
        name: What was asked for.
        searched: Every path that was tried, in order.
        near: Names of pipelines that exist and look alike, best first.
    """

    def __init__(self, name: str, searched: Sequence[str] = (), near: Sequence[str] = ()) -> None:
        super().__init__(name, searched, near)
        self.name = name
        self.searched = tuple(searched)
        self.near = tuple(near)

    def __str__(self) -> str:
        text = f"no pipeline {self.name!r}"
        if self.near:
            text += f" (did you mean {' or '.join(self.near)}?)"
        if self.searched:
            text += f"; looked for {', '.join(self.searched)}"
        return text


class UnreadableFileError(LorchestraError):
    """A pipeline or job file, or a folder of them, cannot be read; `path` names it."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot read {self.path}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file: where it stands (line and column from 1) and what is wrong."""

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.message}"


class PipelineSyntaxError(LorchestraError, ValueError):
    """A pipeline or job file is wrong; `problems` lists every mistake found, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    @property
    def path(self) -> str:
        """The file of the first mistake."""
        return self.problems[0].path

    @property
    def line(self) -> int:
        """The line of the first mistake, from 1."""
        return self.problems[0].line

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class OrphansError(LorchestraError):
    """Jobs of a killed run are still at work, so the run is not resumed beside them.

    Attributes:
        run_id: The run.
        orphans: The job, the attempt and the pid of each process.
        detail: What more there is to say; empty: nothing.
    """

    exit_code = EXIT_GUARD_HELD

    def __init__(
        self, run_id: str, orphans: Sequence[tuple[str, int, int]], detail: str = ""
    ) -> None:
        super().__init__(run_id, orphans, detail)
        self.run_id = run_id
        self.orphans = tuple(orphans)
        self.detail = detail

    def __str__(self) -> str:
        shown = [f"{job_id!r} (pid {pid})" for job_id, _, pid in self.orphans[:_SHOWN]]
        if len(self.orphans) > _SHOWN:
            shown.append("...")
        named = f"jobs of run {self.run_id} are still at work: {', '.join(shown)}"
        return f"{named}; {self.detail}" if self.detail else named


class ParameterError(LorchestraError, ValueError):
    """Parameters were given that a pipeline cannot take; `mistakes` lists them all."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__(mistakes)
        self.mistakes = tuple(mistakes)

    def __str__(self) -> str:
        return "; ".join(self.mistakes)


class SelectionError(LorchestraError, LookupError):
    """The jobs that were selected are not there; `reason` says which."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LoopError(LorchestraError, ValueError):
    """A loop cannot be unfolded: it has no items, or they cannot be told apart; `reason` says why.

    Where that shows only while the run goes on, a job fails instead.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ReferenceSyntaxError(LorchestraError, ValueError):
    """A text begins a reference that is none; `reason` says what is wrong."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnknownReferenceError(LorchestraError, LookupError):
    """References of jobs stand for nothing; `mistakes` lists them all."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__(mistakes)
        self.mistakes = tuple(mistakes)

    def __str__(self) -> str:
        return "; ".join(self.mistakes)


class LimitError(LorchestraError, ValueError):
    """Limits that jobs need are not there, or never large enough; `mistakes` lists them all."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__(mistakes)
        self.mistakes = tuple(mistakes)

    def __str__(self) -> str:
        return "; ".join(self.mistakes)


class ConfigError(LorchestraError, ValueError):
    """A configuration file or an environment variable is wrong; `source` names it."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(source, reason)
        self.source = source
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


class Interrupted(KeyboardInterrupt):
    """A signal came before there was a run that it could stop; `signal` is its number."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal

    @property
    def exit_code(self) -> int:
        """What the command line exits with."""
        return 128 + self.signal
