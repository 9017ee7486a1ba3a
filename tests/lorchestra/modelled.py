"""A model of runs and resumes: what a plain loop over plain lists says must happen.

It knows nothing of the code: no queue, no record, no threads. A run has one worker, so that the
order of what happens is settled, and jobs that are tried again are so at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

WHY_AGAIN = {
    "failed": "failed before",
    "crashed": "was running when the run was killed",
}
GOOD = 0


@dataclass(frozen=True)
class ModelJob:
    """A job: the exit codes of its attempts in turn, after which it succeeds."""

    id: str
    codes: tuple[int, ...] = ()
    retries: int | None = None
    on_exit_codes: frozenset[int] | None = None
    allow_failure: bool = False
    version: int = 0

    def code_of(self, attempt: int) -> int:
        return self.codes[attempt - 1] if attempt <= len(self.codes) else GOOD


@dataclass(frozen=True)
class ModelStage:
    name: str
    jobs: tuple[ModelJob, ...]
    stop_on_failure: bool | None = None


@dataclass(frozen=True)
class Session:
    """One command: the pipeline as it is then, and where it is killed.

    Attributes:
        killed_after: After how many events; None: not at all.
    """

    stages: tuple[ModelStage, ...]
    stop_on_failure: bool = False
    only: frozenset[str] = frozenset()
    killed_after: int | None = None

    @property
    def jobs(self) -> list[ModelJob]:
        return [job for stage in self.stages for job in stage.jobs]


Told = tuple[str, ...]


@dataclass
class Model:
    """What a run is, session after session.

    Attributes:
        attempts: Of each job that it ever had: how its attempts ended.
        versions: As which version of itself, with which codes, each attempt of it ran.
        not_run: What this session has not run, and as what.
        status: The status of the run.
        jobs: The jobs of the last plan, in order.
    """

    attempts: dict[str, list[str]] = field(default_factory=dict)
    versions: dict[str, list[tuple[int, tuple[int, ...]]]] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)
    status: str = "none"
    jobs: list[str] = field(default_factory=list)
    chosen: dict[str, str] = field(default_factory=dict)

    def run(self, session: Session) -> list[Told]:
        """Go through one session; gives what is told, up to the kill."""
        is_resume = self.status != "none"
        known = set(self.jobs)
        self.jobs, self.not_run = [job.id for job in session.jobs], {}
        self.chosen = (
            {job.id: self._reason(job, job.id in known) for job in session.jobs}
            if is_resume
            else {}
        )
        self.status = "crashed"
        told: list[Told] = []
        for event in self._events(session):
            told.append(event)
            if len(told) == session.killed_after:
                break
        return told

    def _reason(self, job: ModelJob, known: bool) -> str:
        attempts = self.attempts.get(job.id, [])
        if not attempts:
            return "did not start" if known else "new in the pipeline"
        if attempts[-1] != "succeeded":
            return WHY_AGAIN[attempts[-1]]
        if self.versions[job.id][-1] != (job.version, job.codes):
            return "definition changed"
        return "succeeded before"

    def _events(self, session: Session) -> Iterator[Told]:
        """What happens, one thing after another; after each the model is as the record is."""
        yield ("RunStarted",)
        kept = {job_id for job_id, why in self.chosen.items() if why == "succeeded before"}
        for job_id, reason in self.chosen.items():
            yield ("JobChosen", job_id, reason)
        has_failed = is_halted = False
        for stage in session.stages:
            mine = [job for job in stage.jobs if job.id not in kept]
            for job in mine:
                if session.only and job.id not in session.only:
                    before = (self.attempts.get(job.id) or ["succeeded"])[-1]
                    may_fail = job.allow_failure and before == "failed"
                    has_failed |= before != "succeeded" and not may_fail
                    yield self._does_not_run(job, "skipped")
            mine = [job for job in mine if not session.only or job.id in session.only]
            if is_halted:
                for job in mine:
                    yield self._does_not_run(job, "skipped")
                continue
            if not mine:
                continue
            yield ("StageStarted", stage.name)
            stops = session.stop_on_failure or bool(stage.stop_on_failure)
            for job in mine:
                if is_halted:
                    yield self._does_not_run(job, "cancelled")
                    continue
                yield from self._run_job(job)
                failed = self.attempts[job.id][-1] != "succeeded" and not job.allow_failure
                has_failed |= failed
                is_halted |= failed and stops
            yield ("StageFinished", stage.name)
        self.status = "failed" if has_failed else "succeeded"
        yield ("RunFinished", self.status)

    def _does_not_run(self, job: ModelJob, status: str) -> Told:
        self.not_run[job.id] = status
        return ("JobNotRun", job.id, status)

    def _run_job(self, job: ModelJob) -> Iterator[Told]:
        attempts = self.attempts.setdefault(job.id, [])
        tries = 0
        while True:
            tries += 1
            attempts.append("crashed")  # what it is if nothing follows
            self.versions.setdefault(job.id, []).append((job.version, job.codes))
            number = len(attempts)
            yield ("JobStarted", job.id, str(number))
            code = job.code_of(number)
            attempts[-1] = "succeeded" if code == GOOD else "failed"
            again = (
                code != GOOD
                and job.retries is not None
                and tries <= job.retries
                and (job.on_exit_codes is None or code in job.on_exit_codes)
            )
            yield ("JobFinished", job.id, str(number), attempts[-1], str(again))
            if not again:
                return

    def statuses(self) -> dict[str, str]:
        """The status of each job of the plan."""
        return {
            job_id: (self.attempts.get(job_id) or [self.not_run.get(job_id, "planned")])[-1]
            for job_id in self.jobs
        }
