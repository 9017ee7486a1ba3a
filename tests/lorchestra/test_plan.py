"""What starts, and with how many workers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lorchestra.model import Job, Pipeline, Shell, Stage
from lorchestra.plan import Options, workers_for

JOBS = tuple(Job(name, Shell("true")) for name in "abcd")


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


@pytest.mark.parametrize("name", ["halt", "timeout_s", "grace_s"])
def test_what_was_asked_for_stands_over_what_the_file_says(name: str) -> None:
    value: Any = "now" if name == "halt" else 0.5
    pipeline = Pipeline("p", (Stage("s", JOBS),), Path(), timeout_s=9.0, grace_s=8.0)
    assert Options().over(pipeline) == pipeline
    options: dict[str, Any] = {name: value}
    changed = Options(**options).over(pipeline)
    assert getattr(changed, name) == value
    options = {name: getattr(pipeline, name)}
    assert replace(changed, **options) == pipeline
