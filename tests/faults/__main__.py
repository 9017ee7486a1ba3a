"""Run the goals and print their figures; `--full` for the full counts, `--write` for the docs.

python -m tests.faults [--full] [--write] [NUMBER...]
"""

from __future__ import annotations

import argparse
import platform
import sys
from pathlib import Path

from tests.faults.harness import Goal, Result, goals, measured
from tests.scale import ASKED_FOR, FULL

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"


def main() -> int:
    """Run what was asked for; 1 when a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("numbers", nargs="*", type=int, metavar="NUMBER", help="only these goals")
    parser.add_argument("--full", action="store_true", help="the full counts")
    parser.add_argument("--write", action="store_true", help=f"write the table of {PAGE.name}")
    options = parser.parse_args()
    rows, missed = [], 0
    for goal in goals():
        if options.numbers and goal.number not in options.numbers:
            continue
        reason = goal.needs()
        result = None if reason else measured(goal, FULL if options.full else ASKED_FOR)
        print(f"{goal.number:2} {goal.title}: {result or f'not run: {reason}'}", flush=True)
        missed += result is not None and not result.is_clean
        rows.append(_row(goal, result, reason))
    if options.write:
        _write(rows)
    return 1 if missed else 0


def _row(goal: Goal, result: Result | None, reason: str | None) -> str:
    if result is None:
        return f"| {goal.number} | {goal.title} | not run: {reason} | | | |"
    shown = ", ".join(
        f"{value:,} {name}" if isinstance(value, int | float) else f"{name} {value}"
        for name, value in result.figures.items()
    )
    return (
        f"| {goal.number} | {goal.title} | {shown} | {result.lost} | {result.undetected} "
        f"| {result.false_alarms} |"
    )


def _write(rows: list[str]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    machine = f"Python {platform.python_version()}, {platform.system()} {platform.release()}"
    table = "\n".join(
        [
            "| goal | what is promised | done | lost | undetected | false alarms |",
            "| ---: | --- | --- | ---: | ---: | ---: |",
            *rows,
        ]
    )
    page = f"{before}{BEGIN}\nLast run: {machine}.\n\n{table}\n{END}{after}"
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
