"""What is to be started, and with how many workers: pure decisions, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lorchestra.model import Job, Outcome, Pipeline, Stage


def workers_for(stage: Stage, requested: int | None) -> int:
    """How many jobs of a stage run at once.

    What was asked for when the run was started, else what the stage says, else 1; never more than
    the stage allows, nor than it has jobs.
    """
    workers = requested or stage.max_workers or 1
    return min(workers, stage.max_workers or workers, len(stage.jobs))


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line decides for a run, over what the pipeline's file says.

    Attributes:
        max_workers: How many jobs at once; None: the stage's own number, else 1.
        stop_on_failure: Start nothing after a failure; None: as the file says.
        params: Parameters by name; the others have their defaults.
    """

    max_workers: int | None = None
    stop_on_failure: bool | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_workers is not None and self.max_workers < 1:
            raise ValueError(f"max_workers is at least 1, not {self.max_workers}")

    def stops(self, pipeline: Pipeline, stage: Stage) -> bool:
        """Whether a failure in this stage ends the run."""
        for choice in (self.stop_on_failure, stage.stop_on_failure):
            if choice is not None:
                return choice
        return pipeline.stop_on_failure


class StageQueue:
    """The jobs of a stage that have not started, in the order written. Not thread-safe."""

    def __init__(self, jobs: Sequence[Job], *, stop_on_failure: bool) -> None:
        self._jobs = iter(jobs)
        self._stop_on_failure = stop_on_failure
        self.halted_by: str | None = None

    def next(self) -> Job | None:
        """The job to start now; None: there is none to start any more."""
        return None if self.halted_by is not None else next(self._jobs, None)

    def finished(self, job: Job, outcome: Outcome) -> None:
        """Take in how a job ended."""
        if self._stop_on_failure and not outcome.succeeded:
            self.halt(f"job {job.id!r} did not succeed")

    def halt(self, reason: str) -> None:
        """Start nothing more."""
        self.halted_by = self.halted_by or reason

    def rest(self) -> list[Job]:
        """The jobs that never started."""
        return list(self._jobs)
