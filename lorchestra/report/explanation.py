"""Why a job waited, ran, ran again, or did not run: the record of one job as a story."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from lorchestra.report.summary import error_of, why_in_resume
from lorchestra.report.text import counted, duration, elapsed_s
from runstore import Job, RunView

Record = dict[str, Any]

# Sooner is as soon as can be.
_LEAST_S = 0.05


class Moment(NamedTuple):
    """Something that happened to the job.

    Attributes:
        at: When, as records have it; empty: at no moment of its own.
        what: A sentence.
    """

    at: str
    what: str


def explain(view: RunView, job: Job) -> list[Moment]:
    """The story of one job of a run, in the order of time.

    Costs a pass over the run's records.
    """
    return list(_Story(view, job).moments(view.records()))


class _Story:
    def __init__(self, view: RunView, job: Job) -> None:
        self._view = view
        self._job = job
        self._since: str | None = None  # since when it could have started

    def moments(self, records: Iterable[Record]) -> Iterator[Moment]:
        resumed = why_in_resume(self._job)
        if resumed is not None:
            yield Moment("", f"in the last resume: {resumed}")
        for record in records:
            yield from self._of_record(record)
        if not self._job.attempts and self._job.status in {"planned", "running"}:
            is_over = self._view.status != "running"
            yield Moment("", "it has not started" + (": the run was killed" if is_over else " yet"))
        elif self._job.status == "crashed":
            yield Moment("", error_of(self._job))

    def _of_record(self, record: Record) -> Iterator[Moment]:
        at, event = record["at"], record["event"]
        job_id = record.get("job", record.get("of"))
        if event == "stage_begin" and record.get("stage") == self._job.stage:
            self._since = at
            workers = counted(int(record.get("workers") or 1), "worker")
            order = ", the longest first" if record.get("schedule") else ""
            yield Moment(at, f"its stage {self._job.stage} began, with {workers}{order}")
        if job_id != self._job.id:
            return
        match event:
            case "limit_wait":
                limits = ", ".join(map(str, record.get("limits") or ()))
                yield Moment(at, f"it waited for {limits}")
            case "start":
                yield Moment(at, f"attempt {record.get('attempt')} started{self._waited(at)}")
                self._since = None
            case "end" if "attempt" in record:
                yield Moment(at, self._ended(record))
            case "retry_wait":
                delay_s = record.get("delay_s")
                delay = duration(delay_s if isinstance(delay_s, int | float) else None)
                yield Moment(at, f"it is tried again in {delay}")
            case "retry_cancelled":
                yield Moment(at, f"it is not tried again: {record.get('reason')}")
            case "not_run":
                yield Moment(at, f"{record.get('status')}: {record.get('reason')}")
            case "kept":
                yield Moment(at, f"kept: {record.get('reason')}")

    def _waited(self, at: str) -> str:
        waited_s = elapsed_s(self._since, at)
        if waited_s is None or waited_s < _LEAST_S:
            return ""
        return f", {duration(waited_s)} after its stage"

    def _ended(self, record: Record) -> str:
        took = record.get("duration_s")
        how = f"attempt {record['attempt']} {record.get('status')}"
        after = f" after {duration(took)}" if isinstance(took, int | float) else ""
        error = record.get("error")
        return f"{how}{after}" + (f": {error}" if isinstance(error, str) else "")
