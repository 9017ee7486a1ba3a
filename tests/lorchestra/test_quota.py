"""What a limit allows."""

from __future__ import annotations

import pytest

from lorchestra import Quota, Rate
from lorchestra.quota import MOST_STARTS, name_mistake, rate_in


@pytest.mark.parametrize(
    ("text", "rate", "period_s"),
    [
        ("60/min", Rate(60, "min"), 60),
        ("1/s", Rate(1, "s"), 1),
        ("100/h", Rate(100, "h"), 3600),
        ("10000/day", Rate(MOST_STARTS, "day"), 86_400),
    ],
)
def test_a_rate_is_read_as_it_is_written(text: str, rate: Rate, period_s: float) -> None:
    assert rate_in(text) == rate
    assert str(rate) == text
    assert rate.period_s == period_s


@pytest.mark.parametrize(
    "text",
    ["", "60", "/min", "0/min", "060/min", "-1/s", "1.5/s", "60/m", "10001/s", "60 /min", "٣/s"],
)
def test_what_is_no_rate(text: str) -> None:
    assert rate_in(text) is None


@pytest.mark.parametrize(("starts", "unit"), [(0, "s"), (MOST_STARTS + 1, "s"), (1, "week")])
def test_a_rate_that_cannot_be_is_refused(starts: int, unit: str) -> None:
    with pytest.raises(ValueError, match="a rate is such as 60/min"):
        Rate(starts, unit)


def test_a_quota_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="'a' needs a capacity or a rate"):
        Quota("a")
    with pytest.raises(ValueError, match="the capacity of limit 'a' is 1 to 1,000,000"):
        Quota("a", 0)
    with pytest.raises(ValueError, match=r"the capacity of limit 'a' is 1 to 1,000$"):
        Quota("a", 1001, scope="host")
    with pytest.raises(ValueError, match="the name of a limit must be 1 to 64 letters"):
        Quota("a b", 1)


@pytest.mark.parametrize("name", ["a", "9", "BigQuery_2.x-y", "a" * 64])
def test_names_that_are_fine(name: str) -> None:
    assert name_mistake(name) is None


@pytest.mark.parametrize("name", ["", ".", "-a", "_a", "a b", "a/b", "é", "a" * 65, "a\n"])
def test_names_that_are_not(name: str) -> None:
    assert name_mistake(name)


def test_the_most_units_are_those_that_capacity_and_rate_both_allow() -> None:
    assert Quota("a", 5, Rate(3, "s")).most_units == 3
    assert Quota("a", 2, Rate(3, "s")).most_units == 2
    assert Quota("a", rate=Rate(3, "s")).most_units == 3


def test_a_quota_in_words() -> None:
    assert str(Quota("a", 2, Rate(60, "min"))) == "a: 2 at once, 60/min in this run"
    assert str(Quota("a", 2, scope="host")) == "a: 2 at once on this machine"
