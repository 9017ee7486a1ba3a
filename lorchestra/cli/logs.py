"""`lorchestra runs logs`: what a job printed, or prints at this moment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lorchestra.cli import completing
from lorchestra.cli.options import RunReferenceError, open_store, run_id_of, store_option
from lorchestra.cli.printing import write
from lorchestra.cli.secretsof import mask_of
from lorchestra.wording import did_you_mean, near

if TYPE_CHECKING:
    from runstore import RunStore, RunView

_CHUNK_BYTES = 1 << 16
_LOOK_S = 0.2
# To look whether the attempt has ended costs a pass over the run: a twentieth of the time at most.
_PASSES = 20


@click.command("logs", short_help="Print what JOB of RUN printed, byte by byte.")
@click.argument("run", shell_complete=completing.runs)
@click.argument("job", shell_complete=completing.jobs_of_run)
@click.option(
    "--attempt",
    type=click.IntRange(min=1),
    metavar="N",
    help="Which attempt, from 1.  [default: the last one]",
)
@click.option("-f", "--follow", is_flag=True, help="Print what it prints until it has ended.")
@store_option
def command(run: str, job: str, attempt: int | None, follow: bool, store: Path | None) -> None:
    """Print what JOB of RUN printed, byte by byte.

    The values of secrets are masked, as far as they are known here.
    """
    run_store = open_store(store)
    view = run_store.read(run_id_of(run_store, run))
    if job not in view.jobs:
        guesses = did_you_mean(near(job, view.jobs))
        raise RunReferenceError(f"run {view.id} has no job {job!r}{guesses}")
    path = view.log_path(job, attempt)
    if path is None:
        which = "" if attempt is None else f" of attempt {attempt}"
        raise RunReferenceError(f"job {job!r} ({view.jobs[job].status}) has no log{which}")
    number = attempt or view.jobs[job].attempts[-1].number
    chunks = _growing(path, _Attempt(run_store, view, job, number)) if follow else _chunks(path)
    # Not buffered while somebody watches: each piece is shown when it is there.
    for chunk in mask_of(view).stream(chunks):
        write([chunk])


class _Attempt:
    """One attempt, which may be at work."""

    def __init__(self, store: RunStore, view: RunView, job: str, number: int) -> None:
        self._store = store
        self._run_id = view.id
        self._job = job
        self._number = number
        self._look_at = 0.0

    def is_over(self) -> bool:
        """Tell whether it has ended, or its run is gone; not more often than it is worth."""
        began = time.monotonic()
        if began < self._look_at:
            return False
        view = self._store.read(self._run_id)
        self._look_at = time.monotonic() + _PASSES * (time.monotonic() - began)
        job = view.jobs.get(self._job)
        attempts = job.attempts if job is not None else []
        at_work = any(each.number == self._number and each.ended is None for each in attempts)
        return view.status != "running" or not at_work


def _chunks(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _growing(path: str, attempt: _Attempt) -> Iterator[bytes]:
    """What is in a file, and what comes to it until its attempt is over."""
    with open(path, "rb") as file:
        is_last = False
        while True:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
            if is_last:
                return
            is_last = attempt.is_over()
            if not is_last:
                time.sleep(_LOOK_S)
