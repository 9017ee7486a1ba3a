"""What starts, and with how many workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorchestra.model import Job, Outcome, Pipeline, Shell, Stage
from lorchestra.plan import Options, StageQueue, workers_for

JOBS = tuple(Job(name, Shell("true")) for name in "abcd")
GOOD, BAD, STOPPED = Outcome("succeeded"), Outcome("failed"), Outcome("interrupted")


@pytest.mark.parametrize(
    ("requested", "of_stage", "workers"),
    [
        (None, None, 1),
        (None, 3, 3),
        (2, None, 2),
        (2, 3, 2),
        (3, 2, 2),
        (9, None, 4),
        (None, 9, 4),
        (9, 9, 4),
        (1, 3, 1),
        (4, 1, 1),
    ],
)
def test_workers(requested: int | None, of_stage: int | None, workers: int) -> None:
    assert workers_for(Stage("s", JOBS, max_workers=of_stage), requested) == workers


@pytest.mark.parametrize("option", [None, True, False])
@pytest.mark.parametrize("of_stage", [None, True, False])
@pytest.mark.parametrize("of_pipeline", [True, False])
def test_who_decides_whether_a_failure_stops(
    option: bool | None, of_stage: bool | None, of_pipeline: bool
) -> None:
    stage = Stage("s", JOBS, stop_on_failure=of_stage)
    pipeline = Pipeline("p", (stage,), Path(), stop_on_failure=of_pipeline)
    said = [word for word in (option, of_stage, of_pipeline) if word is not None]
    assert Options(stop_on_failure=option).stops(pipeline, stage) == said[0]


@pytest.mark.parametrize("workers", [0, -1])
def test_less_than_one_worker_cannot_be_asked_for(workers: int) -> None:
    with pytest.raises(ValueError, match=f"max_workers is at least 1, not {workers}"):
        Options(workers)


class TestQueue:
    def test_it_gives_the_jobs_in_the_order_written_and_then_none(self) -> None:
        queue = StageQueue(JOBS, stop_on_failure=True)
        assert [queue.next() for _ in range(6)] == [*JOBS, None, None]
        assert queue.rest() == []
        assert queue.halted_by is None

    @pytest.mark.parametrize("outcome", [BAD, STOPPED])
    def test_after_a_failure_it_gives_none_where_that_stops(self, outcome: Outcome) -> None:
        queue = StageQueue(JOBS, stop_on_failure=True)
        first, second = queue.next(), queue.next()
        assert first is not None
        assert second is not None
        queue.finished(first, GOOD)
        assert queue.halted_by is None
        queue.finished(second, outcome)
        assert queue.next() is None
        assert queue.halted_by == "job 'b' did not succeed"
        assert queue.rest() == list(JOBS[2:])

    def test_and_goes_on_where_it_does_not(self) -> None:
        queue = StageQueue(JOBS, stop_on_failure=False)
        first = queue.next()
        assert first is not None
        queue.finished(first, BAD)
        assert queue.next() is JOBS[1]

    def test_the_first_reason_counts(self) -> None:
        queue = StageQueue(JOBS, stop_on_failure=True)
        queue.halt("one")
        queue.halt("two")
        queue.finished(JOBS[0], BAD)
        assert queue.halted_by == "one"
        assert queue.rest() == list(JOBS)
