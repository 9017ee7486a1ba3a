"""How long a run will take is played through with the queue that the run uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lorchestra.forecast import by_workers, forecast
from lorchestra.model import Command, Item, Job, Loop, Pipeline, Stage
from lorchestra.quota import Quota, Rate


def job(name: str, **more: Any) -> Job:
    return Job(name, Command(("x",)), **more)


def pipeline(*stages: str | list[Job], **more: Any) -> Pipeline:
    made = [
        Stage(f"s{number}", tuple(map(job, jobs) if isinstance(jobs, str) else jobs))
        for number, jobs in enumerate(stages)
    ]
    return Pipeline("p", tuple(made), Path("/"), **more)


SECONDS = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 6.0}


@pytest.mark.parametrize(
    ("workers", "schedule", "took"),
    [
        (1, "longest-first", 12.0),
        (2, "declared", 8.0),  # a and b, then c beside b, and d at the end
        (2, "longest-first", 6.0),
        (3, "longest-first", 6.0),
        (9, "longest-first", 6.0),
    ],
)
def test_jobs_share_the_workers_in_their_order(workers: int, schedule: str, took: float) -> None:
    found = forecast(pipeline("abcd", schedule=schedule), SECONDS, workers)
    assert found is not None
    assert found.seconds == took
    assert found.stages[0].last_job in {"a", "d"}
    assert found.unknown == ()


def test_stages_follow_one_another_and_have_their_ceilings() -> None:
    made = pipeline("abcd", "a")
    made = replace(made, stages=(replace(made.stages[0], max_workers=2), made.stages[1]))
    found = forecast(made, SECONDS, 8)
    assert found is not None
    assert [(each.workers, each.seconds) for each in found.stages] == [(2, 6.0), (1, 1.0)]
    assert (found.seconds, found.workers) == (7.0, 2)


def test_what_does_not_run_does_not_count_and_what_is_not_known_is_the_middle() -> None:
    found = forecast(pipeline("abcx"), SECONDS, 1, without=["c"])
    assert found is not None
    assert (found.seconds, found.unknown) == (1 + 2 + 1.5, ("x",))
    assert forecast(pipeline("xyz"), SECONDS, 1) is None
    assert forecast(pipeline("abc"), SECONDS, 1, without=[*"abc"]) is None
    assert by_workers(pipeline("xyz"), SECONDS) == []


@pytest.mark.parametrize(
    ("quota", "took"),
    [
        (Quota("api", capacity=1), 6.0),  # 1, 2 and 3 one after another
        (Quota("api", capacity=2), 3.0),
        (Quota("api", rate=Rate(1, "min")), 121.0),  # they start after 0, 60 and 120 s
    ],
)
def test_limits_and_rates_count(quota: Quota, took: float) -> None:
    jobs = [job(name, limits={"api": 1}) for name in "abc"]
    found = forecast(pipeline(jobs, limits=(quota,)), SECONDS, 2)
    assert found is not None
    assert found.seconds == pytest.approx(took, abs=0.001)


def test_limits_of_the_machine_do_not_count() -> None:
    jobs = [job(name, limits={"api": 1}) for name in "abc"]
    quota = Quota("api", capacity=1, scope="host")
    found = forecast(pipeline(jobs, limits=(quota,)), SECONDS, 3)
    assert found is not None
    assert found.seconds == 3.0


def test_a_loop_that_is_not_unfolded_takes_the_items_of_before() -> None:
    seconds: Mapping[str, float] = {"peek": 1.0, "l[1]": 4.0, "l[2]": 5.0, "other[1]": 9.0}
    looped = job("l", loop=Loop("@run.peek.items"))
    found = forecast(pipeline("", [job("peek")], [looped]), seconds, 2)
    assert found is not None
    assert [each.seconds for each in found.stages] == [0.0, 1.0, 5.0]
    assert found.unknown == ()


def test_items_of_a_stage_do_their_jobs_one_after_another() -> None:
    jobs = [
        replace(job(f"{name}[{key}]"), item=Item(name, key, after=after))
        for key in "xy"
        for name, after in (("first", None), ("then", f"first[{key}]"))
    ]
    seconds = {"first[x]": 1.0, "then[x]": 2.0, "first[y]": 4.0, "then[y]": 1.0}
    found = forecast(pipeline(jobs), seconds, 4)
    assert found is not None
    assert (found.seconds, found.stages[0].last_job) == (5.0, "then[y]")


def test_more_workers_are_named_as_long_as_they_are_worth_it() -> None:
    seconds = {f"j{n}": 1.0 for n in range(8)} | {"long": 2.0}
    made = pipeline([job(name) for name in seconds])
    assert by_workers(made, seconds) == [
        *((1, 10.0), (2, 5.0), (3, 4.0), (4, 3.0), (6, 2.0)),
    ]
