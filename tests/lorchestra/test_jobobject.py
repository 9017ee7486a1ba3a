"""The Job Object of Windows, simulated: what is in it ends when its handle is closed."""

from __future__ import annotations

import sys

import pytest

from lorchestra.jobobject import ending_with_us

HANDLE = 44


class Simulated:
    """A kernel that notes the calls, and what would have become of this process.

    Attributes:
        fails: The call that fails.
    """

    def __init__(self, fails: str = "") -> None:
        self.calls: list[str] = []
        self.fails = fails
        self.kills = self.is_in = self.is_dead = False

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self.fails:
            raise OSError(5, "Access is denied")

    def create(self) -> int:
        self._call("create")
        return HANDLE

    def end_with_handle(self, handle: int, *, does: bool) -> None:
        assert handle == HANDLE
        self._call("end with handle" if does else "stay")
        self.kills = does

    def enter(self, handle: int) -> None:
        assert handle == HANDLE
        self._call("enter")
        self.is_in = True

    def close(self, handle: int) -> None:
        assert handle == HANDLE
        self._call("close")
        self.is_dead = self.kills and self.is_in


def test_while_it_lasts_processes_end_with_this_one() -> None:
    kernel = Simulated()
    with ending_with_us(kernel):
        assert (kernel.kills, kernel.is_in) == (True, True)
        assert kernel.calls == ["create", "end with handle", "enter"]
    assert kernel.calls[3:] == ["stay", "close"]
    assert not kernel.is_dead


def test_after_an_error_in_it_nothing_is_ended() -> None:
    kernel = Simulated()
    with pytest.raises(ValueError, match="x"), ending_with_us(kernel):
        raise ValueError("x")
    assert kernel.calls[3:] == ["stay", "close"]
    assert not kernel.is_dead


def test_where_the_rule_cannot_be_taken_back_the_handle_stays_open() -> None:
    kernel = Simulated("stay")
    with ending_with_us(kernel):
        pass
    assert kernel.calls[-1] == "stay"
    assert not kernel.is_dead


@pytest.mark.parametrize("call", ["create", "end with handle", "enter"])
def test_without_the_promise_nothing_is_run(call: str) -> None:
    kernel = Simulated(call)
    with pytest.raises(OSError, match="denied"), ending_with_us(kernel):
        pytest.fail("it went on")
    assert not kernel.is_dead


@pytest.mark.skipif(sys.platform == "win32", reason="there is one on Windows")
def test_elsewhere_it_does_nothing() -> None:
    with ending_with_us():
        pass
