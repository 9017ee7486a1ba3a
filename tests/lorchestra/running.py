"""Pipelines made of a few words, run and read back."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorchestra import Call, Command, Job, Options, Pipeline, Shell, Stage, run_pipeline
from lorchestra.progress import Event, Handler, JobFinished, JobStarted
from lorchestra.runner import RunResult
from runstore import Attempt, RunStore, RunView

PATIENCE_S = 20.0
DRIVER = Path(__file__).with_name("driver.py")
PYTHON = sys.executable

_numbers = itertools.count()


def shell(job_id: str, line: str, **fields: Any) -> Job:
    return Job(job_id, Shell(line), **fields)


def command(job_id: str, *argv: str, **fields: Any) -> Job:
    return Job(job_id, Command(argv), **fields)


def call(
    job_id: str, target: str, arguments: Mapping[str, Any] | None = None, **fields: Any
) -> Job:
    return Job(job_id, Call(target, arguments or {}), **fields)


def python(job_id: str, source: str, **fields: Any) -> Job:
    return command(job_id, PYTHON, "-c", textwrap.dedent(source), **fields)


def stage(*jobs: Job, name: str = "stage", **fields: Any) -> Stage:
    return Stage(name, jobs, **fields)


def module(root: Path, source: str) -> str:
    """Write a module that no other test has, for calls; gives its name."""
    name = f"functions_{os.getpid()}_{next(_numbers)}"
    (root / f"{name}.py").write_text(textwrap.dedent(source))
    return name


@dataclass
class Ran:
    """A run that has ended, and what its record says."""

    result: RunResult
    store: RunStore
    events: list[Event] = field(default_factory=list)

    @property
    def view(self) -> RunView:
        return self.store.read(self.result.run_id)

    def statuses(self) -> dict[str, str]:
        return {job.id: job.status for job in self.view.jobs.values()}

    def attempt(self, job_id: str) -> Attempt:
        (attempt,) = self.view.jobs[job_id].attempts
        return attempt

    def log(self, job_id: str) -> bytes:
        path = self.view.log_path(job_id)
        assert path is not None
        return Path(path).read_bytes()

    def records(self, event: str, job_id: str | None = None) -> list[dict[str, Any]]:
        return [
            record
            for record in self.view.records()
            if record["event"] == event and record.get("job") == job_id
        ]


class Runner:
    """Runs pipelines of jobs in one folder, with one store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = RunStore(root / "store", "os")

    def pipeline(self, *stages: Stage | Job, **fields: Any) -> Pipeline:
        jobs = [part for part in stages if isinstance(part, Job)]
        all_stages = tuple(part for part in stages if isinstance(part, Stage))
        return Pipeline(
            "p", (*all_stages, stage(*jobs)) if jobs else all_stages, self.root, **fields
        )

    def __call__(
        self,
        *stages: Stage | Job,
        workers: int | None = None,
        stop_on_failure: bool | None = None,
        handlers: Sequence[Handler] = (),
        **fields: Any,
    ) -> Ran:
        """Run stages, or jobs as the only stage; the record must be in order afterwards."""
        events: list[Event] = []
        result = run_pipeline(
            self.pipeline(*stages, **fields),
            self.store,
            Options(workers, stop_on_failure),
            handlers=[events.append, *handlers],
        )
        ran = Ran(result, self.store, events)
        check_complete(self.store, result.run_id)
        assert_told_as_recorded(events, ran.view)
        return ran


def check_complete(store: RunStore, run_id: str) -> None:
    """Hold a run's record against itself: nothing damaged, nothing missing, nothing open."""
    report = store.verify(run_id, strict=True)
    assert (report.errors, report.notes) == ([], [])


def assert_told_as_recorded(events: Sequence[Event], view: RunView) -> None:
    """What the handlers were told of is what the record says."""
    started = {(event.job_id, event.attempt) for event in events if isinstance(event, JobStarted)}
    ended = {
        (event.job_id, event.attempt): event.outcome.status
        for event in events
        if isinstance(event, JobFinished)
    }
    recorded = {
        (job.id, attempt.number): attempt.status
        for job in view.jobs.values()
        for attempt in job.attempts
    }
    assert ended == recorded
    assert started == recorded.keys()


def eventually(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Wait until something holds; it has so long that only a mistake makes it too late."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def pids_in(folder: Path) -> list[int]:
    """The process ids that jobs left in files named after themselves."""
    return [int(text) for path in folder.iterdir() if (text := path.read_text().strip())]


class Driver:
    """A process of its own that runs a pipeline: see `driver.py`."""

    def __init__(self, root: Path, popen: subprocess.Popen[str]) -> None:
        self.root = root
        self.popen = popen
        self.store = RunStore(root / "store", "os")
        self.lines: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.lines.append(json.loads(line))

    def send(self, number: int) -> None:
        self.popen.send_signal(number)

    def wait(self) -> int:
        code = self.popen.wait(PATIENCE_S)
        self._reader.join()
        return code

    def wait_for(self, *names: str) -> None:
        """Wait until jobs have made these files."""
        eventually(lambda: all((self.root / name).exists() for name in names))

    @property
    def result(self) -> dict[str, Any]:
        return next(line for line in self.lines if line["event"] == "result")

    def ran(self) -> Ran:
        """What the record of the run that has ended says; it must be in order."""
        result = self.result
        check_complete(self.store, result["run_id"])
        return Ran(
            RunResult(result["run_id"], result["status"], "", result["signal"]),
            self.store,
        )

    def finished(self) -> dict[str, str]:
        return {
            line["job_id"]: line["status"] for line in self.lines if line["event"] == "JobFinished"
        }


@contextmanager
def driver(
    root: Path, *stages: Sequence[Job], workers: int = 1, grace_s: float = 60.0
) -> Iterator[Driver]:
    """Run stages of jobs in a process of its own, and end it with all that it started."""
    spec = {
        "root": str(root),
        "workers": workers,
        "grace_s": grace_s,
        "stages": [
            {"name": f"stage{n}", "jobs": [{"id": job.id, **job.definition()} for job in jobs]}
            for n, jobs in enumerate(stages, 1)
        ],
    }
    popen = subprocess.Popen(
        [PYTHON, "-P", DRIVER, json.dumps(spec)], stdout=subprocess.PIPE, text=True
    )
    running = Driver(root, popen)
    try:
        yield running
    finally:
        popen.kill()
        running.wait()
        _kill_orphans(running.store)
        assert popen.stdout is not None
        popen.stdout.close()


def _kill_orphans(store: RunStore) -> None:
    for run_id in store.run_ids():
        for record in store.read(run_id).records():
            if record["event"] == "process" and is_running(record["pid"]):
                with suppress(ProcessLookupError):
                    os.killpg(record["pid"], signal.SIGKILL)
