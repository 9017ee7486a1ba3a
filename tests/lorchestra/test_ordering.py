"""The longest jobs start first, where it is known how long they take."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorchestra.model import Command, Item, Job
from lorchestra.ordering import longest_first


def jobs_of(names: str | Sequence[str]) -> list[Job]:
    return [Job(name, Command(("x",))) for name in names]


def ids(jobs: Sequence[Job] | None) -> list[str] | None:
    return None if jobs is None else [job.id for job in jobs]


def test_the_longest_come_first_and_equals_stay_as_written() -> None:
    seconds = {"a": 1.0, "b": 9.0, "c": 1.02, "d": 30.0, "e": 0.01, "f": 0.09}
    assert ids(longest_first(jobs_of("abcdef"), seconds)) == [*"dbacef"]


@pytest.mark.parametrize(
    "seconds", [{}, {"x": 7.0}, {"a": 1.0, "b": 1.0}, {"a": 9.0, "b": 1.0}, {"b": 0.09}]
)
def test_an_order_that_would_be_the_one_written_is_none(seconds: Mapping[str, float]) -> None:
    assert longest_first(jobs_of("ab"), seconds) is None


def test_one_that_is_not_known_counts_as_the_middle_of_the_others() -> None:
    seconds = {"a": 1.0, "b": 10.0, "c": 100.0}
    assert ids(longest_first(jobs_of("anbc"), seconds)) == [*"cnba"]


def item(name: str, key: str, **more: Any) -> Job:
    job = Job(f"{name}[{key}]", Command(("x",)))
    return replace(job, item=Item(name, key, **more))


def test_an_item_that_is_not_known_counts_as_the_middle_of_its_loop() -> None:
    jobs = [*jobs_of("abc"), item("l", "1"), item("l", "2"), item("l", "new")]
    seconds = {"a": 1.0, "b": 2.0, "c": 3.0, "l[1]": 50.0, "l[2]": 60.0}
    assert ids(longest_first(jobs, seconds)) == ["l[2]", "l[new]", "l[1]", "c", "b", "a"]


def test_an_item_of_a_stage_counts_as_all_of_its_jobs_that_are_left() -> None:
    jobs = [
        item("first", "x"),
        item("then", "x", after="first[x]"),
        item("first", "y"),
        item("then", "y", after="first[y]"),
        item("then", "kept", after="first[kept]"),
    ]
    seconds = {"first[x]": 5.0, "then[x]": 1.0, "first[y]": 2.0, "then[y]": 9.0, "then[kept]": 7.0}
    order = ids(longest_first(jobs, seconds))
    assert order == ["first[y]", "then[y]", "then[kept]", "first[x]", "then[x]"]


def makespan(seconds: Sequence[float], workers: int) -> float:
    free = [0.0] * workers
    for each in seconds:
        heapq.heappush(free, heapq.heappop(free) + each)
    return max(free)


@given(st.lists(st.floats(0, 10_000), min_size=1, max_size=60))
def test_no_job_comes_before_one_that_takes_longer_by_more_than_a_tenth(
    lengths: list[float],
) -> None:
    seconds = {f"j{n}": each for n, each in enumerate(lengths)}
    jobs = jobs_of([*seconds])
    order = [seconds[job.id] for job in longest_first(jobs, seconds) or jobs]
    assert sorted(order) == sorted(lengths)
    least = float("inf")
    for each in order:
        assert each <= max(least * 1.1000001, 0.1)
        least = min(least, each)


def test_skewed_durations_come_close_to_the_least_there_is() -> None:
    # One long job for every nine short ones, the long ones last.
    lengths = [1.0] * 36 + [10.0] * 4
    seconds = {f"j{n}": each for n, each in enumerate(lengths)}
    jobs = jobs_of([*seconds])
    order = longest_first(jobs, seconds)
    assert order is not None
    least = sum(lengths) / 4
    assert makespan([seconds[job.id] for job in order], 4) <= 1.05 * least
    assert makespan(lengths, 4) >= least
