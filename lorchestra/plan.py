"""With how many workers a stage runs, and what else is decided when a run starts: pure, no I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lorchestra.errors import SelectionError
from lorchestra.model import Job, Pipeline, Stage
from lorchestra.wording import did_you_mean, near, quoted

NOT_SELECTED = "not selected"  # so begins the reason why a job that is left out does not run


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
        params: Parameters by name; the others have their defaults.
        only: Run these jobs alone; empty: all.
        from_stage: Run no stage before this one.
        tags: Run only jobs that have one of these; empty: all.
        schedule: In which order the jobs of a stage start, `longest-first` or `declared`; None: as
            the file says.
    """

    max_workers: int | None = None
    stop_on_failure: bool | None = None
    halt: str | None = None
    timeout_s: float | None = None
    grace_s: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    from_stage: str | None = None
    tags: tuple[str, ...] = ()
    schedule: str | None = None

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
            schedule=self.schedule or pipeline.schedule,
            timeout_s=pipeline.timeout_s if self.timeout_s is None else self.timeout_s,
            grace_s=pipeline.grace_s if self.grace_s is None else self.grace_s,
        )


def left_out(pipeline: Pipeline, options: Options) -> dict[str, str]:
    """The jobs that are not selected, each with the reason.

    Raises:
        SelectionError: A job, stage or tag that was asked for is not there, or no job is left.
    """
    stages = [stage.name for stage in pipeline.stages]
    groups = [name for stage in pipeline.stages for name in stage.groups]
    _refuse_unknown("job", options.only, [*groups, *(job.id for job in pipeline.jobs)])
    _refuse_unknown("tag", options.tags, {tag for job in pipeline.jobs for tag in job.tags})
    if options.from_stage is not None:
        _refuse_unknown("stage", [options.from_stage], stages)
    first = 0 if options.from_stage is None else stages.index(options.from_stage)
    reasons = {
        job.id: reason
        for number, stage in enumerate(pipeline.stages)
        for job in stage.jobs
        if (reason := _why_left_out(job, options, is_before=number < first))
    }
    if reasons and len(reasons) == len(pipeline.jobs):
        raise SelectionError("no job is selected: none is all that was asked for")
    return reasons


def _why_left_out(job: Job, options: Options, *, is_before: bool) -> str | None:
    if is_before:
        return f"{NOT_SELECTED}: its stage is before {options.from_stage!r}"
    names = {job.id} if job.item is None else {job.id, job.item.of}
    if options.only and names.isdisjoint(options.only):
        return f"{NOT_SELECTED}: it is not among the jobs asked for"
    if options.tags and not set(options.tags) & set(job.tags):
        return f"{NOT_SELECTED}: it has none of the tags asked for"
    return None


def _refuse_unknown(what: str, names: Sequence[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            guesses = did_you_mean(near(name, known))
            raise SelectionError(f"the pipeline has no {what} {quoted(name)}{guesses}")
