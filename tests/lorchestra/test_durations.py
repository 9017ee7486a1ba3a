"""Durations are read and written as people do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorchestra.durations import MOST_S, seconds_in, written


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("5m", 300),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("1m500ms", 60.5),
        ("0s", 0),
    ],
)
def test_what_is_read(text: str, seconds: float) -> None:
    assert seconds_in(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "5", "m", "5 m", "-5m", "5M", "5min", "1e3s", "1..5s", "5m ", "\u0665m", "9" * 10 + "d"],
)
def test_what_is_no_duration(text: str) -> None:
    assert seconds_in(text) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.25, "250ms"), (10, "10s"), (90, "1m30s"), (5400, "1h30m"), (86_400, "1d")],
)
def test_how_one_is_written(seconds: float, text: str) -> None:
    assert written(seconds) == text


@given(st.integers(0, MOST_S * 1000))
def test_what_is_written_reads_the_same(ms: int) -> None:
    assert seconds_in(written(ms / 1000)) == pytest.approx(ms / 1000, rel=1e-4)
