"""Signals become requests to stop, and reach the functions of the main thread alone."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import NoReturn

import pytest

from lorchestra.signals import SIGNALS, Interruptible, stop_on_signals
from lorchestra.stop import Stop
from tests.leaks import nothing_left_behind
from tests.lorchestra.running import eventually

Handlers = tuple[object, ...]


def handlers() -> Handlers:
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    return (wakeup, *(signal.getsignal(number) for number in SIGNALS))


def in_a_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


class TestStopOnSignals:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_the_first_signal_requests_the_second_forces(self, number: int) -> None:
        stop = Stop()
        with stop_on_signals(stop, Interruptible(), 600):
            signal.raise_signal(number)
            eventually(lambda: stop.requested)
            assert (stop.signal, stop.forced) == (number, False)
            signal.raise_signal(number)
            eventually(lambda: stop.forced)
            signal.raise_signal(number)
        assert stop.signal == number

    def test_so_do_different_ones_and_the_first_is_the_reason(self) -> None:
        stop = Stop()
        with stop_on_signals(stop, Interruptible(), 600):
            signal.raise_signal(signal.SIGTERM)
            eventually(lambda: stop.requested)
            signal.raise_signal(signal.SIGINT)
            eventually(lambda: stop.forced)
        assert stop.signal == signal.SIGTERM

    def test_when_the_grace_is_over_it_forces_by_itself_and_stays_awake(self) -> None:
        stop = Stop()
        with stop_on_signals(stop, Interruptible(), 0.05):
            signal.raise_signal(signal.SIGTERM)
            eventually(lambda: stop.forced)
            signal.raise_signal(signal.SIGTERM)

    def test_the_grace_is_given(self) -> None:
        stop = Stop()
        with stop_on_signals(stop, Interruptible(), 600):
            signal.raise_signal(signal.SIGTERM)
            eventually(lambda: stop.requested)
            time.sleep(0.1)
            assert not stop.forced

    def test_a_signal_at_the_very_end_does_no_harm(self) -> None:
        for _ in range(50):
            stop = Stop()
            with stop_on_signals(stop, Interruptible()):
                signal.raise_signal(signal.SIGINT)
            assert stop.signal in {None, signal.SIGINT}

    def test_other_signals_are_not_its_business(self) -> None:
        stop, came = Stop(), []
        before = signal.signal(signal.SIGUSR1, lambda number, _frame: came.append(number))
        try:
            with stop_on_signals(stop, Interruptible()):
                signal.raise_signal(signal.SIGUSR1)
                time.sleep(0.05)
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert came == [signal.SIGUSR1]
        assert not stop.requested

    @pytest.mark.parametrize("error", [None, ValueError("x")])
    def test_everything_is_put_back(self, error: Exception | None) -> None:
        before = handlers()
        with nothing_left_behind(grace_s=0):
            try:
                with stop_on_signals(Stop(), Interruptible()):
                    assert len(set(handlers()) & set(before)) == 0
                    if error:
                        raise error
            except ValueError:
                pass
        assert handlers() == before

    def test_outside_the_main_thread_it_does_nothing(self) -> None:
        before: Handlers = handlers()
        during: list[object] = []

        def look() -> None:
            with stop_on_signals(Stop(), Interruptible()):
                during.extend(signal.getsignal(number) for number in SIGNALS)

        in_a_thread(look)
        assert tuple(during) == before[1:]
        assert handlers() == before

    def test_one_inside_the_other_is_told_alone(self) -> None:
        outer, inner = Stop(), Stop()
        with stop_on_signals(outer, Interruptible()):
            with stop_on_signals(inner, Interruptible()):
                signal.raise_signal(signal.SIGTERM)
                eventually(lambda: inner.requested)
            assert not outer.requested
            signal.raise_signal(signal.SIGTERM)
            eventually(lambda: outer.requested)

    def test_exit_codes_are_kept_although_this_process_ignores_the_end_of_children(self) -> None:
        before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        try:
            with stop_on_signals(Stop(), Interruptible()):
                assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
            assert signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
        finally:
            signal.signal(signal.SIGCHLD, before)


def come(place: Interruptible) -> None:
    """A signal, as far as the handler is concerned."""
    place.on_signal(signal.SIGINT, None)


class TestInterruptible:
    def test_a_signal_raises_in_the_function(self) -> None:
        place = Interruptible()
        with pytest.raises(KeyboardInterrupt):
            place.call(lambda: come(place))
        assert place.interrupted

    def test_elsewhere_it_does_not(self) -> None:
        place = Interruptible()
        assert place.call(lambda: 3) == 3
        assert not place.interrupted
        come(place)
        assert not place.interrupted

    def test_one_that_came_just_before_raises_instead_of_calling(self) -> None:
        place, called = Interruptible(), []
        come(place)
        with pytest.raises(KeyboardInterrupt):
            place.call(lambda: called.append(1))
        assert called == []
        assert place.interrupted

    def test_a_function_that_will_not_end_is_interrupted_again(self) -> None:
        place, came = Interruptible(), []

        def stubborn() -> str:
            for n in range(3):
                try:
                    come(place)
                except KeyboardInterrupt:
                    came.append(n)
            return "done"

        assert place.call(stubborn) == "done"
        assert came == [0, 1, 2]
        assert place.interrupted

    def test_an_error_of_the_function_passes_and_ends_the_place(self) -> None:
        place = Interruptible()

        def fail() -> NoReturn:
            raise ValueError("x")

        with pytest.raises(ValueError, match="x"):
            place.call(fail)
        come(place)

    def test_what_is_shielded_is_not_torn_but_what_follows_is(self) -> None:
        place, written = Interruptible(), []

        def write() -> int:
            written.append("first half")
            come(place)
            written.append("second half")
            return 7

        def function() -> None:
            place.shield(write)
            written.append("never")

        with pytest.raises(KeyboardInterrupt):
            place.call(function)
        assert written == ["first half", "second half"]

    def test_without_a_signal_the_shield_is_a_call(self) -> None:
        place = Interruptible()
        assert place.call(lambda: place.shield(lambda: 7)) == 7
        assert place.shield(lambda: 8) == 8

    def test_a_function_that_cleans_up_after_its_interrupt_may_call_what_is_shielded(self) -> None:
        place = Interruptible()

        def clean_up() -> int:
            with pytest.raises(KeyboardInterrupt):
                come(place)
            return place.shield(lambda: 7)

        assert place.call(clean_up) == 7

    def test_a_shield_in_another_thread_does_not_shield_the_function(self) -> None:
        place, inside, leave = Interruptible(), threading.Event(), threading.Event()

        def shielded() -> None:
            inside.set()
            leave.wait(20)

        def function() -> None:
            thread = threading.Thread(target=place.shield, args=(shielded,))
            thread.start()
            try:
                inside.wait(20)
                come(place)
            finally:
                leave.set()
                thread.join()

        with pytest.raises(KeyboardInterrupt):
            place.call(function)
