"""Durations, times, tables and texts as people read them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from lorchestra.report.text import (
    counted,
    duration,
    local_time,
    printable,
    short,
    status_counts,
    table,
)
from runstore.reading.merge import JOB_STATUSES


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0.00 s"),
        (0.041, "0.04 s"),
        (0.999, "1.00 s"),
        (1, "1.0 s"),
        (12.34, "12.3 s"),
        (99.94, "99.9 s"),
        (99.96, "1 m 40 s"),
        (125, "2 m 05 s"),
        (3599.4, "59 m 59 s"),
        (3599.6, "1 h 00 m"),
        (11_220, "3 h 07 m"),
        (360_000, "100 h 00 m"),
    ],
)
def test_a_duration_has_the_precision_that_a_person_needs(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A time zone five hours and a half ahead of UTC, all year."""
    if not hasattr(time, "tzset"):
        pytest.skip("the system has no time zones to be set")
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XXX-05:30")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_a_time_is_shown_in_the_zone_of_the_machine() -> None:
    assert local_time("2026-11-24T23:10:47.923456Z") == "2026-11-25 04:40:47"


def test_no_time_is_a_dash() -> None:
    assert local_time(None) == "-"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 jobs"), (1, "1 job"), (2, "2 jobs"), (12_345, "12,345 jobs")],
)
def test_a_noun_goes_with_its_number(number: int, text: str) -> None:
    assert counted(number, "job") == text


def test_counts_stand_in_one_order_without_zeros() -> None:
    assert status_counts({"skipped": 1, "failed": 0, "succeeded": 1200}) == (
        "1,200 succeeded, 1 skipped"
    )
    assert status_counts({}) == "no jobs"


def test_every_status_can_be_counted() -> None:
    assert len(status_counts(dict.fromkeys(JOB_STATUSES, 1)).split(", ")) == len(JOB_STATUSES)


def test_columns_stand_under_their_heads() -> None:
    assert table(("A", "BB", ""), [("1", "2", "x"), ("333", "4", "")]) == (
        "A    BB\n"
        "1    2   x\n"
        "333  4"
    )  # fmt: skip


def test_a_cell_stays_a_cell() -> None:
    shown = table(("A", "B"), [("a\nb\x1b[2J", "x" * 1000)])
    head, row = shown.split("\n")
    assert head == "A            B"
    assert row == r"a\nb\x1b[2J  " + "x" * 200 + "..."


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain \u00e9 \u4ed5 \N{PARTY POPPER}", "plain \u00e9 \u4ed5 \N{PARTY POPPER}"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[2J\x07\x00\x9b", r"\x1b[2J\x07\x00\x9b"),
        ("\u202e\u2028\u200b", r"\u202e\u2028\u200b"),
        ("\udcff", r"\udcff"),
        ("\U000e0001", r"\U000e0001"),
        ("", ""),
    ],
)
def test_what_moves_the_cursor_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert shown.isprintable()


def test_a_long_text_is_cut() -> None:
    assert short("x" * 200) == "x" * 200
    assert short("x" * 201) == "x" * 200 + "..."
    assert short("x\n" * 5, 3) == r"x\nx..."
