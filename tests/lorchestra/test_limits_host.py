"""Limits of this machine: shared by runs, free again when their holders have gone.

Each `Limits` here is a run; locks of the system keep those of one process apart as well.
"""

from __future__ import annotations

import errno
import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorchestra.errors import ConfigError
from lorchestra.limits import Grant, Limits, Refusal, Ticket
from lorchestra.limits.host import STATE_DIR, state_folder
from lorchestra.limits.slots import turn
from lorchestra.model import Job, Outcome, Shell
from lorchestra.queue import StageQueue
from lorchestra.quota import Quota, Rate
from lorchestra.retrying import Turn

SHARED = Quota("x", 2, scope="host")


class Runs:
    """Runs that share a state folder."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack

    def __call__(self, *quotas: Quota) -> Limits:
        limits = Limits(quotas, self.folder)
        limits.prepare()
        self._stack.callback(limits.close)
        return limits


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    with ExitStack() as stack:
        yield Runs(tmp_path / "state", stack)


def ticket(**needs: int) -> Ticket:
    return Ticket(needs)


def granted(limits: Limits, wish: Ticket, now: float | None = None) -> Grant:
    answer = limits.take(wish, time.monotonic() if now is None else now)
    assert isinstance(answer, Grant), answer
    return answer


def refused(limits: Limits, wish: Ticket, now: float | None = None) -> list[str]:
    answer = limits.take(wish, time.monotonic() if now is None else now)
    assert isinstance(answer, Refusal)
    assert answer.again_in_s is not None
    return [str(short) for short in answer.shortages]


def full(_path: Path, _data: bytes) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def later() -> float:
    """When everybody who waits looks again."""
    return time.monotonic() + 1.0


class TestCapacity:
    def test_runs_share_it(self, runs: Runs) -> None:
        one, other = runs(SHARED), runs(SHARED)
        first, _second = granted(one, ticket(x=1)), granted(other, ticket(x=1))
        waiting = ticket(x=1)
        assert refused(one, waiting) == ["x (2 of 2 in use on this machine)"]
        first.release()
        first.release()
        # What this run has given back it sees at once.
        third = granted(one, waiting)
        assert len(third.descriptors) == 1

    def test_all_units_are_taken_or_none(self, runs: Runs) -> None:
        one, other = runs(SHARED), runs(SHARED)
        granted(one, ticket(x=1))
        assert refused(other, ticket(x=2)) == ["x (1 of 2 in use on this machine)"]
        other.stand_aside()
        assert len(granted(one, ticket(x=1)).descriptors) == 1

    def test_all_limits_are_taken_or_none(self, runs: Runs) -> None:
        y = Quota("y", 1, scope="host")
        one, other = runs(SHARED, y), runs(SHARED, y)
        granted(one, ticket(y=1))
        assert refused(other, ticket(x=2, y=1)) == ["y (1 of 1 in use on this machine)"]
        assert len(granted(one, ticket(x=2)).descriptors) == 2

    def test_a_limit_of_the_run_comes_first_and_nothing_is_held_meanwhile(self, runs: Runs) -> None:
        one, other = runs(SHARED, Quota("r", 1)), runs(SHARED)
        granted(one, ticket(r=1))
        answer = one.take(ticket(x=2, r=1), time.monotonic())
        assert isinstance(answer, Refusal)
        assert [str(short) for short in answer.shortages] == ["r (1 of 1 in use)"]
        granted(other, ticket(x=2))

    def test_one_name_may_have_a_limit_of_the_run_and_one_of_the_machine(self, runs: Runs) -> None:
        one, other = runs(SHARED, Quota("x", 1)), runs(SHARED)
        granted(one, ticket(x=1))
        answer = one.take(ticket(x=1), time.monotonic())
        assert isinstance(answer, Refusal)
        assert [str(short) for short in answer.shortages] == ["x (1 of 1 in use)"]
        granted(other, ticket(x=1))
        assert refused(other, ticket(x=1)) == ["x (2 of 2 in use on this machine)"]

    def test_the_smaller_of_two_capacities_uses_the_first_units_only(self, runs: Runs) -> None:
        small, large = runs(Quota("x", 1, scope="host")), runs(Quota("x", 3, scope="host"))
        first = granted(large, ticket(x=1))
        assert refused(small, ticket(x=1)) == ["x (1 of 1 in use on this machine)"]
        small.stand_aside()
        granted(large, ticket(x=2))
        first.release()
        granted(small, ticket(x=1))

    def test_names_that_differ_in_case_are_two_limits(self, runs: Runs) -> None:
        one = runs(Quota("x", 1, scope="host"), Quota("X", 1, scope="host"))
        granted(one, ticket(x=1))
        granted(one, ticket(X=1))

    def test_closing_gives_everything_back(self, runs: Runs) -> None:
        one, other = runs(SHARED), runs(SHARED)
        granted(one, ticket(x=2))
        one.close()
        granted(other, ticket(x=2))


class TestLine:
    def test_who_came_first_goes_first(self, runs: Runs) -> None:
        holder, first, second = runs(SHARED), runs(SHARED), runs(SHARED)
        held = granted(holder, ticket(x=2))
        one, two, three = ticket(x=2), ticket(x=1), ticket(x=1)
        assert refused(first, one) == ["x (2 of 2 in use on this machine)"]
        assert refused(second, two) == ["x (other runs are before it)"]
        held.release()
        # Also before one of the run that has just given it back.
        assert refused(holder, three) == ["x (other runs are before it)"]
        assert refused(second, two, later()) == ["x (other runs are before it)"]
        taken = granted(first, one, later())
        taken.release()
        granted(second, two, later() + 1)
        granted(holder, three, later() + 1)

    def test_who_needs_something_else_does_not_wait(self, runs: Runs) -> None:
        y = Quota("y", 1, scope="host")
        one, other = runs(SHARED, y), runs(SHARED, y)
        granted(one, ticket(x=2))
        refused(one, ticket(x=1, y=1))
        granted(other, ticket(y=1))

    def test_the_first_job_of_a_run_has_the_first_of_its_places(self, runs: Runs) -> None:
        """`big` stands before `small` in its run, and has come to the line of the machine later.

        With its own place it would wait for the other run, which waits for `small`, which waits
        for `big` in the queue of its run.
        """
        one, other = runs(SHARED), runs(SHARED)
        held = granted(one, ticket(x=2))
        big, small, foreign = ticket(x=2), ticket(x=1), ticket(x=1)
        small.order = (0, 1)
        refused(one, small)
        assert refused(other, foreign) == ["x (other runs are before it)"]
        assert refused(one, big) == ["x (2 of 2 in use on this machine)"]
        held.release()
        granted(one, big, later()).release()
        assert refused(one, small, later()) == ["x (other runs are before it)"]
        granted(other, foreign, later())

    def test_a_place_is_kept_while_any_job_of_the_run_looks(self, runs: Runs) -> None:
        one, other = runs(SHARED), runs(SHARED)
        granted(one, ticket(x=1))
        first, second, foreign = ticket(x=2), ticket(x=2), ticket(x=1)
        second.order = (0, 1)
        now = time.monotonic()
        refused(one, first, now)
        for seconds in range(8):
            refused(one, second, now + seconds)
        assert refused(other, foreign, now + 8) == ["x (other runs are before it)"]

    def test_who_stands_aside_is_not_waited_for(self, runs: Runs) -> None:
        one, other = runs(SHARED), runs(SHARED)
        granted(one, ticket(x=1))
        refused(one, ticket(x=2))
        one.stand_aside()
        granted(other, ticket(x=1))

    def test_who_has_not_looked_for_a_while_is_not_waited_for(self, runs: Runs) -> None:
        one, other = runs(SHARED), runs(SHARED)
        granted(one, ticket(x=1))
        refused(one, ticket(x=2))
        wish = ticket(x=1)
        assert refused(other, wish) == ["x (other runs are before it)"]
        granted(other, wish, time.monotonic() + 6)

    def test_who_has_the_lock_is_not_waited_for(self, runs: Runs) -> None:
        one = runs(SHARED)
        wish = ticket(x=1)
        with turn(runs.folder / "limits") as is_ours:
            assert is_ours
            assert refused(one, wish) == ["x (other runs are before it)"]
        granted(one, wish, later())

    def test_it_looks_less_often_the_longer_it_waits(self, runs: Runs) -> None:
        one = runs(SHARED)
        granted(one, ticket(x=2))
        wish, now, pauses = ticket(x=1), 1000.0, list[float]()
        for _ in range(40):
            answer = one.take(wish, now)
            assert isinstance(answer, Refusal)
            assert answer.again_in_s is not None
            pauses.append(answer.again_in_s)
            now += answer.again_in_s
        assert (pauses[0], pauses[-1]) == (0.02, 0.25)
        assert pauses == sorted(pauses)
        # A tenth of what it has waited, and 20 ms.
        waited = [sum(pauses[:number]) for number in range(20)]
        assert pauses[:20] == pytest.approx([0.02 + each / 10 for each in waited])

    def test_it_does_not_look_before_it_is_time(self, runs: Runs) -> None:
        one, other = runs(SHARED), runs(SHARED)
        held = granted(one, ticket(x=2))
        wish = ticket(x=1)
        refused(other, wish, 1000.0)
        held.release()
        answer = other.take(wish, 1000.015)
        assert isinstance(answer, Refusal)
        assert answer.again_in_s == pytest.approx(0.005)
        granted(other, wish, 1000.02)


class Simulated:
    """Runs with queues of jobs, in one process and by one clock.

    Each run has as many workers as it can use; those that find nothing to start wait and look.
    """

    def __init__(self, folder: Path, jobs: list[list[Job]], quotas: list[Quota]) -> None:
        self.quotas = quotas
        self.now = 1000.0
        self.limits = [Limits(quotas, folder) for _ in jobs]
        self.queues = [
            StageQueue(each, stop_on_failure=False, limits=limits)
            for each, limits in zip(jobs, self.limits, strict=True)
        ]
        self.at_work: list[tuple[StageQueue, Turn]] = []
        self.limits[0].prepare()

    def look(self) -> bool:
        """Let every run start what it can; tells whether any run has more to do."""
        self.now += 0.5
        is_more = False
        for queue, limits in zip(self.queues, self.limits, strict=True):
            while isinstance(found := queue.next(self.now), Turn):
                self.at_work.append((queue, found))
                self.check()
            if found is None:
                limits.stand_aside()
            is_more |= found is not None
        return is_more

    def check(self) -> None:
        for quota in self.quotas:
            used = sum(turn.job.limits.get(quota.name, 0) for _, turn in self.at_work)
            assert quota.capacity is not None
            assert used <= quota.capacity

    def end(self, number: int) -> None:
        queue, turn = self.at_work.pop(number % len(self.at_work))
        queue.finished(turn, Outcome("succeeded"), None, self.now)

    def close(self) -> None:
        for limits in self.limits:
            limits.close()


@settings(max_examples=40)
@given(
    capacities=st.lists(st.integers(1, 3), min_size=3, max_size=3),
    wishes=st.lists(
        st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=6),
        min_size=2,
        max_size=3,
    ),
    choices=st.lists(st.integers(0, 9), min_size=1, max_size=10),
)
def test_whatever_runs_want_none_waits_for_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    capacities: list[int],
    wishes: list[list[list[int]]],
    choices: list[int],
) -> None:
    """`wishes`: of each run, of each job, how many units of each limit; `choices`: who ends next.

    While no job is at work and some are left, one is started whenever the runs look: nobody has to
    be forgotten first.
    """
    most = dict(zip("xyz", capacities, strict=True))
    jobs = [
        [
            Job(
                str(number),
                Shell(":"),
                limits={
                    name: min(units, most[name])
                    for name, units in zip("xyz", wish, strict=True)
                    if units
                },
            )
            for number, wish in enumerate(run)
        ]
        for run in wishes
    ]
    quotas = [Quota(name, units, scope="host") for name, units in most.items()]
    chosen = itertools.cycle(choices)
    with pytest.MonkeyPatch.context() as patch:
        simulated = Simulated(tmp_path_factory.mktemp("state"), jobs, quotas)
        patch.setattr("lorchestra.limits.host.time.monotonic", lambda: simulated.now)
        while simulated.look():
            assert simulated.at_work
            simulated.end(next(chosen))
        simulated.close()


class TestRates:
    def test_runs_share_them(self, runs: Runs) -> None:
        rate = Quota("x", rate=Rate(3, "day"), scope="host")
        one, other = runs(rate), runs(rate)
        granted(one, ticket(x=2)).release()
        assert refused(other, ticket(x=2)) == ["x (3/day on this machine reached)"]
        other.stand_aside()
        assert list(granted(other, ticket(x=1)).descriptors) == []
        assert refused(one, ticket(x=1)) == ["x (3/day on this machine reached)"]

    def test_what_is_refused_counts_for_nothing(self, runs: Runs) -> None:
        quotas = (Quota("x", rate=Rate(1, "day"), scope="host"), Quota("y", 1, scope="host"))
        one = runs(*quotas)
        held = granted(one, ticket(y=1))
        wish = ticket(x=1, y=1)
        assert refused(one, wish) == ["y (1 of 1 in use on this machine)"]
        held.release()
        granted(one, wish)

    def test_a_start_is_free_again_one_period_later(
        self, runs: Runs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = runs(Quota("x", rate=Rate(1, "min"), scope="host"))
        clock = [1e9]
        monkeypatch.setattr("lorchestra.limits.host.time.time", lambda: clock[0])
        granted(one, ticket(x=1))
        wish = ticket(x=1)
        clock[0] += 59.9
        refused(one, wish)
        clock[0] += 0.1
        granted(one, wish, later())

    @pytest.mark.parametrize("damage", [b"", b"[1", b"{}", b'["x"]', b"\xff", b"3"])
    def test_a_file_that_says_nothing_counts_for_nothing(self, runs: Runs, damage: bytes) -> None:
        one = runs(Quota("x", rate=Rate(1, "day"), scope="host"))
        granted(one, ticket(x=1))
        for path in (runs.folder / "limits").glob("*.starts"):
            path.write_bytes(damage)
        granted(one, ticket(x=1))


class TestFolder:
    def test_it_is_for_this_user_alone(self, runs: Runs) -> None:
        runs(SHARED)
        if sys.platform != "win32":
            assert (runs.folder / "limits").stat().st_mode & 0o777 == 0o700

    def test_it_is_as_the_environment_says(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(STATE_DIR, str(tmp_path / "s"))
        assert state_folder() == tmp_path / "s"
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv(STATE_DIR, "relative")
        assert state_folder() == tmp_path / "relative"
        monkeypatch.setenv(STATE_DIR, "")
        assert state_folder().name == "lorchestra"

    def test_one_that_cannot_be_is_an_error_before_anything_runs(self, tmp_path: Path) -> None:
        (tmp_path / "state").write_text("a file")
        with pytest.raises(ConfigError, match="limits of scope host cannot be kept there: "):
            Limits([SHARED], tmp_path / "state").prepare()

    def test_limits_of_the_run_need_none(self, tmp_path: Path) -> None:
        limits = Limits([Quota("x", 1)], tmp_path / "state")
        limits.prepare()
        granted(limits, ticket(x=1)).release()
        limits.close()
        assert not (tmp_path / "state").exists()

    def test_while_it_cannot_be_used_nothing_is_taken_and_the_reason_told(
        self, runs: Runs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, other = runs(SHARED), runs(SHARED)
        granted(one, ticket(x=1))
        wish, held = ticket(x=2), ticket(x=1)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", full)
            assert refused(other, wish) == [
                "x (its state folder cannot be used: No space left on device)"
            ]
        granted(other, held)

    def test_starts_that_cannot_be_written_are_no_starts(
        self, runs: Runs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = runs(Quota("x", 1, Rate(1, "day"), scope="host"))
        wish = ticket(x=1)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", full)
            assert refused(one, wish) == [
                "x (its state folder cannot be used: No space left on device)"
            ]
        granted(one, wish, later())
