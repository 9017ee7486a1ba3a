"""The failures at the end: which are shown, how much of each, and where the rest is."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorchestra.model import Outcome
from lorchestra.progress import JobFinished, JobNotRun, JobStarted, RunFinished
from lorchestra.progress.failures import Failures

FAILED = Outcome("failed", error="exit code 3")


def finished(job_id: str, outcome: Outcome = FAILED, log: Path | str = "no.log") -> JobFinished:
    return JobFinished("s", job_id, 1, outcome, 0.5, str(log))


def shown(*events: JobFinished | JobNotRun | JobStarted | RunFinished) -> list[str]:
    failures = Failures()
    for event in events:
        failures(event)
    return list(failures.lines(more="lorchestra runs show R"))


def test_without_a_failure_there_is_nothing() -> None:
    assert (
        shown(
            JobStarted("s", "a", 1),
            finished("a", Outcome("succeeded")),
            JobNotRun("s", "b", "cancelled", "why"),
            RunFinished("R", "succeeded", {}, 1.0, "1:00000000"),
        )
        == []
    )


def test_a_job_that_was_stopped_with_the_run_is_no_failure() -> None:
    assert shown(finished("a", Outcome("interrupted", error="stopped with the run"))) == []


def test_a_failure_is_a_block_after_an_empty_line(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("one\n\ntwo\n")
    assert shown(finished("a", log=log)) == [
        "",
        "--- a failed: exit code 3",
        "    | one",
        "    | ",
        "    | two",
        f"    log: {log}",
    ]


@pytest.mark.parametrize(
    ("lines", "first", "named"),
    [(19, 1, "log"), (20, 1, "the last 20 lines; the whole log"),
     (1000, 981, "the last 20 lines; the whole log")],
)  # fmt: skip
def test_at_most_the_last_20_lines_of_a_log_are_shown(
    tmp_path: Path, lines: int, first: int, named: str
) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"{number}\n" for number in range(1, lines + 1)))
    block = shown(finished("a", log=log))
    assert block[2:-1] == [f"    | {number}" for number in range(first, lines + 1)]
    assert block[-1] == f"    {named}: {log}"


def test_a_failure_without_output_names_its_log(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.touch()
    for path in (log, tmp_path / "gone.log"):
        assert shown(finished("a", log=path))[2:] == [f"    log: {path}"]


@pytest.mark.parametrize("count", [1, 10])
def test_up_to_ten_failures_are_shown_in_the_order_in_which_they_came(count: int) -> None:
    heads = [line for line in shown(*(finished(f"j{n}") for n in range(count))) if "---" in line]
    assert heads == [f"--- j{n} failed: exit code 3" for n in range(count)]


@pytest.mark.parametrize(
    ("count", "more"), [(11, "and 1 more failure"), (1000, "and 990 more failures")]
)
def test_of_more_it_is_said_how_many_and_where_they_are(count: int, more: str) -> None:
    lines = shown(*(finished(f"j{n}") for n in range(count)))
    assert sum(line.startswith("---") for line in lines) == 10
    assert lines[-1] == f"{more}: lorchestra runs show R"


def test_no_text_moves_the_cursor(tmp_path: Path) -> None:
    log = tmp_path / "a\x1b[31m.log"
    log.write_bytes(b"\x1b[2J\x1b]0;title\x07red\r\nnext\x00\n" + "\u202eback".encode())
    hostile = "a\x1b[2J\nb\u202e"
    block = shown(finished(hostile, Outcome("failed", error=hostile), log))
    assert all(line.isprintable() for line in block)
    assert block[1] == r"--- a\x1b[2J\nb\u202e failed: a\x1b[2J\nb\u202e"
    assert block[2:-1] == ["    | [2J]0;titlered", "    | next", "    | back"]
    assert r"a\x1b[31m.log" in block[-1]


def test_an_endless_name_or_error_is_cut() -> None:
    head = shown(finished("x" * 10_000, Outcome("failed", error="y" * 10_000)))[1]
    assert len(head) < 500
