"""The table of docs/reliability.md: one row for each goal, of the last time that it was run.

Rows that are written take the place of those of the same goals; the others stay, so that a run that
takes hours can be made in pieces.
"""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.harness import Goal, Result
from tests.scale import Scale

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: begin -->\n", "<!-- faults: end -->\n"
HEAD = """\
| goal | what is promised | what was done | lost | undetected | false alarms | took | counts | on |
| ---: | --- | --- | ---: | ---: | ---: | ---: | --- | --- |
"""
_ROW = re.compile(r"\| (\d+) \|.*\n")


def row(goal: Goal, scale: Scale, outcome: Result | str) -> str:
    """The row of a goal: what it has shown, or why it has not, as a sentence."""
    counts = "full" if scale.is_full else "reduced"
    if isinstance(outcome, Result):
        marks = [str(mark) for mark in (outcome.lost, outcome.undetected, outcome.false_alarms)]
        shown = [outcome.done, *marks, f"{outcome.took_s:,.1f} s", counts]
    else:
        shown = [outcome, "", "", "", "", "none"]
    today = datetime.now(UTC).date().isoformat()
    return _line([str(goal.number), goal.title, *shown, today])


def with_row(page: str, new: str) -> str:
    """The text of the page with a row written into its table."""
    before, rest = page.split(BEGIN)
    table, after = rest.split(END)
    rows = {_number(line): line for line in table.splitlines(keepends=True) if _ROW.match(line)}
    rows[_number(new)] = new
    lines = [rows[number] for number in sorted(rows)]
    return f"{before}{BEGIN}{_where()}\n\n{HEAD}{''.join(lines)}{END}{after}"


def _where() -> str:
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    python = f"Python {platform.python_version()}"
    return f"The last of these runs: {python}, {system}, {os.cpu_count()} processors."


def _line(cells: list[str]) -> str:
    escaped = (cell.replace("\n", " ").replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |\n"


def _number(line: str) -> int:
    match = _ROW.fullmatch(line)
    assert match is not None, line
    return int(match[1])
