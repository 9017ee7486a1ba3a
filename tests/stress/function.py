"""What `job.sh` does, as a function in a thread of the runner."""

from __future__ import annotations

import fcntl
import os
import time

import lorchestra


def work(attempts: list[str]) -> dict[str, int]:
    """Do what this attempt is to do; say in files that it began, and that it has done it."""
    job = lorchestra.current_job()
    root = os.path.dirname(os.path.abspath(__file__))
    with open(f"{root}/locks/{job.job_id}", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _note(f"{root}/clashes", f"{job.job_id} {job.attempt}")
            raise
        try:
            _note(f"{root}/did/{job.job_id}", f"begin {job.attempt} {job.idempotency_key}")
            _act(job, attempts[job.attempt - 1] if job.attempt <= len(attempts) else "ok")
            _note(f"{root}/did/{job.job_id}", f"end {job.attempt}")
        finally:
            # Closing would not do: a process that is being started may have it open, too.
            fcntl.flock(lock, fcntl.LOCK_UN)
    return {"attempt": job.attempt}


def _act(job: lorchestra.CurrentJob, kind: str) -> None:
    if kind == "talk":
        print("\n".join(f"line {number} of {job.job_id}" for number in range(8)))
    elif kind in {"fail", "again"}:
        raise ValueError(kind)
    elif kind == "nap":
        for _ in range(10):
            if job.cancelled:
                raise InterruptedError
            time.sleep(0.01)


def _note(path: str, text: str) -> None:
    with open(path, "a") as file:
        file.write(f"{text}\n")
