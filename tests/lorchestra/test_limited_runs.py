"""Runs whose jobs share limits: how many are at work at once, in which order, what is recorded."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lorchestra import Job, Quota, Rate, Retries
from lorchestra.attempt import JobAttempt
from lorchestra.errors import ConfigError, LimitError
from lorchestra.limits.host import STATE_DIR
from lorchestra.progress import Event, JobFinished, JobGivenUp, JobHeld, JobStarted
from tests.lorchestra.running import Ran, Runner, call, module, shell, stage

WORK = """
    import time
    spans = []
    def work(needs, seconds=0.03):
        began = time.monotonic()
        time.sleep(seconds)
        spans.append((began, time.monotonic(), needs))
"""


class Spans:
    """Functions that note when they were at work, and what they needed."""

    def __init__(self, root: Path) -> None:
        self.name = module(root, WORK)

    def job(self, job_id: str, seconds: float = 0.03, **needs: int) -> Job:
        arguments = {"needs": needs, "seconds": seconds}
        return call(job_id, f"{self.name}:work", arguments, limits=needs)

    def most(self, name: str) -> int:
        """How many units were in use at once at most."""
        spans: list[tuple[float, float, Mapping[str, int]]] = sys.modules[self.name].spans
        return max(
            sum(n.get(name, 0) for began, ended, n in spans if began <= moment < ended)
            for moment, _, _ in spans
        )


@pytest.fixture
def spans(tmp_path: Path) -> Spans:
    return Spans(tmp_path)


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(STATE_DIR, str(tmp_path / "state"))
    return tmp_path / "state"


def held(ran: Ran) -> list[tuple[str, tuple[str, ...]]]:
    return [(event.job_id, event.limits) for event in ran.events if isinstance(event, JobHeld)]


SCOPES = pytest.mark.parametrize("scope", ["run", "host"])


@SCOPES
@pytest.mark.parametrize("workers", [1, 2, 8])
def test_never_more_than_the_capacity_is_in_use(
    run: Runner, spans: Spans, scope: Any, workers: int
) -> None:
    jobs = [spans.job(f"x{n}", x=1) for n in range(9)]
    jobs += [spans.job(f"both{n}", x=2, y=1) for n in range(4)]
    jobs += [spans.job(f"y{n}", y=1) for n in range(4)]
    quotas = (Quota("x", 3, scope=scope), Quota("y", 1, scope=scope))
    ran = run(*jobs, workers=workers, limits=quotas)
    assert set(ran.statuses().values()) == {"succeeded"}
    assert spans.most("x") <= min(3, 2 * workers)
    assert spans.most("y") == 1


@SCOPES
def test_a_limit_is_used_to_its_capacity(run: Runner, tmp_path: Path, scope: Any) -> None:
    """Three jobs wait for each other: with fewer than three at work they would for ever."""
    name = module(
        tmp_path,
        """
        import threading
        together = threading.Barrier(3)
        def meet(): together.wait(20)
        """,
    )
    jobs = [call(str(n), f"{name}:meet", limits={"x": 2}) for n in range(6)]
    ran = run(*jobs, workers=6, limits=(Quota("x", 7, scope=scope),))
    assert set(ran.statuses().values()) == {"succeeded"}


@SCOPES
def test_a_job_that_waits_takes_up_no_worker(run: Runner, tmp_path: Path, scope: Any) -> None:
    """`first` ends when `free` has run: the two workers must be theirs, not one `waiting`'s."""
    first = "until [ -e free ]; do sleep 0.01; done"
    jobs = [
        shell("first", first, limits={"x": 1}),
        shell("waiting", "test -e free", limits={"x": 1}),
        shell("free", ": > free"),
    ]
    ran = run(*jobs, workers=2, limits=(Quota("x", 1, scope=scope),))
    assert set(ran.statuses().values()) == {"succeeded"}


@SCOPES
def test_a_job_that_needs_much_is_not_overtaken(run: Runner, spans: Spans, scope: Any) -> None:
    jobs = [spans.job(f"small{n}", x=1) for n in range(3)]
    jobs += [spans.job("big", x=3), *(spans.job(f"late{n}", x=1) for n in range(12))]
    ran = run(*jobs, workers=4, limits=(Quota("x", 3, scope=scope),))
    order = [event.job_id for event in ran.events if isinstance(event, JobStarted)]
    assert order.index("big") == 3
    assert spans.most("x") == 3


