"""A team of threads, and the one thread that hears what they say."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from lorchestra.executors import Say, ThreadTeam
from tests.leaks import nothing_left_behind

Told = tuple[int, object]


def nobody(_say: Say[Told]) -> set[int]:
    return set()


@pytest.mark.parametrize("workers", [1, 2, 9])
def test_every_worker_works_once_and_all_is_heard_in_this_thread(workers: int) -> None:
    heard: list[Told] = []
    threads = set()

    def work(worker: int, say: Say[Told]) -> None:
        for n in range(50):
            say((worker, n))

    def hear(message: Told) -> None:
        threads.add(threading.current_thread())
        heard.append(message)

    with nothing_left_behind(grace_s=0):
        ThreadTeam[Told](workers).run(work, hear, nobody)
    assert threads == {threading.current_thread()}
    for worker in range(workers):
        assert [n for who, n in heard if who == worker] == [*range(50)]
    assert len(heard) == 50 * workers


def test_workers_work_at_once() -> None:
    everybody = threading.Barrier(4)

    def work(_worker: int, _say: Say[Told]) -> None:
        everybody.wait(20)

    ThreadTeam[Told](4).run(work, print, nobody)


def test_a_worker_that_raises_has_left_too() -> None:
    heard: list[Told] = []

    def work(worker: int, say: Say[Told]) -> None:
        say((worker, "begun"))
        raise ValueError

    ThreadTeam[Told](3).run(work, heard.append, nobody)
    assert len(heard) == 3


class TestTooFewThreads:
    """The system has a limit for threads, and this process has come to it."""

    @pytest.fixture
    def threads(self, monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
        started: list[threading.Thread] = []
        start = threading.Thread.start

        def limited(thread: threading.Thread) -> None:
            if len(started) == self.limit:
                raise RuntimeError("can't start new thread")
            started.append(thread)
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", limited)
        return started

    limit = 2

    def test_those_there_do_the_work_of_the_others(self, threads: list[threading.Thread]) -> None:
        heard: list[Told] = []
        with nothing_left_behind(grace_s=0):
            ThreadTeam[Told](5).run(lambda n, say: say((n, "done")), heard.append, nobody)
        assert sorted(n for n, _ in heard) == [*range(5)]
        assert len(threads) <= 2

    def test_without_any_it_is_an_error(
        self, threads: list[threading.Thread], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(TestTooFewThreads, "limit", 0)
        with nothing_left_behind(grace_s=0), pytest.raises(RuntimeError, match="new thread"):
            ThreadTeam[Told](2).run(lambda _n, _say: None, print, nobody)


class TestGivingUp:
    @pytest.fixture
    def let_go(self) -> threading.Event:
        return threading.Event()

    def run(
        self, work: Callable[[int, Say[Told]], None], given_up: Callable[[Say[Told]], set[int]]
    ) -> list[Told]:
        heard: list[Told] = []
        team = ThreadTeam[Told](2)

        def hear(message: Told) -> None:
            heard.append(message)
            if message == (1, "look"):
                team.look_up()

        team.run(work, hear, given_up)
        return heard

    def test_a_worker_that_is_given_up_is_not_waited_for(self, let_go: threading.Event) -> None:
        def work(worker: int, say: Say[Told]) -> None:
            say((worker, "begun"))
            if worker == 0:
                let_go.wait(20)
            else:
                say((worker, "look"))

        def give_up(say: Say[Told]) -> set[int]:
            say((0, "given up"))
            return {0}

        try:
            heard = self.run(work, give_up)
        finally:
            let_go.set()
        assert heard[-1] == (0, "given up")
        assert (0, "begun") in heard

    def test_the_others_are(self, let_go: threading.Event) -> None:
        hung = threading.Event()

        def work(worker: int, say: Say[Told]) -> None:
            if worker == 0:
                hung.set()
                let_go.wait(20)
                return
            hung.wait(20)
            say((1, "look"))
            say((1, "still at work"))

        try:
            heard = self.run(work, lambda _say: {0})
        finally:
            let_go.set()
        assert heard == [(1, "look"), (1, "still at work")]

    def test_who_gives_up_nobody_waits_for_all(self) -> None:
        def work(worker: int, say: Say[Told]) -> None:
            say((worker, "look"))
            say((worker, "end"))

        with nothing_left_behind(grace_s=0):
            assert len(self.run(work, nobody)) == 4


def test_what_is_said_in_a_rush_is_heard_though_no_worker_leaves() -> None:
    heard: list[Told] = []
    all_heard = threading.Event()

    def work(worker: int, say: Say[Told]) -> None:
        for n in range(5000):
            say((worker, n))
        assert all_heard.wait(20)
        # And what is said alone after it, too.
        all_heard.clear()
        say((worker, "slow"))
        assert all_heard.wait(20)

    def hear(message: Told) -> None:
        heard.append(message)
        if message[1] in {4999, "slow"}:
            all_heard.set()

    ThreadTeam[Told](1).run(work, hear, nobody)
    assert [what for _, what in heard] == [*range(5000), "slow"]
