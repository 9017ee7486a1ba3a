"""When a job is tried again, and how long an attempt may take."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorchestra.deadline import Limit
from lorchestra.model import Job, Outcome, Retries, Shell
from lorchestra.retrying import Turn, backoff_s, delay_s, limit
from lorchestra.stop import Cause

FAILED, TIMED_OUT = Outcome("failed", exit_code=1), Outcome("timed_out", signal=15)


def turn(tries: int = 1, began: float = 0.0, **fields: object) -> Turn:
    return Turn(Job("a", Shell("x"), **fields), tries, began)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tries", "wait"), [(1, 2.0), (2, 6.0), (3, 18.0), (4, 20.0), (5, 20.0), (5000, 20.0)]
)
def test_each_wait_is_longer_up_to_the_longest(tries: int, wait: float) -> None:
    assert backoff_s(Retries(9999, 2.0, 3.0, 20.0), tries) == wait


@given(st.integers(1, 2000), st.integers(0), st.floats(0, 1e6), st.floats(1, 100))
def test_jitter_takes_up_to_a_half(tries: int, seed: int, first: float, factor: float) -> None:
    plain = backoff_s(Retries(1, first, factor, 1e7), tries)
    shortened = backoff_s(Retries(1, first, factor, 1e7, jitter=True), tries, random.Random(seed))
    assert 0.5 * plain - 1e-5 <= shortened <= plain + 1e-5


@pytest.mark.parametrize(("tries", "again"), [(1, True), (2, True), (3, False), (4, False)])
def test_so_many_further_attempts_there_are(tries: int, again: bool) -> None:
    assert (delay_s(turn(tries, retries=Retries(2)), FAILED, 0) is not None) == again


@pytest.mark.parametrize(
    ("outcome", "codes", "again"),
    [
        (FAILED, None, True),
        (TIMED_OUT, None, True),
        (Outcome("failed", signal=9), None, True),
        (Outcome("succeeded", exit_code=0), None, False),
        (Outcome("interrupted", signal=15), None, False),
        (FAILED, {75}, False),
        (Outcome("failed", exit_code=75), {75, 1}, True),
        (TIMED_OUT, {75}, False),
    ],
)
def test_what_it_is_worth_it_for(outcome: Outcome, codes: set[int] | None, again: bool) -> None:
    retries = Retries(1, on_exit_codes=frozenset(codes) if codes else None)
    assert (delay_s(turn(retries=retries), outcome, 0) is not None) == again


def test_without_retries_there_is_one_attempt() -> None:
    assert delay_s(turn(), FAILED, 0) is None


def test_not_when_the_time_for_all_attempts_is_over_by_then() -> None:
    one = turn(began=100.0, retries=Retries(5, backoff_s=10.0), total_timeout_s=60.0)
    assert delay_s(one, FAILED, 149.0) == 10.0
    assert delay_s(one, FAILED, 150.0) is None


def test_the_limit_is_the_attempts_own_or_what_is_left_of_all() -> None:
    assert limit(turn(), 5.0, 3.0) is None
    own = limit(turn(timeout_s=300.0), 5.0, 3.0)
    assert own == Limit(300.0, Cause("timed out after 5m", "timed_out"), 3.0)
    both = turn(began=100.0, timeout_s=300.0, total_timeout_s=600.0)
    assert limit(both, 200.0, 3.0) == own
    left = limit(both, 650.0, 3.0)
    text = "timed out: all attempts together may take 10m"
    assert left == Limit(50.0, Cause(text, "timed_out"), 3.0)
    assert limit(Turn(both.job), 650.0, 3.0) == own
