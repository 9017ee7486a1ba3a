"""Which job of which run this is, and how a job ends: with an output, or with a clear message.

The same function may be called by lorchestra (`call`), started by it (`run`, `command`) or by hand.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

Output = dict[str, Any]


class AuditError(Exception):
    """The audit cannot do its work; the message says why, and what to do about it."""


class Identity(NamedTuple):
    """The job that this code runs for.

    Attributes:
        run_id: The run of the pipeline.
        job_id: The job's name in the pipeline.
        attempt: Which try at it, from 1.
        idempotency_key: The same for every attempt at this job in this run.
    """

    run_id: str
    job_id: str
    attempt: int
    idempotency_key: str


def identity() -> Identity:
    """Say which job this is; started by hand, it is a run of its own."""
    return _called() or _started() or Identity("by hand", "by hand", 1, token_hex(32))


def _called() -> Identity | None:
    # Asked before the environment, which in a `call` is that of lorchestra: it names another job
    # when lorchestra itself was started by one.
    try:
        from lorchestra import current_job

        job = current_job()
    except (ImportError, LookupError):
        return None
    return Identity(job.run_id, job.job_id, job.attempt, job.idempotency_key)


def _started() -> Identity | None:
    environment = os.environ
    if "LORCHESTRA_RUN_ID" not in environment:
        return None
    return Identity(
        environment["LORCHESTRA_RUN_ID"],
        environment["LORCHESTRA_JOB_ID"],
        int(environment["LORCHESTRA_ATTEMPT"]),
        environment["LORCHESTRA_IDEMPOTENCY_KEY"],
    )


def main(work: Callable[[], Output]) -> None:
    """Do a job's work as a program: leave its output for lorchestra, and print it.

    An `AuditError` ends the program with its message alone, and exit code 1.
    """
    try:
        output = work()
    except AuditError as error:
        sys.exit(f"audit: {error}")
    if path := os.environ.get("LORCHESTRA_OUTPUT"):
        Path(path).write_text(json.dumps(output), encoding="utf-8")
    print(json.dumps(output, indent=2))
