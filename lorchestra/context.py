"""Who a running job is: what its process finds in its environment, and a function in `current_job`.

LORCHESTRA_RUN_ID, LORCHESTRA_JOB_ID, LORCHESTRA_ATTEMPT
LORCHESTRA_IDEMPOTENCY_KEY   the same for every attempt of one job of one run, or run key
LORCHESTRA_OUTPUT            a file where it may leave a JSON object as its output

A hook has the first, and LORCHESTRA_HOOK, LORCHESTRA_PIPELINE_ID, LORCHESTRA_RUN_STATUS and
LORCHESTRA_STORE.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

RUN_ID = "LORCHESTRA_RUN_ID"
JOB_ID = "LORCHESTRA_JOB_ID"
ATTEMPT = "LORCHESTRA_ATTEMPT"
IDEMPOTENCY_KEY = "LORCHESTRA_IDEMPOTENCY_KEY"
OUTPUT = "LORCHESTRA_OUTPUT"
PIPELINE_ID = "LORCHESTRA_PIPELINE_ID"
RUN_STATUS = "LORCHESTRA_RUN_STATUS"
STORE = "LORCHESTRA_STORE"
HOOK = "LORCHESTRA_HOOK"
OF_JOBS = frozenset({RUN_ID, JOB_ID, ATTEMPT, IDEMPOTENCY_KEY, OUTPUT})
# All three together are in the environment of one attempt's processes and of no other.
MARKS = (RUN_ID, JOB_ID, ATTEMPT)
# And these in that of a hook's, when those are not.
MARKS_OF_HOOKS = (RUN_ID, HOOK)


@dataclass(frozen=True, slots=True)
class Identity:
    """Which attempt of which job of which run something is."""

    run_id: str
    job_id: str
    attempt: int
    idempotency_key: str

    def environment(self, output_path: str) -> dict[str, str]:
        """The variables that tell a process of the job who it is."""
        return {
            RUN_ID: self.run_id,
            JOB_ID: self.job_id,
            ATTEMPT: str(self.attempt),
            IDEMPOTENCY_KEY: self.idempotency_key,
            OUTPUT: output_path,
        }


def idempotency_key(pipeline_id: str, run_key: str, job_id: str) -> str:
    """The key by which a job can tell that it did its work before.

    The same for every attempt of one job under one run key, on every machine: a hash of the three.
    """
    text = "\0".join((pipeline_id, run_key, job_id))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(slots=True)
class CurrentJob:
    """The job that a function runs as.

    Attributes:
        identity: Its run, id, attempt and idempotency key; also to be had one by one.
        was_told: Whether it has seen that it is cancelled.
    """

    identity: Identity
    _append: Callable[..., object] | None = None
    _is_cancelled: Callable[[], bool] = bool
    was_told: bool = False
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.identity.run_id

    @property
    def job_id(self) -> str:
        """The id of the job."""
        return self.identity.job_id

    @property
    def attempt(self) -> int:
        """Which try it is, from 1."""
        return self.identity.attempt

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this job of this run, or of all runs of its run key."""
        return self.identity.idempotency_key

    @property
    def cancelled(self) -> bool:
        """Whether the run was told to stop: a function that takes long looks, and returns.

        One that has seen it is recorded as interrupted, however it ends.
        """
        if self._is_cancelled():
            self.was_told = True
        return self.was_told

    def append(self, event: str, /, **fields: Any) -> None:
        """Append a record of the function's own to the attempt's file, a metric for example.

        Any thread of the function may call it.

        Raises:
            RuntimeError: The attempt has ended, or runs in a process of its own.
            runstore.RunStoreError: The record cannot be stored.
            OSError: The write failed.
        """
        with self._turn:
            if self._append is None:
                raise RuntimeError(f"job {self.job_id!r} takes no more records")
            self._append(event, **fields)

    def close(self) -> None:
        """Take no more records; whoever comes first may end the attempt."""
        with self._turn:
            self._append = None


_current: ContextVar[CurrentJob] = ContextVar("lorchestra_current_job")


def current_job() -> CurrentJob:
    """The job that the calling function runs as.

    In a process of the job it is made from the environment.

    Raises:
        LookupError: No job runs here.
    """
    job = _current.get(None)
    if job is None:
        job = _from_environment(os.environ)
    if job is None:
        raise LookupError("no job of lorchestra runs here")
    return job


def set_current_job(job: CurrentJob) -> None:
    """Make a job the current one, for the context of the calling function."""
    _current.set(job)


def _from_environment(variables: Mapping[str, str]) -> CurrentJob | None:
    try:
        attempt = int(variables[ATTEMPT])
        identity = Identity(
            variables[RUN_ID], variables[JOB_ID], attempt, variables[IDEMPOTENCY_KEY]
        )
    except (KeyError, ValueError):
        return None
    return CurrentJob(identity, _refuse)


def _refuse(_event: str, /, **_fields: Any) -> None:
    # Its file has one writer, which is the runner.
    raise RuntimeError(
        "a function in a process of its own appends no records: return a value, which is recorded "
        "as its output, or leave out isolation and timeout"
    )
