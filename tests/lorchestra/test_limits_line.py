"""The line before the limits of a machine."""

from __future__ import annotations

import pytest

from lorchestra.limits.line import Line


def line_of(*places: tuple[str, list[str]]) -> Line:
    line = Line()
    for number, claims in places:
        line.stay(number, claims, 0.0)
    return line


def test_who_comes_later_does_not_take_what_those_before_claim() -> None:
    line = line_of(("1", ["a"]), ("2", ["b"]))
    assert line.claimed_before("1", ()) == set()
    assert line.claimed_before("2", ()) == {"a"}
    assert line.claimed_before("", ()) == {"a", "b"}


def test_a_place_is_kept_and_its_claims_grow() -> None:
    line = line_of(("1", ["a"]), ("2", ["b"]), ("1", ["c"]))
    assert line.claimed_before("1", ()) == set()
    assert line.claimed_before("2", ()) == {"a", "c"}


def test_those_of_the_same_run_are_no_others() -> None:
    line = line_of(("1", ["a"]), ("2", ["b"]), ("3", ["c"]))
    assert line.claimed_before("3", {"1", "3"}) == {"b"}
    assert line.numbers() == ["1", "2", "3"]


def test_who_has_left_claims_nothing() -> None:
    line = line_of(("1", ["a"]), ("2", ["b"]))
    assert line.leave({"1", "3"})
    assert not line.leave({"1"})
    assert line.claimed_before("2", ()) == set()


def test_it_is_the_same_after_it_was_in_a_file() -> None:
    line = line_of(("1", ["b", "a"]), ("2", []))
    assert Line.decoded(line.encoded(), 1.0) == line


def test_who_has_not_been_seen_for_a_while_has_gone() -> None:
    line = line_of(("1", ["a"]), ("2", ["b"]))
    line.see({"2"}, 8.0)
    assert Line.decoded(line.encoded(), 8.0).claimed_before("", ()) == {"b"}


def test_who_was_seen_in_the_future_was_there_before_a_restart() -> None:
    line = line_of(("1", ["a"]))
    assert Line.decoded(line.encoded(), -1.0).claimed_before("", ()) == set()


@pytest.mark.parametrize("data", [b"", b"[", b"{}x", b"3", b'[["1"]]', b'[["1",3,0]]', b"\xff"])
def test_a_file_that_says_nothing_is_an_empty_line(data: bytes) -> None:
    assert Line.decoded(data, 0.0) == Line()
