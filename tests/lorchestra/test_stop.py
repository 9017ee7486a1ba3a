"""Stopping: everything that runs is told, once, and nobody is missed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lorchestra.stop import Cause, Stop


class Running:
    """A job that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def ask_to_end(self, cause: Cause) -> None:
        self.told.append("ask")

    def kill(self) -> None:
        self.told.append("kill")


@pytest.fixture
def stop() -> Stop:
    return Stop()


def test_at_first_nobody_has_asked(stop: Stop) -> None:
    assert (stop.requested, stop.signal, stop.forced) == (False, None, False)


def test_a_request_asks_all_that_run_to_end_and_force_kills_them(stop: Stop) -> None:
    first, second = Running(), Running()
    stop.enter(first)
    stop.enter(second)
    assert first.told == []
    stop.request(15)
    assert first.told == second.told == ["ask"]
    assert (stop.requested, stop.signal, stop.forced) == (True, 15, False)
    stop.force()
    assert first.told == second.told == ["ask", "kill"]
    assert stop.forced


def test_only_the_first_request_counts(stop: Stop) -> None:
    job = Running()
    stop.enter(job)
    for signal in (2, 15, 2):
        stop.request(signal)
    stop.force()
    stop.force()
    assert stop.signal == 2
    assert job.told == ["ask", "kill"]


def test_one_that_has_left_is_not_told(stop: Stop) -> None:
    job = Running()
    stop.enter(job)
    stop.leave(job)
    stop.leave(job)
    stop.request(2)
    stop.force()
    assert job.told == []


def test_one_that_enters_after_the_stop_is_told_at_once(stop: Stop) -> None:
    stop.request(2)
    late = Running()
    stop.enter(late)
    assert late.told == ["ask"]
    stop.force()
    later = Running()
    stop.enter(later)
    assert (late.told, later.told) == (["ask", "kill"], ["ask", "kill"])


def test_who_wants_to_know_of_the_force_is_told_once_and_after_the_jobs(stop: Stop) -> None:
    job, told = Running(), []
    stop.enter(job)
    stop.when_forced = lambda: told.append([*job.told])
    stop.request(2)
    assert told == []
    stop.force()
    stop.force()
    assert told == [["ask", "kill"]]


def test_he_may_enter_and_leave_jobs_himself(stop: Stop) -> None:
    late = Running()
    stop.when_forced = lambda: stop.enter(late)
    stop.force()
    assert late.told == ["kill"]


@pytest.mark.parametrize("force", [False, True])
def test_a_job_that_starts_in_the_same_instant_is_never_missed(force: bool) -> None:
    with ThreadPoolExecutor(5) as pool:
        for _ in range(300):
            stop, jobs = Stop(), [Running() for _ in range(8)]
            ready = threading.Barrier(5)

            def enter(mine: list[Running], stop: Stop, ready: threading.Barrier) -> None:
                ready.wait()
                for job in mine:
                    stop.enter(job)

            def end(stop: Stop, ready: threading.Barrier) -> None:
                ready.wait()
                stop.request(15)
                if force:
                    stop.force()

            futures = [pool.submit(enter, jobs[n::4], stop, ready) for n in range(4)]
            futures.append(pool.submit(end, stop, ready))
            for future in futures:
                future.result()
            last = "kill" if force else "ask"
            assert [job.told[-1] for job in jobs] == [last] * 8
            assert max(job.told.count("ask") for job in jobs) <= 1