@SCOPES
def test_a_job_that_is_to_be_tried_again_holds_nothing(run: Runner, scope: Any) -> None:
    """`fails` succeeds only when `other`, which needs the same limit, has run meanwhile."""
    jobs = [
        shell("fails", "test -e other", limits={"x": 1}, retries=Retries(1, 0.05)),
        shell("other", ": > other", limits={"x": 1}),
    ]
    ran = run(*jobs, workers=1, limits=(Quota("x", 1, scope=scope),))
    assert ran.statuses() == {"fails": "succeeded", "other": "succeeded"}
    assert len(ran.view.jobs["fails"].attempts) == 2


@SCOPES
@pytest.mark.parametrize("workers", [1, 3])
def test_a_rate_holds_for_every_attempt(run: Runner, scope: Any, workers: int) -> None:
    """The second attempt of `a` and the only one of `b` are one too many in one second."""
    jobs = [
        shell("a", 'test "$LORCHESTRA_ATTEMPT" = 2', limits={"x": 1}, retries=Retries(1, 0.0)),
        shell("b", ":", limits={"x": 1}),
        shell("free", ":"),
    ]
    quota = Quota("x", rate=Rate(2, "s"), scope=scope)
    ran = run(*jobs, workers=workers, limits=(quota,))
    assert set(ran.statuses().values()) == {"succeeded"}
    begun = sorted(record["at"] for each in "ab" for record in ran.records("begin", each))
    assert len(begun) == 3
    first, third = (float(at[17:26]) for at in (begun[0], begun[2]))
    assert (third - first) % 60 > 0.9  # a start is recorded a moment after it was counted
    order = [event.job_id for event in ran.events if isinstance(event, JobStarted)]
    assert order[-1] != "free"


def test_waiting_is_told_and_recorded_once_with_its_reason(run: Runner, tmp_path: Path) -> None:
    """`first` ends when the wait was told."""
    jobs = [
        shell("first", "until [ -e told ]; do sleep 0.01; done", limits={"x": 1}),
        shell("second", ":", limits={"x": 1}),
        shell("third", ":", limits={"x": 1}),
    ]

    def tell(event: Event) -> None:
        if isinstance(event, JobHeld):
            (tmp_path / "told").touch()

    ran = run(*jobs, workers=3, limits=(Quota("x", 1),), handlers=[tell])
    assert held(ran)[0] == ("second", ("x (1 of 1 in use)",))
    recorded = [(record["of"], tuple(record["limits"])) for record in ran.records("limit_wait")]
    assert recorded == held(ran)
    assert len({job_id for job_id, _ in recorded}) == len(recorded)


def test_a_short_wait_is_not_told(run: Runner, spans: Spans) -> None:
    ran = run(spans.job("a", x=1), spans.job("b", x=1), workers=2, limits=(Quota("x", 1),))
    assert held(ran) == []


def test_waiting_for_a_limit_does_not_count_as_time_of_the_job(run: Runner) -> None:
    """The second job waits longer than it may take."""
    jobs = [
        shell("first", "sleep 1.5", limits={"x": 1}),
        shell("second", ":", limits={"x": 1}, timeout_s=1.0, total_timeout_s=1.2),
    ]
    ran = run(*jobs, workers=2, limits=(Quota("x", 1),))
    assert ran.statuses() == {"first": "succeeded", "second": "succeeded"}


@SCOPES
@pytest.mark.parametrize("workers", [1, 2])
def test_the_timeout_of_the_run_ends_a_wait(run: Runner, scope: Any, workers: int) -> None:
    jobs = [shell(name, ":", limits={"x": 1}) for name in "ab"]
    quota = Quota("x", rate=Rate(1, "day"), scope=scope)
    ran = run(*jobs, workers=workers, limits=(quota,), timeout_s=0.3)
    assert ran.statuses() == {"a": "succeeded", "b": "cancelled"}
    assert ran.result.status == "failed"


def test_a_failure_that_stops_the_run_ends_a_wait(run: Runner) -> None:
    jobs = [
        shell("bad", "exit 1", limits={"x": 1}),
        shell("b", ":", limits={"x": 1}),
    ]
    ran = run(*jobs, workers=2, limits=(Quota("x", 1),), stop_on_failure=True)
    assert ran.statuses() == {"bad": "failed", "b": "cancelled"}


