"""The end of a log: so much of it, and nothing that a terminal would obey."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lorchestra.report import log_tail


def tail(tmp_path: Path, content: bytes, **options: Any) -> list[str]:
    path = tmp_path / "a.log"
    path.write_bytes(content)
    return log_tail(str(path), **options)


def test_a_log_that_is_gone_or_a_folder_has_no_end(tmp_path: Path) -> None:
    assert log_tail(str(tmp_path / "gone.log")) == []
    assert log_tail(str(tmp_path)) == []


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\t\n"])
def test_a_log_of_nothing_has_no_lines(tmp_path: Path, content: bytes) -> None:
    assert tail(tmp_path, content) == []


@pytest.mark.parametrize("content", [b"a\nb", b"a\nb\n", b"a\r\nb\r\n\r\n"])
def test_the_end_of_the_last_line_does_not_count(tmp_path: Path, content: bytes) -> None:
    assert tail(tmp_path, content) == ["a", "b"]


def test_the_last_lines_are_given(tmp_path: Path) -> None:
    content = "".join(f"{number}\n" for number in range(100)).encode()
    assert tail(tmp_path, content) == list(map(str, range(80, 100)))
    assert tail(tmp_path, content, lines=2) == ["98", "99"]


def test_a_log_of_gigabytes_is_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with path.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(0, 2)
        file.write(b"\nthe end\n")
    assert log_tail(str(path))[-1] == "the end"


def test_long_lines_are_cut(tmp_path: Path) -> None:
    assert tail(tmp_path, b"x" * 500) == ["x" * 500]
    assert tail(tmp_path, b"x" * 501) == ["x" * 500 + "..."]
    assert tail(tmp_path, b"x" * 1_000_000) == ["x" * 500 + "..."]


def test_what_is_no_text_is_replaced(tmp_path: Path) -> None:
    lines = tail(tmp_path, bytes(range(256)) * 100)
    assert len(lines) == 20
    assert all(line.isprintable() for line in lines)
    assert "\N{REPLACEMENT CHARACTER}" in lines[-1]


def test_a_character_cut_in_half_is_no_error(tmp_path: Path) -> None:
    (line,) = tail(tmp_path, b"x" + "\N{PARTY POPPER}".encode() * 20_000)
    assert "\N{PARTY POPPER}" in line


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("bell\x07 back\x08 nul\x00 delete\x7f", "bell back nul delete"),
        ("c1 \x9b31m", "c1 31m"),
        ("\u202eback \u2066isolated \u200bhidden", "back isolated hidden"),
        ("\ue000 private", " private"),
        ("a\tb", "a       b"),
        ("\N{PARTY POPPER} \u4ed5\u4e8b \u00e9", "\N{PARTY POPPER} \u4ed5\u4e8b \u00e9"),
    ],
)
def test_control_characters_are_taken_out(tmp_path: Path, content: str, shown: str) -> None:
    assert tail(tmp_path, content.encode()) == [shown]
