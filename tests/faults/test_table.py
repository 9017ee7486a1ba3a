"""The table of the figures can be written in pieces, and the page has a row for each goal."""

from __future__ import annotations

import pytest

from tests.docs.markdown import Page
from tests.faults.harness import Goal, Result, goals
from tests.faults.table import BEGIN, END, PAGE, row, with_row
from tests.scale import FULL, REDUCED

EMPTY = f"before\n{BEGIN}{END}after\n"


def goal(number: int) -> Goal:
    return Goal(number, f"title {number}", lambda: None, False, lambda _scale: Result())


def rows(page: str) -> list[str]:
    return [line for line in page.splitlines() if line[:3].strip("| ").isdigit() or "title" in line]


def test_a_row_takes_the_place_of_that_of_its_goal_and_the_others_stay() -> None:
    page = EMPTY
    for number in (10, 2, 9):
        page = with_row(page, row(goal(number), FULL, Result({"kills": 1000 + number})))
    first = rows(page)
    assert [line.split(" | ")[0] for line in first] == ["| 2", "| 9", "| 10"]
    again = with_row(page, row(goal(9), REDUCED, Result({"kills": 5}, lost=1, took_s=2.5)))
    assert [rows(again)[0], rows(again)[2]] == [first[0], first[2]]
    assert "| title 9 | 5 kills | 1 | 0 | 0 | 2.5 s | reduced | 20" in rows(again)[1]
    assert again.startswith(f"before\n{BEGIN}")
    assert again.endswith(f"{END}after\n")


def test_what_was_not_run_says_why() -> None:
    page = with_row(EMPTY, row(goal(4), FULL, "not run: it needs root | more"))
    assert "| 4 | title 4 | not run: it needs root \\| more |  |  |  |  | none | 20" in page


@pytest.mark.skipif(not PAGE.exists(), reason="needs the documentation")
def test_the_page_has_a_row_for_each_goal_with_its_title() -> None:
    found = {row[0]: row[1] for row in Page(PAGE).section("The table of faults").rows()}
    assert found == {str(goal.number): goal.title for goal in goals()}
