"""Every goal at reduced counts; the figure of each is printed (`-s` shows it)."""

from __future__ import annotations

import os

import pytest

from tests.faults.harness import Goal, NotRunError, goals, measured
from tests.scale import ASKED_FOR

# The ordinary run leaves the slow and privileged ones to their own environments.
SLOW = os.environ.get("RUNSTORE_FAULTS", "") == "all"


@pytest.mark.parametrize("goal", list(goals()), ids=lambda goal: f"{goal.number:02}")
def test_nothing_is_lost_missed_or_raised_for_nothing(goal: Goal) -> None:
    if goal.is_slow and not SLOW:
        pytest.skip(f"goal {goal.number} has an environment of its own: tox -e privileged")
    reason = goal.needs()
    if reason is not None:
        pytest.skip(f"goal {goal.number}: {reason}")
    try:
        result = measured(goal, ASKED_FOR)
    except NotRunError as error:
        pytest.skip(f"goal {goal.number}: {error}")
    print(f"goal {goal.number}: {goal.title}: {result}")
    assert result.is_clean, str(result)
    assert result.figures
