"""With how many workers a stage runs, and what else is decided when a run starts: pure, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lorchestra.model import Pipeline, Stage


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
        halt: What such a failure means for the jobs that run, `soon` or `now`; None: as the file
            says.
        timeout_s: Seconds that the whole run may take; None: as the file says.
        grace_s: Seconds from being asked to end until a job is killed; None: as the file says.
    """

    max_workers: int | None = None
    stop_on_failure: bool | None = None
    halt: str | None = None
    timeout_s: float | None = None
    grace_s: float | None = None

    def __post_init__(self) -> None:
        if self.max_workers is not None and self.max_workers < 1:
            raise ValueError(f"max_workers is at least 1, not {self.max_workers}")

    def stops(self, pipeline: Pipeline, stage: Stage) -> bool:
        """Whether a failure in this stage ends the run."""
        for choice in (self.stop_on_failure, stage.stop_on_failure):
            if choice is not None:
                return choice
        return pipeline.stop_on_failure

    def over(self, pipeline: Pipeline) -> Pipeline:
        """The pipeline with what was decided here in place of what its file says."""
        return replace(
            pipeline,
            halt=self.halt or pipeline.halt,
            timeout_s=pipeline.timeout_s if self.timeout_s is None else self.timeout_s,
            grace_s=pipeline.grace_s if self.grace_s is None else self.grace_s,
        )
