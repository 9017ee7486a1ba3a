"""Options that several commands share, and what they mean."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lorchestra.config import find_root, load_config
from lorchestra.errors import ConfigError, LorchestraError
from lorchestra.seats import MOST_WORKERS
from lorchestra.wording import did_you_mean, near, quoted

if TYPE_CHECKING:
    from lorchestra.model import Pipeline
    from runstore import RunStore, RunSummary, RunView

DEFAULT_STORE = ".lorchestra"
LAST = "last"
UNFINISHED = "unfinished"


def _folder(_context: click.Context, _option: click.Parameter, value: str | None) -> Path | None:
    if value == "":  # of a variable that was to hold a path, more often than not
        raise click.BadParameter("must not be empty")
    return None if value is None else Path(value)


store_option = click.option(
    "--store",
    type=click.Path(),
    callback=_folder,
    envvar="LORCHESTRA_STORE",
    show_envvar=True,
    metavar="DIR",
    help="Where run records are kept.  [default: store in lorchestra.toml, else .lorchestra in the "
    "project folder]",
)
output_option = click.option(
    "--output",
    type=click.Choice(["prefixed", "grouped", "failed", "none"]),
    help="What is shown of what jobs print. prefixed: each line as it comes, after the job's name; "
    "grouped: all of it when the job has ended; failed: the end of it, of jobs that failed; none.  "
    "[default: as configured, else grouped in GitHub Actions, GitLab CI and Azure Pipelines, whose "
    "pages fold it, else failed]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def working_folder() -> Path:
    """The folder that the command was started in.

    Raises:
        ConfigError: It has been removed.
    """
    try:
        return Path.cwd()
    except OSError as error:
        raise ConfigError("the working folder", error.strerror or str(error)) from None


def workers(value: str) -> int:
    """Read an option's number of workers: a whole number from 1 to 1,000,000."""
    number = _workers(value)
    if number is None:
        raise click.BadParameter(_NOT_WORKERS.format(value))
    return number


_WORKERS_VARIABLE = "LORCHESTRA_MAX_WORKERS"
_NOT_WORKERS = f"must be a whole number from 1 to {MOST_WORKERS:,}, not {{!r}}"


def workers_from_environment() -> int | None:
    """How many workers the environment asks for; None: it says nothing.

    Raises:
        ConfigError: What it says is no number of workers.
    """
    value = os.environ.get(_WORKERS_VARIABLE, "")
    if not value.strip():
        return None
    number = _workers(value)
    if number is None:
        raise ConfigError(_WORKERS_VARIABLE, _NOT_WORKERS.format(value))
    return number


def _workers(value: str) -> int | None:
    digits = str(value).strip()
    # Not int(): it takes 1_000 and the digits of every script.
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= 9
    return int(digits) if is_number and 1 <= int(digits) <= MOST_WORKERS else None


class RunReferenceError(LorchestraError, LookupError):
    """What was given as a run names none, or several."""


def store_path(option: Path | None, root: Path | None = None) -> Path:
    """The folder of the run records: as given, else as configured, else in the project folder."""
    if option is not None:
        return option
    config = load_config(root or find_root(working_folder()))
    return config.store or config.root / DEFAULT_STORE


def open_store(option: Path | None) -> RunStore:
    """Open the store of a command that reads."""
    from runstore import RunStore

    return RunStore(store_path(option))


def run_id_of(store: RunStore, reference: str) -> str:
    """The id of the run that a user means.

    Args:
        store: Where to look.
        reference: An id, the beginning of one that no other has, or `last`.

    Raises:
        RunReferenceError: There is no such run, or there are several.
        StoreNotFoundError: There is no store.
    """
    run_ids = store.run_ids()
    if not run_ids and not store.exists():
        from runstore import StoreNotFoundError

        raise StoreNotFoundError(store.path)
    if reference == LAST and (last := next(_by_themselves(store), None)) is not None:
        return last.id
    if reference in run_ids:
        return reference
    found = [run_id for run_id in run_ids if reference and run_id.startswith(reference.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        raise RunReferenceError(f"{len(found)} runs begin with {reference!r}: {shown}")
    guesses = did_you_mean(near(reference, run_ids[:100]))
    what = f"no run {reference!r}" if reference != LAST else "no run yet"
    raise RunReferenceError(f"{what} in the store {store.path}{guesses}")


def _by_themselves(store: RunStore) -> Iterator[RunSummary]:
    """The runs that are not inside others, newest first."""
    return (run for run in store.runs() if run.parent is None)


def run_to_resume(store: RunStore, pipeline: Pipeline, reference: str) -> RunView | None:
    """The run that a user means to resume; None: there is none.

    Args:
        store: Where to look.
        pipeline: What it is a run of.
        reference: An id, the beginning of one that no other has; `last`: the last run of the
            pipeline; `unfinished`: the last one that did not succeed.

    Raises:
        RunReferenceError: There is no such run, there are several, or it is of another pipeline.
        RunIsAliveError: It is at work.
    """
    if reference in {LAST, UNFINISHED}:
        of_pipeline = (run for run in _by_themselves(store) if run.pipeline == pipeline.id)
        meant = (run for run in of_pipeline if reference == LAST or run.status != "succeeded")
        found = next(meant, None)
        if found is None:
            return None
        view = store.read(found.id)
    else:
        view = store.read(run_id_of(store, reference))
    if view.pipeline not in {pipeline.id, None}:
        raise RunReferenceError(f"run {view.id} is of {view.pipeline!r}, not of {pipeline.id!r}")
    refuse_at_work(view)
    return view


def refuse_at_work(view: RunView) -> None:
    """Refuse a run that is at work.

    Raises:
        RunIsAliveError: It is.
    """
    from runstore import RunIsAliveError

    if view.status == "running":
        raise RunIsAliveError(view.id, view.begin.get("host", "?"), view.begin.get("pid", 0))


def run_id_of_key(store: RunStore, pipeline: Pipeline, reference: str, run_key: str) -> str | None:
    """The run that a user means to resume under a run key; None: there is none under that.

    Args:
        store: Where to look.
        pipeline: What it is a run of.
        reference: As for `run_to_resume`.
        run_key: The key.

    Raises:
        RunReferenceError: There is no such run, there are several, or it is of another key.
        RecordError: It is no run key.
    """
    under_key = store.find_run(pipeline.id, run_key)
    if reference in {LAST, UNFINISHED}:
        return under_key
    run_id = run_id_of(store, reference)
    if run_id != under_key:
        other = store.read(run_id).run_key
        has = "has no run key" if other is None else f"has the run key {quoted(other)}"
        raise RunReferenceError(f"run {run_id} {has}, not {quoted(run_key)}")
    return run_id
