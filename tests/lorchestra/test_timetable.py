"""When something starts again and again, as each scheduler writes it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from lorchestra.timetable import DAYS, Timetable, days_in, every_in, time_in

ANALYZE = shutil.which("systemd-analyze")
WRITTEN = [
    (Timetable(), "0 2 * * *", "*-*-* 02:00", "/SC DAILY /ST 02:00", "every day at 02:00"),
    (
        Timetable(23, 59, ("mon", "sun")),
        "59 23 * * 1,0",
        "Mon,Sun *-*-* 23:59",
        "/SC WEEKLY /D MON,SUN /ST 23:59",
        "Mon, Sun at 23:59",
    ),
    (
        Timetable(every_min=15),
        "*/15 * * * *",
        "*-*-* *:0/15",
        "/SC MINUTE /MO 15",
        "every 15 minutes",
    ),
    (Timetable(every_min=1), "* * * * *", "*-*-* *:0/1", "/SC MINUTE /MO 1", "every minute"),
    (
        Timetable(every_min=60),
        "0 * * * *",
        "*-*-* 0/1:00",
        "/SC HOURLY /MO 1 /ST 00:00",
        "every hour",
    ),
    (
        Timetable(every_min=360),
        "0 */6 * * *",
        "*-*-* 0/6:00",
        "/SC HOURLY /MO 6 /ST 00:00",
        "every 6 hours",
    ),
]


@pytest.mark.parametrize(("when", "cron", "calendar", "task", "text"), WRITTEN)
def test_each_scheduler_gets_its_own_words(
    when: Timetable, cron: str, calendar: str, task: str, text: str
) -> None:
    assert (when.cron(), when.calendar()) == (cron, calendar)
    assert (" ".join(when.task()), str(when)) == (task, text)


@pytest.mark.skipif(ANALYZE is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("when", [row[0] for row in WRITTEN])
def test_systemd_takes_it(when: Timetable) -> None:
    assert ANALYZE is not None
    subprocess.run([ANALYZE, "calendar", when.calendar()], capture_output=True, check=True)


@pytest.mark.parametrize(
    ("text", "time"),
    [("02:00", (2, 0)), ("7:30", (7, 30)), ("23:59", (23, 59)), ("00:00", (0, 0))],
)
def test_a_time_of_day(text: str, time: tuple[int, int]) -> None:
    assert time_in(text) == time


@pytest.mark.parametrize("text", ["", "24:00", "2", "2:5", "12:60", "-1:00", " 2:00", "٢:00"])
def test_what_is_no_time_of_day(text: str) -> None:
    assert time_in(text) is None


def test_days() -> None:
    assert days_in("sun, Monday") == ("mon", "sun")
    assert days_in(",".join(DAYS)) == DAYS
    for wrong in ("", "mon,", "mo", "monkey", "mon-fri"):
        assert days_in(wrong) is None


@pytest.mark.parametrize(
    ("text", "minutes"), [("1m", 1), ("15m", 15), ("60m", 60), ("1h", 60), ("12h", 720)]
)
def test_what_fits_into_an_hour_or_a_day(text: str, minutes: int) -> None:
    assert every_in(text) == minutes


@pytest.mark.parametrize("text", ["0m", "30s", "7m", "90m", "5h", "24h", "1d", "x", "1.5m"])
def test_what_does_not(text: str) -> None:
    assert every_in(text) is None
