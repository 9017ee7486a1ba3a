"""The events of a run, in the order in which they happen.

Handlers are called one at a time, from the thread that runs the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lorchestra.model import Outcome


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run has been recorded; nothing of it has started."""

    run_id: str
    pipeline_id: str
    stages: int
    jobs: int
    store: str


@dataclass(frozen=True, slots=True)
class OrphanFound:
    """A process of the killed run is still at work: it is waited for, or stopped."""

    job_id: str
    pid: int
    is_stopped: bool


@dataclass(frozen=True, slots=True)
class JobChosen:
    """What a resume does with a job: `is_kept`, or run it; and why."""

    stage: str
    job_id: str
    is_kept: bool
    reason: str


@dataclass(frozen=True, slots=True)
class LoopUnfolded:
    """The items of a loop are known: so many, for these jobs as written."""

    stage: str
    job_ids: tuple[str, ...]
    items: int


@dataclass(frozen=True, slots=True)
class ItemGone:
    """A job that a loop made in the run before is not made any more."""

    stage: str
    job_id: str


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage begins, with so many workers; its jobs start as written, or the longest first."""

    stage: str
    jobs: int
    workers: int
    longest_first: bool = False


@dataclass(frozen=True, slots=True)
class JobHeld:
    """A job has been waiting for limits for a second: told once each time that it has to wait."""

    stage: str
    job_id: str
    limits: tuple[str, ...]  # each with the reason: `bigquery (2 of 2 in use)`


@dataclass(frozen=True, slots=True)
class JobStarted:
    """An attempt of a job begins."""

    stage: str
    job_id: str
    attempt: int
    log_path: str = field(default="", compare=False)  # where what it prints goes


@dataclass(frozen=True, slots=True)
class JobFinished:
    """An attempt of a job has ended and is recorded."""

    stage: str
    job_id: str
    attempt: int
    outcome: Outcome
    duration_s: float
    log_path: str
    again_in_s: float | None = None  # when it is tried again; None: it is not


@dataclass(frozen=True, slots=True)
class JobGivenUp:
    """A job that was to be tried again will not be: how its last attempt ended counts."""

    stage: str
    job_id: str
    tries: int
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class JobNotRun:
    """A job will not run, and why; one that had attempts stays what it was `before`."""

    stage: str
    job_id: str
    status: str
    reason: str
    before: str | None = None


@dataclass(frozen=True, slots=True)
class StageFinished:
    """All jobs of a stage have ended, or will not run."""

    stage: str
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run has ended and its record is complete."""

    run_id: str
    status: str
    counts: Mapping[str, int]
    duration_s: float
    receipt: str


@dataclass(frozen=True, slots=True)
class HookFailed:
    """A hook did not do what it was to do, which changes nothing.

    `number`: which of its moment, from 1.
    """

    hook: str
    number: int
    error: str


@dataclass(frozen=True, slots=True)
class InChild:
    """Something has happened in the pipeline that a job is."""

    job_id: str
    event: Event


Event = (
    OrphanFound
    | RunStarted
    | JobChosen
    | StageStarted
    | JobHeld
    | JobStarted
    | JobFinished
    | JobGivenUp
    | JobNotRun
    | StageFinished
    | RunFinished
    | HookFailed
    | LoopUnfolded
    | ItemGone
    | InChild
)
Handler = Callable[[Event], object]