def test_a_rate_holds_over_all_stages_of_a_run(run: Runner) -> None:
    first, second = (stage(shell(n, ":", limits={"x": 1}), name=n) for n in "ab")
    quota = Quota("x", rate=Rate(1, "s"))
    ran = run(first, second, limits=(quota,))
    begun = [ran.records("begin", each)[0]["at"] for each in "ab"]
    assert (float(begun[1][17:26]) - float(begun[0][17:26])) % 60 > 0.9


def test_what_a_run_has_taken_of_the_machine_is_given_back(run: Runner) -> None:
    quota = Quota("x", 1, scope="host")
    for _ in range(2):
        ran = run(shell("a", ":", limits={"x": 1}), limits=(quota,))
        assert ran.statuses() == {"a": "succeeded"}


def test_two_runs_at_once_share_what_is_of_the_machine(run: Runner) -> None:
    quota = Quota("x", 2, scope="host")
    runners = [Runner(run.root / name) for name in "ab"]
    ran: list[Ran] = []

    def start(runner: Runner) -> None:
        runner.root.mkdir()
        jobs = [shell(str(n), LOGGED, limits={"x": 1}) for n in range(5)]
        ran.append(runner(*jobs, workers=3, limits=(quota,)))

    threads = [threading.Thread(target=start, args=(runner,)) for runner in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [set(each.statuses().values()) for each in ran] == [{"succeeded"}] * 2
    assert most_at_work(run.root) <= 2


# Each job writes when it began and when it ended, into a file of its own.
LOGGED = "date +%s%N > span.$LORCHESTRA_JOB_ID; sleep 0.05; date +%s%N >> span.$LORCHESTRA_JOB_ID"


def most_at_work(folder: Path) -> int:
    """How many jobs were at work at once at most, by what they have written."""
    found = [path.read_text().split() for path in folder.rglob("span.*")]
    spans = [(int(began), int(ended)) for began, ended in found]
    return max(sum(b <= moment < e for b, e in spans) for moment, _ in spans)


def test_a_job_of_a_limit_that_is_not_there_is_an_error_before_anything_runs(run: Runner) -> None:
    with pytest.raises(LimitError, match="limit 'x' is not defined"):
        run(shell("a", ":", limits={"x": 1}))
    assert list(run.store.run_ids()) == []


def test_a_state_folder_that_cannot_be_is_an_error_before_anything_runs(
    run: Runner, own_state: Path
) -> None:
    own_state.write_text("a file")
    with pytest.raises(ConfigError, match="limits of scope host cannot be kept there"):
        run(shell("a", ":", limits={"x": 1}), limits=(Quota("x", 1, scope="host"),))
    assert list(run.store.run_ids()) == []
    # Who needs none of it does not mind.
    run(shell("a", ":"), limits=(Quota("x", 1, scope="host"),))


def test_a_run_that_cannot_be_recorded_gives_back_what_it_has(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = JobAttempt.run

    def fail(attempt: JobAttempt) -> None:
        real(attempt)
        raise OSError(28, "No space left on device")

    jobs, quota = [shell("a", ":", limits={"x": 1})], Quota("x", 1, scope="host")
    with monkeypatch.context() as patch:
        patch.setattr(JobAttempt, "run", fail)
        with pytest.raises(OSError, match="No space left"):
            run(*jobs, limits=(quota,))
    run(*jobs, limits=(quota,))


def test_events_come_in_order(run: Runner, spans: Spans) -> None:
    jobs = [spans.job(str(n), x=1) for n in range(5)]
    ran = run(*jobs, workers=3, limits=(Quota("x", 1),))
    told = [
        (type(event).__name__, event.job_id)
        for event in ran.events
        if isinstance(event, JobStarted | JobFinished)
    ]
    started = [job_id for kind, job_id in told if kind == "JobStarted"]
    assert started == [str(n) for n in range(5)]


def test_no_job_is_tried_again_after_all_its_time(run: Runner) -> None:
    jobs = (
        shell(
            "a",
            "echo a >> ran; exit 1",
            limits={"x": 1},
            retries=Retries(5, 0.05),
            total_timeout_s=0.4,
        ),
        shell("b", "echo b >> ran; sleep 1.5", limits={"x": 1}),
    )
    ran = run(*jobs, limits=(Quota("x", 1),), workers=4)
    noted = (run.root / "ran").read_text().split()
    assert noted.count("b") == 1
    assert ran.result.status == "failed"
    assert len(ran.view.jobs["a"].attempts) == noted.count("a")
    assert ran.view.jobs["a"].status == "failed"
    (given_up,) = (event for event in ran.events if isinstance(event, JobGivenUp))
    assert given_up.reason == "all attempts together may take 400ms"
