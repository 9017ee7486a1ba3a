"""At most so many starts in any time of a length."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lorchestra.limits.window import recent, wait_s
from lorchestra.quota import Rate


def test_a_start_is_free_again_one_period_later() -> None:
    rate = Rate(2, "s")
    assert wait_s([], rate, 2, 10.0) == 0
    assert wait_s([10.0], rate, 1, 10.0) == 0
    assert wait_s([10.0, 10.25], rate, 1, 10.5) == 0.5
    assert wait_s([10.0, 10.25], rate, 1, 11.0) == 0
    assert wait_s([10.0, 10.25], rate, 2, 11.0) == 0.25


def test_times_in_the_future_are_forgotten_one_period_later() -> None:
    assert recent([5.0, 99.0], Rate(2, "s"), 5.5) == [5.0, 5.5]
    assert wait_s([99.0, 99.0], Rate(2, "s"), 1, 5.5) == 1.0


@given(
    asks=st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 5)), max_size=60),
    starts=st.integers(5, 9),
)
def test_in_no_period_there_are_more_and_none_waits_longer_than_it_must(
    asks: list[tuple[int, int]], starts: int
) -> None:
    """`asks`: milliseconds after the one before, and units."""
    rate, now, log = Rate(starts, "s"), 0.0, list[float]()
    for after_ms, units in asks:
        now += after_ms / 1024  # exact, as numbers of a computer are
        wait = wait_s(log, rate, units, now)
        if wait > 0:
            # A moment before it was too early.
            assert sum(start + 1.0 > now + wait - 1 / 1024 for start in log) + units > starts
            now += wait
        log += [now] * units
        assert sum(now - 1.0 < start <= now for start in log) <= starts
