"""How long jobs took in earlier runs of a pipeline."""

from __future__ import annotations

import contextlib
import functools
import statistics
from collections import defaultdict
from collections.abc import Mapping

from runstore import RunStore

_RUNS = 5
# So that to look back costs some tens of milliseconds at most: runs of other pipelines, and jobs.
_LOOKED_AT, _JOBS = 300, 20_000


class History:
    """What the newest runs of a pipeline tell. It is read once, when it is first asked for."""

    def __init__(self, store: RunStore, pipeline_id: str) -> None:
        self._store = store
        self._pipeline_id = pipeline_id

    @functools.cached_property
    def seconds(self) -> Mapping[str, float]:
        """How long each job took that succeeded: the middle of up to five runs.

        What cannot be read tells nothing: it is only about the order.
        """
        found: dict[str, list[float]] = defaultdict(list)
        runs = known = 0
        with contextlib.suppress(OSError):
            for _, took in self._store.timings(self._pipeline_id, among=_LOOKED_AT):
                for job_id, seconds in took.items():
                    found[job_id].append(seconds)
                # One that has done nothing, such as the run that asks, tells nothing.
                runs, known = runs + bool(took), known + len(took)
                if runs == _RUNS or known >= _JOBS:
                    break
        return {job_id: statistics.median(each) for job_id, each in found.items()}
