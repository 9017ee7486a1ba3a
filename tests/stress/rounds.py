"""One round: a pipeline is run, hurt at random moments, gone on with to its end, and checked."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psutil

from lorchestra import Options, run_pipeline
from lorchestra.loader import load_pipeline
from runstore import RunStore, RunView
from tests.leaks import nothing_left_behind
from tests.stress.pipelines import Work, random_work

# Every process of a round has it in its environment, with the round's own value.
MARK = "STRESS_ROUND"
PROGRAM = (sys.executable, "-m", "lorchestra", "pipeline", "p")
PATIENCE_S = 120.0
_MOST_RESUMES = 30
# That of a job that failed is shown with a margin, and has no function of ours; that of an
# interrupt while Python itself starts has none either.
_OURS_IN_TRACEBACK = re.compile(
    rb'^  File "[^"]*/lorchestra/[^"]*", line \d+, in [a-z_]', re.MULTILINE
)
_DOWN = [
    ("kill", 6),
    ("interrupt", 2),
    ("terminate", 2),
    ("twice", 2),
    ("limit", 1),
    ("nothing", 1),
]
_SIGNALS = {"interrupt": signal.SIGINT, "terminate": signal.SIGTERM}


@dataclass
class Figures:
    """What rounds amounted to."""

    rounds: int = 0
    jobs: int = 0
    children: int = 0
    attempts: int = 0
    kills: int = 0
    interrupts: int = 0
    resumes: int = 0
    started_twice: int = 0
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)

    def __iadd__(self, other: Figures) -> Figures:
        for name in ("rounds", "jobs", "children", "attempts", "kills", "interrupts", "resumes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.started_twice += other.started_twice
        self.seconds += other.seconds
        self.statuses += other.statuses
        return self

    def __str__(self) -> str:
        attempts = ", ".join(f"{count} {status}" for status, count in self.statuses.most_common())
        return (
            f"{self.rounds} rounds, {self.jobs} jobs, {self.children} runs inside others, "
            f"{self.attempts} attempts ({attempts}), "
            f"{self.kills} kills, {self.interrupts} interrupts, {self.resumes} resumes, "
            f"{self.started_twice} started twice, {self.seconds:.0f} s"
        )


class Round:
    """One round in a folder of its own. A round of the same name does the same, but for timing."""

    def __init__(self, name: str, root: Path) -> None:
        self.chance = Random(name)
        self.root = root
        self.work: Work = random_work(name, self.chance)
        self.path = self.work.write(root)
        self.store = RunStore(root / "store", "os")
        self.guard = ["--guard", "fail"] if self.chance.random() < 0.3 else []
        self.run_key = "night" if self.chance.random() < 0.3 else None
        self.mark = f"{name}-{os.getpid()}"
        self.figures = Figures(rounds=1, jobs=len(self.work.job_ids))

    def run(self) -> Figures:
        """Hurt it, go on with it, and hold all that there is against itself.

        Raises:
            AssertionError: Something is lost, wrong, or left behind.
        """
        began = time.monotonic()
        try:
            for _ in range(self.chance.randint(1, 4)):
                self._hurt()
            self._finish()
            self._check()
        finally:
            self._end_all()
        self.figures.seconds = time.monotonic() - began
        return self.figures

    def _hurt(self) -> None:
        """Run, or go on with, the pipeline, and stop that somehow."""
        names, weights = zip(*_DOWN, strict=True)
        (how,) = self.chance.choices(names, weights)
        files = self._files()
        limit = f"{self.chance.uniform(0.1, 1.5):.2f}s"
        process = self._start(*(["--timeout", limit] if how == "limit" else []))
        if how == "twice":
            self._start_another(files)
        elif how not in {"nothing", "limit"}:
            self._let_it_work(process, files)
        if how == "kill":
            self.figures.kills += process.poll() is None
            process.kill()
            process.wait()
            self._check_crashed()
            return
        if how in _SIGNALS:
            self.figures.interrupts += process.poll() is None
            process.send_signal(_SIGNALS[how])
            if self.chance.random() < 0.4:
                time.sleep(self.chance.uniform(0, 0.3))
                process.send_signal(self.chance.choice(list(_SIGNALS.values())))
        self._check_ended(process.wait(PATIENCE_S), began=self._files() > files)

    def _start(self, *options: str) -> subprocess.Popen[bytes]:
        self.figures.resumes += bool(self._run_id())
        orphans = self.chance.choices(["kill", "wait"], [3, 1])[0]
        return self._popen(*self._go_on(), "--orphans", orphans, *options)

    def _go_on(self) -> list[str]:
        if self.run_key is not None:
            return ["--run-key", self.run_key]
        return ["--resume"] if self._run_id() else []

    def _run_id(self) -> str | None:
        """The run that is inside no other; None: there is none yet."""
        run_ids = self.store.run_ids()
        outer = [each for each in run_ids if "parent" not in self.store.read(each).begin]
        assert len(outer) <= 1, outer
        return outer[0] if outer else None

    def _popen(self, *options: str) -> subprocess.Popen[bytes]:
        durability = self.chance.choices(["os", "disk"], [4, 1])[0]
        workers = str(self.work.workers)
        common = ["--store", str(self.store.path), "--durability", durability, *self.guard]
        with open(self.root / "stderr", "ab") as stderr:
            return subprocess.Popen(
                [*PROGRAM, *options, *common, "--max-workers", workers, "--progress", "none"],
                cwd=self.root,
                env={**os.environ, **self._variables()},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )

    def _variables(self) -> dict[str, str]:
        return {MARK: self.mark, "LORCHESTRA_STATE_DIR": str(self.root / "state")}

    def _let_it_work(self, process: subprocess.Popen[bytes], files: int) -> None:
        """Wait for a random moment, mostly one of those in which jobs come and go."""
        is_early = self.chance.random() < 0.2
        after_s = self.chance.uniform(0, 0.5 if is_early else 0.2 + 0.01 * self.figures.jobs)
        deadline = time.monotonic() + PATIENCE_S
        while not is_early and self._files() == files and time.monotonic() < deadline:
            if process.poll() is not None:
                return
            time.sleep(0.005)
        with suppress(subprocess.TimeoutExpired):
            process.wait(after_s)

    def _files(self) -> int:
        """How many files the run has of its own: one more when it has begun, or is gone on with."""
        return len(list(self.root.glob("store/runs/*/run*.jsonl")))

    def _start_another(self, files: int) -> None:
        """Go on with the same run a second time: only one of the two may."""
        if self.chance.random() < 0.6 or not self._run_id():
            deadline = time.monotonic() + PATIENCE_S
            while self._files() == files and time.monotonic() < deadline:
                time.sleep(0.005)
        else:
            time.sleep(self.chance.uniform(0, 0.1))
        other = self._popen(*(self._go_on() or ["--resume"]), "--orphans", "fail")
        code = other.wait(PATIENCE_S)
        assert code in {0, 1, 75}, self._said()
        self.figures.started_twice += code == 75

    def _check_crashed(self) -> None:
        for run_id in self.store.run_ids():
            report = self.store.verify(run_id)
            assert report.ok, report.errors
            assert self.store.read(run_id).status != "running"

    def _check_ended(self, code: int, *, began: bool) -> None:
        """A run that ended by itself, or was interrupted, is complete and leaves no process.

        Before there is a run, and after it has ended, a signal ends the program as it does others.
        """
        assert code in {0, 1, 75, 130, 143, -signal.SIGINT, -signal.SIGTERM}, (code, self._said())
        assert not _OURS_IN_TRACEBACK.search(self._said()), self._said()
        if code == 75:
            return
        for run_id in self.store.run_ids():
            view = self.store.read(run_id)
            assert self.store.verify(run_id).ok
            # Where it may have to wait for a guard, a signal ends the opening of the run.
            assert view.end or not began or self.guard, self._said()
            if view.end:
                assert_complete(view)
        if began:
            assert [each.cmdline() for each in self._processes()] == []

    def _said(self) -> bytes:
        return (self.root / "stderr").read_bytes() if (self.root / "stderr").exists() else b""

    def _finish(self) -> None:
        """Go on with it, here, until all has succeeded; that leaves no thread and no descriptor."""
        pipeline = load_pipeline(self.path, self.root)
        options = Options(self.work.workers, stop_on_failure=False)
        with these_set(self._variables()):
            for _ in range(_MOST_RESUMES):
                run_id = self._run_id()
                if run_id and self.store.read(run_id).status == "succeeded":
                    return
                self.figures.resumes += bool(run_id)
                # A key, and an id, both stand for what there is.
                how = {"run_key": self.run_key} if self.run_key else {"resume": run_id}
                rule: Any = self.chance.choice(["kill", "wait"])
                with nothing_left_behind():
                    run_pipeline(pipeline, self.store, options, orphans=rule, **how)
                assert list(self._processes()) == []
        raise AssertionError("it does not come to its end")

    def _check(self) -> None:
        run_id = self._run_id()
        assert run_id is not None
        view = self.store.read(run_id)
        self._check_run(view, self.work.job_ids)
        assert not (self.root / "clashes").exists(), (self.root / "clashes").read_text()
        inside = {job_id: ids for job_id in view.jobs if (ids := self.work.inside(job_id))}
        known = {run_id}
        for job_id in view.jobs:
            self._check_attempts(view, job_id)
            if job_id not in inside:
                self._check_job(view, job_id)
            else:
                child = self.store.read(view.jobs[job_id].output["run_id"])
                known.add(child.id)
                self._check_child(child, view, job_id, inside[job_id])
        for each in set(self.store.run_ids()) - known:
            # Killed after it was begun, and before the run around it named it.
            assert not any(job.attempts for job in self.store.read(each).jobs.values())

    def _check_run(self, view: RunView, job_ids: list[str]) -> None:
        assert view.status == "succeeded"
        assert list(view.jobs) == job_ids
        report = self.store.verify(view.id, receipt=view.receipt)
        assert report.ok, report.errors
        assert_complete(view)

    def _check_child(self, child: RunView, view: RunView, job_id: str, inside: list[str]) -> None:
        assert child.begin["parent"] == {"run": view.id, "job": job_id}
        self._check_run(child, inside)
        for each in inside:
            self._check_attempts(child, each)
            self._check_job(child, each)
        self.figures.children += 1
        self.figures.jobs += len(inside)

    def _check_attempts(self, view: RunView, job_id: str) -> None:
        """They are numbered without a gap, and one at most succeeded."""
        statuses = [attempt.status for attempt in view.jobs[job_id].attempts]
        numbers = [attempt.number for attempt in view.jobs[job_id].attempts]
        self.figures.attempts += len(statuses)
        self.figures.statuses += Counter(statuses)
        assert numbers == [*range(1, len(numbers) + 1)], (job_id, numbers)
        assert statuses.count("succeeded") <= 1, (job_id, statuses)

    def _check_job(self, view: RunView, job_id: str) -> None:
        """What a job did, by its own account, is what the record says of it."""
        job, did = view.jobs[job_id], self._did(job_id)
        statuses = {attempt.number: attempt.status for attempt in job.attempts}
        assert did["begin"] <= statuses.keys(), (job_id, did, statuses)
        succeeded = {number for number, status in statuses.items() if status == "succeeded"}
        assert succeeded or job_id in self.work.allowed, (job_id, statuses)
        # One whose runner was killed may have come to its end, or never begun.
        assert succeeded <= did["end"], (job_id, did, statuses)
        failed = {number for number, status in statuses.items() if status == "failed"}
        assert failed <= did["begin"] - did["end"], (job_id, did, statuses)
        if succeeded:
            assert job.output["attempt"] == max(statuses) == min(succeeded)

    def _did(self, job_id: str) -> dict[str, set[int]]:
        did: dict[str, list[int]] = defaultdict(list, begin=[], end=[])
        keys = set()
        with suppress(FileNotFoundError):
            for line in (self.root / "did" / job_id).read_text().splitlines():
                what, number, *key = line.split()
                did[what].append(int(number))
                keys.update(key)
        assert len(keys) <= 1
        assert all(len(numbers) == len(set(numbers)) for numbers in did.values()), (job_id, did)
        return {what: set(numbers) for what, numbers in did.items()}

    def _processes(self) -> Iterator[psutil.Process]:
        """The processes of this round that have not ended."""
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.pid == os.getpid() or process.environ().get(MARK) != self.mark:
                    continue
                if process.status() != psutil.STATUS_ZOMBIE:
                    yield process

    def _end_all(self) -> None:
        for process in self._processes():
            with suppress(psutil.Error):
                process.kill()


@contextmanager
def these_set(variables: dict[str, str]) -> Iterator[None]:
    """Let what is started here have these variables."""
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]


def assert_complete(view: RunView) -> None:
    """Nothing of a run that has ended is open, and its last record counts its jobs."""
    counts = Counter(job.status for job in view.jobs.values())
    assert not counts.keys() & {"running", "planned"}, counts
    assert json.loads(json.dumps(view.end["counts"])) == counts
