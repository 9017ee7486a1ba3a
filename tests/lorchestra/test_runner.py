"""A pipeline from its first record to its last: what starts when, and what is said of it."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from lorchestra import Options, run_pipeline
from lorchestra.errors import LorchestraError
from lorchestra.progress import (
    Event,
    JobFinished,
    JobNotRun,
    JobStarted,
    RunFinished,
    RunStarted,
    StageFinished,
    StageStarted,
)
from runstore import RecordError, RunStore, StoreFormatError
from tests.lorchestra.running import Runner, call, command, module, python, shell, stage

# Waits until as many jobs as `$1` have left a file in a folder, but no longer than `$2` turns.
TOGETHER = """
mkdir -p here; : > here/$LORCHESTRA_JOB_ID
turns=0
while [ $(ls here | wc -l) -lt {jobs} ]; do
    turns=$((turns + 1)); [ $turns -gt {turns} ] && exit 9; sleep 0.02
done
"""

# Counts the jobs that run, itself included, once eight have started.
COUNTING = """
    import os, pathlib, time
    me = os.environ["LORCHESTRA_JOB_ID"]
    running, started, counted = (pathlib.Path(name) for name in ("running", "started", "counted"))
    def wait_for_eight(folder):
        deadline = time.monotonic() + 20
        while len(os.listdir(folder)) < 8:
            assert time.monotonic() < deadline
            time.sleep(0.005)
    (running / me).touch()
    (started / me).touch()
    wait_for_eight(started)
    (counted / me).write_text(str(len(os.listdir(running))))
    wait_for_eight(counted)
    (running / me).unlink()
"""


def kinds(events: list[Event]) -> list[type]:
    return [type(event) for event in events]


class TestSideBySide:
    def test_four_jobs_run_at_once_with_four_workers(self, run: Runner) -> None:
        line = TOGETHER.format(jobs=4, turns=1000)
        ran = run(*(shell(name, line) for name in "abcd"), workers=4)
        assert set(ran.statuses().values()) == {"succeeded"}

    def test_two_jobs_run_at_once_with_two_workers(self, run: Runner) -> None:
        line = TOGETHER.format(jobs=2, turns=1000)
        ran = run(*(shell(name, line) for name in "ab"), workers=2)
        assert ran.result.succeeded

    def test_with_one_worker_jobs_wait_in_vain_for_each_other(self, run: Runner) -> None:
        line = TOGETHER.format(jobs=4, turns=3)
        ran = run(*(shell(name, line) for name in "abcd"))
        assert ran.statuses() == {"a": "failed", "b": "failed", "c": "failed", "d": "succeeded"}

    def test_functions_run_at_once(self, run: Runner) -> None:
        name = module(
            run.root,
            """
            import threading
            everybody = threading.Barrier(3)
            def wait():
                everybody.wait(20)
            """,
        )
        ran = run(*(call(job, f"{name}:wait") for job in "abc"), workers=3)
        assert ran.result.succeeded

    def test_of_24_jobs_8_run_at_once_with_8_workers_and_never_more(self, run: Runner) -> None:
        for folder in ("running", "started", "counted"):
            (run.root / folder).mkdir()
        name = module(run.root, "def count():\n" + COUNTING.replace("os.environ", "environ"))
        # In threads of one process: 24 interpreters would take the time of the test.
        source = (run.root / f"{name}.py").read_text()
        source = source.replace(
            'environ["LORCHESTRA_JOB_ID"]', "__import__('lorchestra').current_job().job_id"
        ).replace('("running", "started", "counted")', repr(
            tuple(str(run.root / folder) for folder in ("running", "started", "counted"))
        ))
        (run.root / f"{name}.py").write_text(source)
        ran = run(*(call(f"job{n}", f"{name}:count") for n in range(24)), workers=8)
        assert ran.result.succeeded
        counts = [int(path.read_text()) for path in (run.root / "counted").iterdir()]
        assert len(counts) == 24
        assert max(counts) == 8
