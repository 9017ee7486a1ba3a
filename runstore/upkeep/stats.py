"""What a store holds: how many runs, files and bytes, of which pipelines."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from runstore import files, layout
from runstore.files import Measure
from runstore.reading.view import RunSummary, summarize

_LARGEST = 5


@dataclass(frozen=True, slots=True)
class RunSize:
    """A run, and what it takes: its records, logs and outputs, and what repairs have kept."""

    id: str
    pipeline: str | None
    status: str
    started: str | None
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PipelineStats:
    """The runs of one pipeline.

    Attributes:
        pipeline: Its name; None: the records that say it are lost.
        runs: How many there are.
        statuses: How many of them have each status.
        size_bytes: How many bytes they take.
    """

    pipeline: str | None
    runs: int
    statuses: dict[str, int]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class StoreStats:
    """What a store holds.

    Attributes:
        store: Its path.
        runs: How many runs that have begun.
        files: How many files of any kind.
        size_bytes: How many bytes these have.
        oldest: The oldest run; None: there is none.
        newest: The newest run.
        largest: The five largest runs, the largest first.
        pipelines: Its pipelines, the largest first.
    """

    store: str
    runs: int
    files: int
    size_bytes: int
    oldest: RunSize | None
    newest: RunSize | None
    largest: tuple[RunSize, ...]
    pipelines: tuple[PipelineStats, ...]

    def as_dict(self) -> dict[str, Any]:
        """The statistics as plain values, for programs."""
        return asdict(self)


def store_stats(store: str, *, on_run: Callable[[str], None] | None = None) -> StoreStats:
    """Count what a store holds; see `RunStore.stats`."""
    counting = _Counting(store)
    for name in files.names(store):
        if name != layout.RUNS:
            counting.add(files.measure(f"{store}/{name}"))
    runs = f"{store}/{layout.RUNS}"
    names = files.names(runs)
    if not files.is_folder(runs):
        # A link may lead anywhere: what is there and of no store is none of ours to count.
        names = [name for name in names if layout.is_run_id(name)]
    for name in reversed(names):
        if on_run is not None and layout.is_run_id(name):
            on_run(name)
        measure = files.measure(layout.run_folder(store, name))
        counting.add(measure)
        summary = summarize(store, name) if layout.is_run_id(name) else None
        if summary is not None:
            counting.add_run(summary, measure)
    return counting.result()


@dataclass(slots=True)
class _Pipeline:
    """What is counted of one pipeline."""

    statuses: Counter[str] = field(default_factory=Counter)
    size_bytes: int = 0


class _Counting:
    """Counts, in memory that does not grow with the number of runs. The newest run comes first."""

    def __init__(self, store: str) -> None:
        self._store = store
        self._files = 0
        self._size_bytes = 0
        self._runs = 0
        self._newest: RunSize | None = None
        self._oldest: RunSize | None = None
        self._largest: list[tuple[int, str, RunSize]] = []
        self._pipelines: dict[str | None, _Pipeline] = {}

    def add(self, measure: Measure) -> None:
        self._files += measure.files
        self._size_bytes += measure.size_bytes

    def add_run(self, summary: RunSummary, measure: Measure) -> None:
        run = RunSize(summary.id, summary.pipeline, summary.status, summary.started, *measure)
        self._runs += 1
        self._newest = self._newest or run
        self._oldest = run
        heapq.heappush(self._largest, (run.size_bytes, run.id, run))
        if len(self._largest) > _LARGEST:
            heapq.heappop(self._largest)
        pipeline = self._pipelines.setdefault(run.pipeline, _Pipeline())
        pipeline.statuses[run.status] += 1
        pipeline.size_bytes += run.size_bytes

    def result(self) -> StoreStats:
        pipelines = [
            PipelineStats(name, each.statuses.total(), dict(each.statuses), each.size_bytes)
            for name, each in self._pipelines.items()
        ]
        return StoreStats(
            store=self._store,
            runs=self._runs,
            files=self._files,
            size_bytes=self._size_bytes,
            oldest=self._oldest,
            newest=self._newest,
            largest=tuple(run for *_, run in sorted(self._largest, reverse=True)),
            pipelines=tuple(sorted(pipelines, key=lambda each: each.size_bytes, reverse=True)),
        )
