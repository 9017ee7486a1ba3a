"""Run the goals and print their figures; `--full` for the full counts, `--write` for the docs.

python -m tests.faults [--full] [--write] [NUMBER...]
"""

from __future__ import annotations

import argparse
import sys
import traceback

from tests.faults.harness import Goal, NotRunError, Result, goals, measured
from tests.faults.table import PAGE, row, with_row
from tests.scale import ASKED_FOR, FULL, Scale


def main() -> int:
    """Run what was asked for; 1 when a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("numbers", nargs="*", type=int, metavar="NUMBER", help="only these goals")
    parser.add_argument("--full", action="store_true", help="the full counts")
    parser.add_argument(
        "--write", action="store_true", help=f"write the rows of these goals in {PAGE.name}"
    )
    options = parser.parse_args()
    scale = FULL if options.full else ASKED_FOR
    missed = 0
    for goal in goals():
        if options.numbers and goal.number not in options.numbers:
            continue
        outcome = tried(goal, scale)
        print(f"{goal.number:2} {goal.title}: {outcome}", flush=True)
        missed += outcome.startswith("failed") if isinstance(outcome, str) else not outcome.is_clean
        if options.write:  # after each, so that what is done stays when a later one is interrupted
            page = PAGE.read_text(encoding="utf-8")
            PAGE.write_text(with_row(page, row(goal, scale, outcome)), encoding="utf-8")
    return 1 if missed else 0


def tried(goal: Goal, scale: Scale) -> Result | str:
    """Run a goal; gives what it has shown, or why not, as a sentence."""
    reason = goal.needs()
    if reason is not None:
        return f"not run: {reason}"
    try:
        return measured(goal, scale)
    except NotRunError as error:
        return f"not run: {error}"
    except Exception as error:
        traceback.print_exc()
        return f"failed: {type(error).__name__}"


if __name__ == "__main__":
    sys.exit(main())
