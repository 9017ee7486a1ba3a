"""A run's records as the events that they tell of: what is shown of it is what its runner shows.

So a run can be watched from another terminal, straight from the store, or played again later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lorchestra.model import Outcome
from lorchestra.progress import (
    Event,
    JobChosen,
    JobFinished,
    JobGivenUp,
    JobNotRun,
    JobStarted,
    LoopUnfolded,
    RunFinished,
    RunStarted,
    StageFinished,
    StageStarted,
)
from runstore import RunStore

Record = dict[str, Any]
_OF_OUTCOME = ("exit_code", "signal", "error", "cpu_s", "max_rss_kb", "log_bytes")


class Watch:
    """Folds the records of one run, in the order of `RunStore.follow`, into events."""

    def __init__(self, store: RunStore, run_id: str) -> None:
        """Know the run."""
        self._store = store
        self._run_id = run_id
        self._pipeline = ""
        self._stages: dict[str, str] = {}  # of each job
        self._sizes: Counter[str] = Counter()  # how many jobs each stage has
        self._ends: dict[tuple[str, int], Record] = {}
        self._waits: dict[tuple[str, int], float] = {}
        self._kept_jobs: set[str] = set()
        self._is_told = False  # that the run has begun, or goes on
        self._early: list[Event] = []  # what comes after that, and is known before
        self._of_run: dict[str, Callable[[Record], Iterator[Event]]] = {
            "begin": self._begin,
            "planned": self._planned,
            "kept": self._kept,
            "stage_begin": self._stage_begins,
            "start": self._start,
            "done": self._done,
            "not_run": self._not_run,
            "retry_cancelled": self._retry_cancelled,
            "stage_end": self._stage_ends,
            "end": self._end,
        }

    def events(self, records: Iterable[Record]) -> Iterator[tuple[str, Event]]:
        """Give the moment of each event, as its record has it, and the event."""
        for record in records:
            event, at = record["event"], record["at"]
            if "attempt" in record and event not in {"start", "done"}:
                self._of_attempt(record)
            elif event in self._of_run:
                told = list(self._of_run[event](record))
                if self._is_told or event not in {"begin", "planned", "kept"}:
                    for each in (*self._beginning(), *told):
                        yield at, each
                else:  # the plan is not known to its end
                    self._early += told

    def _of_attempt(self, record: Record) -> None:
        attempt = (record["job"], record["attempt"])
        if record["event"] == "end":
            self._ends[attempt] = record
        elif record["event"] == "retry_wait" and isinstance(record.get("delay_s"), int | float):
            self._waits[attempt] = record["delay_s"]

    def _beginning(self) -> list[Event]:
        """What is told first: that the run has begun, or goes on, and what becomes of its jobs."""
        if self._is_told:
            return []
        self._is_told = True
        size = (len(self._sizes), len(self._stages))
        early, self._early = self._early, []
        return [RunStarted(self._run_id, self._pipeline, *size, self._store.path), *early]

    def _begin(self, record: Record) -> Iterator[Event]:
        self._pipeline, self._is_told = str(record.get("pipeline", "")), False
        self._kept_jobs.clear()
        yield from ()

    def _planned(self, record: Record) -> Iterator[Event]:
        jobs = [job for job in _list(record.get("jobs")) if isinstance(job.get("id"), str)]
        replaced = [name for name in record.get("instead_of") or () if isinstance(name, str)]
        if not record.get("more") and not self._is_told:
            # The plan of a resume; a long one comes in several records.
            self._stages = {job["id"]: "" for job in jobs} | self._stages
        for name in replaced:
            self._stages.pop(name, None)
        for job in jobs:
            self._stages[job["id"]] = str(job.get("stage", ""))
        self._sizes = Counter(self._stages.values())
        if replaced:
            stage = self._stages.get(jobs[0]["id"], "") if jobs else ""
            yield LoopUnfolded(stage, tuple(replaced), len(jobs) // len(replaced))
        for job in jobs:
            if isinstance(job.get("reason"), str):
                is_kept = job["reason"].startswith("succeeded")
                yield self._chosen(job["id"], job["reason"], is_kept=is_kept)

    def _kept(self, record: Record) -> Iterator[Event]:
        yield self._chosen(str(record.get("job")), str(record.get("reason", "")), is_kept=True)

    def _chosen(self, job_id: str, reason: str, *, is_kept: bool) -> Event:
        if is_kept:
            self._kept_jobs.add(job_id)
        return JobChosen(self._stage(job_id), job_id, is_kept, reason)

    def _stage_begins(self, record: Record) -> Iterator[Event]:
        stage, workers = str(record.get("stage", "")), record.get("workers")
        yield StageStarted(
            stage,
            self._sizes[stage] - sum(self._stage(job_id) == stage for job_id in self._kept_jobs),
            workers if isinstance(workers, int) else 1,
            record.get("schedule") == "longest-first",
        )

    def _start(self, record: Record) -> Iterator[Event]:
        job_id, attempt = str(record.get("job")), record.get("attempt")
        if isinstance(attempt, int):
            path = self._store.log_path(self._run_id, job_id, attempt)
            yield JobStarted(self._stage(job_id), job_id, attempt, path)

    def _done(self, record: Record) -> Iterator[Event]:
        job_id, attempt = str(record.get("job")), record.get("attempt")
        if not isinstance(attempt, int):
            return
        end = self._ends.pop((job_id, attempt), {})
        told = {name: end.get(name) for name in _OF_OUTCOME}
        outcome = Outcome(str(record.get("status")), **told, allowed=end.get("allowed") is True)
        took = end.get("duration_s")
        yield JobFinished(
            self._stage(job_id),
            job_id,
            attempt,
            outcome,
            took if isinstance(took, int | float) else 0.0,
            self._store.log_path(self._run_id, job_id, attempt),
            self._waits.pop((job_id, attempt), None),
        )

    def _not_run(self, record: Record) -> Iterator[Event]:
        job_id = str(record.get("job"))
        status, reason = str(record.get("status")), str(record.get("reason"))
        yield JobNotRun(self._stage(job_id), job_id, status, reason)

    def _retry_cancelled(self, record: Record) -> Iterator[Event]:
        job_id = str(record.get("of"))
        reason = str(record.get("reason", ""))
        yield JobGivenUp(self._stage(job_id), job_id, 0, Outcome("failed"), reason)

    def _stage_ends(self, record: Record) -> Iterator[Event]:
        yield StageFinished(str(record.get("stage", "")), _counts(record))

    def _end(self, record: Record) -> Iterator[Event]:
        took = record.get("duration_s")
        yield RunFinished(
            self._run_id,
            str(record.get("status")),
            _counts(record),
            took if isinstance(took, int | float) else 0.0,
            f"{record['n']}:{record['crc']}",
        )

    def _stage(self, job_id: str) -> str:
        return self._stages.get(job_id, "")


def _list(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _counts(record: Record) -> dict[str, int]:
    counts = record.get("counts")
    return counts if isinstance(counts, dict) else {}
