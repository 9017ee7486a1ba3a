"""Plain progress: one line a change, with the time, whatever the names hold."""

from __future__ import annotations

import re
import time

import pytest

from lorchestra.model import Outcome
from lorchestra.progress import (
    Event,
    JobFinished,
    JobHeld,
    JobNotRun,
    JobStarted,
    RunFinished,
    RunStarted,
    StageFinished,
    StageStarted,
)
from lorchestra.progress.plain import PlainProgress

HOSTILE = "a\x1b[2J\r\nb\u202e\x00"
SHOWN = r"a\x1b[2J\r\nb\u202e\x00"


def finished(outcome: Outcome, job_id: str = "a", attempt: int = 1) -> JobFinished:
    return JobFinished("s", job_id, attempt, outcome, 1.25, "a.log")


def said(*events: Event) -> list[str]:
    """The lines for some events, without the time."""
    lines: list[str] = []
    progress = PlainProgress(lines.append)
    for event in events:
        progress(event)
    return [line.partition(" ")[2] for line in lines]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (RunStarted("R", "p", 2, 1234, "store"), "run R of p: 1,234 jobs in 2 stages"),
        (RunStarted("R", "p", 1, 1, "store"), "run R of p: 1 job in 1 stage"),
        (StageStarted("s", 3, 2), "stage s: 3 jobs, 2 workers"),
        (JobHeld("s", "a", ("x (2 of 2 in use)",)), "a waits for x (2 of 2 in use)"),
        (JobHeld("s", "a", ("x (1/s reached)", "y (z)")), "a waits for x (1/s reached), y (z)"),
        (JobStarted("s", "a", 1), "a started"),
        (JobStarted("s", "a", 2), "a (attempt 2) started"),
        (finished(Outcome("succeeded")), "a succeeded in 1.2 s"),
        (finished(Outcome("failed", error="exit code 3")), "a failed in 1.2 s: exit code 3"),
        (finished(Outcome("failed", error="x"), attempt=3), "a (attempt 3) failed in 1.2 s: x"),
        (JobNotRun("s", "a", "skipped", "why"), "a skipped: why"),
        (
            RunFinished("R", "failed", {"failed": 1, "succeeded": 2}, 75.0, "7:00000000"),
            "run failed in 75.0 s: 2 succeeded, 1 failed",
        ),
    ],
)
def test_every_change_is_a_line(event: Event, line: str) -> None:
    assert said(event) == [line]


def test_the_end_of_a_stage_is_no_news() -> None:
    assert said(StageFinished("s", {"succeeded": 1})) == []


def test_each_line_begins_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    PlainProgress(lines.append)(JobStarted("s", "a", 1))
    (line,) = lines
    assert re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d a started", line)
    monkeypatch.setattr(time, "strftime", lambda _: "23:59:59")
    PlainProgress(lines.append)(JobStarted("s", "a", 1))
    assert lines[1] == "23:59:59 a started"


@pytest.mark.parametrize(
    "event",
    [
        RunStarted("R", HOSTILE, 1, 1, "store"),
        StageStarted(HOSTILE, 1, 1),
        JobHeld("s", HOSTILE, ("x (2 of 2 in use)",)),
        JobStarted("s", HOSTILE, 1),
        finished(Outcome("failed", error=HOSTILE)),
        finished(Outcome("succeeded"), HOSTILE),
        JobNotRun("s", HOSTILE, "skipped", "why"),
        JobNotRun("s", "a", "skipped", HOSTILE),
    ],
)
def test_no_text_of_a_user_moves_the_cursor_or_breaks_the_line(event: Event) -> None:
    (line,) = said(event)
    assert line.isprintable()
    assert SHOWN in line


def test_letters_of_every_script_are_shown_as_they_are() -> None:
    assert said(JobStarted("s", "\u4ed5\u4e8b-\N{PARTY POPPER}-\u00e9", 1)) == [
        "\u4ed5\u4e8b-\N{PARTY POPPER}-\u00e9 started"
    ]


def test_endless_names_and_errors_are_cut() -> None:
    long = "x" * 10_000
    for line in said(JobStarted("s", long, 1), finished(Outcome("failed", error=long))):
        assert len(line) < 300
        assert "xxx..." in line
