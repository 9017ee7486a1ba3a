"""Contestants run in turn, and are compared round by round."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from benchmarks.places import Place, file_system_of, places
from benchmarks.processes import ProgramFailedError, run_program
from benchmarks.result import Figure, Goal, compared
from benchmarks.rounds import Contestant, Times, in_turn
from benchmarks.spread import quantile, spread


def test_each_runs_once_a_round_and_begins_as_often_as_the_others() -> None:
    ran: list[str] = []

    def contestant(name: str) -> Contestant:
        return Contestant(name, lambda: float(ran.append(name) or len(ran)))  # type: ignore[func-returns-value]

    times = in_turn([contestant(name) for name in "abc"], 6)
    rounds = list(itertools.batched(ran, 3)) if hasattr(itertools, "batched") else None
    assert len(ran) == 3 * 7
    firsts = [ran[place] for place in range(0, len(ran), 3)]
    assert sorted(firsts[1:]) == [*"aabbcc"]
    assert rounds is None or all(sorted(each) == ["a", "b", "c"] for each in rounds)
    assert {name: len(seconds) for name, seconds in times.by_name.items()} == dict.fromkeys(
        "abc", 6
    )


def test_a_ratio_is_of_two_times_of_one_round() -> None:
    times = Times({"ours": [1.0, 20.0, 3.0], "base": [2.0, 10.0, 3.0]})
    assert times.ratios("ours", "base") == [0.5, 2.0, 1.0]


def test_the_spread_of_one_value_is_that_value() -> None:
    assert set(map(float, vars_of(spread([7.0])))) == {7.0}


def vars_of(found: object) -> list[float]:
    return [getattr(found, name) for name in ("median", "p10", "p90", "low", "high")]


def test_the_interval_lies_around_the_median_and_is_the_same_each_time() -> None:
    values = [float(n % 17) for n in range(100)]
    found = spread(values)
    assert found == spread(values)
    assert found.p10 <= found.low <= found.median <= found.high <= found.p90
    assert quantile([1, 2, 3, 4], 0.5) == 2.5


@pytest.mark.parametrize(
    ("ratios", "goal", "is_reached", "is_missed"),
    [
        ([1.0, 1.01, 1.0], Goal("a", "b", at_most=1.02), True, False),
        ([1.0, 1.1, 1.1], Goal("a", "b", at_most=1.02), False, False),  # within the noise
        ([1.1, 1.1, 1.1], Goal("a", "b", at_most=1.02), False, True),
        ([1.1, 1.1, 1.1], Goal("a", "b", at_most=1.02, held_to=1.2), False, False),
        ([1.3, 1.3, 1.3], Goal("a", "b", at_most=1.02, held_to=1.2), False, True),
        ([4.0, 3.5, 3.0], Goal("a", "b", at_least=3), True, False),
        ([2.0, 2.0, 3.5], Goal("a", "b", at_least=3), False, False),
        ([2.0, 2.0, 2.0], Goal("a", "b", at_least=3), False, True),
    ],
)
def test_a_figure_is_missed_by_more_than_the_noise(
    ratios: list[float], goal: Goal, *, is_reached: bool, is_missed: bool
) -> None:
    figure = Figure(goal, spread(ratios))
    assert (figure.is_reached, figure.is_missed) == (is_reached, is_missed)


def test_a_goal_beside_somebody_who_is_not_there_is_left_out() -> None:
    times = Times({"ours": [1.0], "xargs": [2.0]})
    goals = [Goal("ours", "xargs", at_most=0.6), Goal("ours", "make", at_most=1)]
    found = compared("jobs", "tmpfs", times, "ours", goals, per=10, absent={"make": "no"})
    assert [figure.goal.base for figure in found.figures] == ["xargs"]
    assert [entry.name for entry in found.entries] == ["ours", "xargs"]
    assert found.entries[0].seconds.median == 0.1
    assert found.as_dict()["figures"][0]["is_reached"]


def test_a_place_gives_empty_folders_and_leaves_nothing() -> None:
    with places() as found:
        place = found["disk"]
        first, second = place.fresh(), place.fresh()
        assert first != second
        assert list(first.iterdir()) == []
        (first / "file").touch()
        assert place.file_system == file_system_of(place.root) != "unknown"
    assert not place.root.exists()


def test_a_program_is_timed_and_one_that_fails_is_no_result(tmp_path: Path) -> None:
    place = Place("here", tmp_path, "any")
    cost = run_program(["sh", "-c", "cat; sleep 0.01"], place.fresh(), text="text")
    assert cost.wall_s >= 0.01
    assert cost.peak_kb > 0
    with pytest.raises(ProgramFailedError, match="said so"):
        run_program(["sh", "-c", "echo said so; exit 3"], place.fresh())
