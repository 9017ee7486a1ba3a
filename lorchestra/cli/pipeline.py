"""`lorchestra pipeline`: run a pipeline, or say what would run."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lorchestra.cli import completing
from lorchestra.cli.display import Display, refuse_mixed
from lorchestra.cli.options import (
    json_option,
    output_option,
    run_id_of_key,
    run_to_resume,
    store_option,
    store_path,
)
from lorchestra.cli.planning import (
    Asked,
    mask_of,
    plan_of,
    say_done,
    say_nothing_to_resume,
    with_secrets_around,
)
from lorchestra.cli.printing import say, show_json
from lorchestra.cli.selection import (
    max_workers_option,
    part_options,
    resume_option,
    run_key_option,
    schedule_option,
)
from lorchestra.cli.streams import only_data_on_stdout
from lorchestra.cli.units import Seconds
from lorchestra.durations import written
from lorchestra.errors import EXIT_JOB_FAILED, EXIT_OK
from lorchestra.plan import Options

if TYPE_CHECKING:
    from lorchestra.model import Pipeline
    from lorchestra.orphans import OrphanRule
    from lorchestra.runner import RunResult
    from runstore import (
        Durability,
        GuardTimeoutError,
        RunIsAliveError,
        RunResumedError,
        RunStore,
        RunView,
    )


@click.command("pipeline", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name", shell_complete=completing.pipelines)
@max_workers_option
@store_option
@click.option(
    "--stop-on-failure/--keep-going",
    default=None,
    help="After a failure start no further job, or run all the same.  "
    "[default: as the pipeline says, else keep going]",
)
@click.option(
    "--halt",
    type=click.Choice(["soon", "now"]),
    help="After a failure that stops the run, let the jobs at work finish, or stop them.  "
    "[default: as the pipeline says, else soon]",
)
@schedule_option
@click.option(
    "--timeout",
    "timeout_s",
    type=Seconds(may_be_nothing=False),
    metavar="DURATION",
    help="How long the whole run may take, such as 2h; then it is stopped, and has failed.  "
    "[default: as the pipeline says, else without limit]",
)
@click.option(
    "--grace",
    "grace_s",
    type=Seconds(),
    metavar="DURATION",
    help="How long a job that was asked to end may take until it is killed.  "
    "[default: as the pipeline says, else 10s]",
)
@part_options
@run_key_option
@click.option(
    "--guard",
    type=click.Choice(["fail", "wait", "skip", "none"]),
    help="Never run this pipeline twice at once in a store. While another run of it is at work: "
    "fail with exit code 75, wait for it, or skip this run with exit code 0. "
    "none: where a guard is configured, do without; a run key that is held fails.  "
    "[default: as configured, else none]",
)
@click.option(
    "--durability",
    type=click.Choice(["disk", "os"]),
    help="disk: what is recorded survives a power cut; os: a killed process.  "
    "[default: as configured, else disk]",
)
@click.option(
    "--progress",
    type=click.Choice(["auto", "plain", "json", "none"]),
    help="plain: a line on stderr for every change; json: a JSON object for each, for programs; "
    "none: only what failed; auto: plain.  [default: as configured, else auto]",
)
@output_option
@resume_option
@click.option(
    "--orphans",
    type=click.Choice(["fail", "wait", "kill"]),
    default="fail",
    show_default=True,
    help="In a resume, or under a run key, while jobs of the killed run are still at work: fail "
    "with exit code 75, wait until they have ended, or stop them.",
)
@click.option("--dry-run", is_flag=True, help="Print what would run; run and record nothing.")
@json_option
def command(
    name: str,
    max_workers: int | None,
    store: Path | None,
    stop_on_failure: bool | None,
    halt: str | None,
    schedule: str | None,
    timeout_s: float | None,
    grace_s: float | None,
    params: tuple[str, ...],
    only: tuple[str, ...],
    from_stage: str | None,
    tags: tuple[str, ...],
    run_key: str | None,
    guard: str | None,
    durability: Any,
    progress: str | None,
    output: str | None,
    resume: str | None,
    orphans: Any,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run the pipeline NAME: its stages one after another, the jobs of a stage side by side.

    NAME is looked for as NAME.yaml in pipelines/ and in the project folder; `pipeline.ingest`
    finds ingest.yaml too. A path to a file works as well.

    \b
    Examples:
        lorchestra pipeline pipeline.ingest --max-workers 4
        lorchestra pipeline ./nightly.yaml --stop-on-failure --guard skip --json
        lorchestra pipeline ingest --param day=2026-11-24 --param full=true
        lorchestra pipeline ingest --run-key 2026-11-24
        lorchestra pipeline ingest --resume

    Exit code 0: every selected job succeeded, or may fail; 1: a job failed; 2: something is wrong
    before anything ran; 3: the run cannot be recorded; 75: another run holds the guard or the
    run key, or the run to resume, or jobs of it, are still at work; 129, 130, 143: interrupted
    by SIGHUP, by Ctrl-C, by SIGTERM. On an interrupt jobs at work are asked to end, and
    killed when the grace is over or at a second Ctrl-C.
    """
    asked = Asked.find(name)
    root, pipeline, config = asked.root, asked.pipeline, asked.config
    guard = _guard(guard or config.guard)
    options = Options(
        asked.workers(max_workers),
        stop_on_failure,
        halt,
        timeout_s,
        grace_s,
        asked.params(params),
        only,
        from_stage,
        tags,
        schedule,
    )
    has_keys = any(job.idempotency_key is not None for job in pipeline.jobs)
    looks_back = resume is not None or run_key is not None or has_keys
    folder = store_path(store, root) if looks_back or not dry_run else None
    if dry_run:
        plan = plan_of(pipeline, options, folder, resume, run_key, as_json=as_json)
        if plan is not None:
            plan.show(as_json=as_json)
        return
    where = ["--store", str(store)] if store else []
    again = shlex.join(["lorchestra", "pipeline", name, *where])
    shown = shlex.join(["lorchestra", "runs", "show", *where])
    progress = progress or config.progress or "auto"
    refuse_mixed(progress, output)
    output = output or config.output
    command = _Command(
        pipeline, options, progress, output, resume, run_key, orphans, again, shown, as_json
    )
    durability = durability or config.durability or "disk"
    sys.exit(_guarded(command, str(folder), durability, guard))


def _guarded(command: _Command, folder: str, durability: Durability, guard: str | None) -> int:
    """Run what was asked for, or leave it or wait where another run is at work; the exit code."""
    from runstore import GuardTimeoutError, RunIsAliveError, RunResumedError, RunStore

    store = RunStore(folder, durability, "filelock" if guard else None)
    while True:
        try:
            return command.run(store)
        except (GuardTimeoutError, RunIsAliveError, RunResumedError) as error:
            if guard in {None, "fail"}:
                _name_orphans(store, error)
                raise
            if guard == "skip":
                _say_skipped(command.pipeline, error, as_json=command.as_json)
                return EXIT_OK
            say(f"lorchestra: {error}; waiting for it")
            if isinstance(error, RunIsAliveError):
                _wait_for_run(store, error.run_id)
            store = RunStore(folder, durability, "filelock", guard_timeout_s=-1)


def _name_orphans(store: RunStore, error: Exception) -> None:
    """Name the jobs whose processes still hold a guard, or a run key, after their run is gone."""
    from lorchestra.errors import OrphansError
    from lorchestra.orphans import WHAT_TO_DO, find_orphans
    from runstore import GuardTimeoutError, RunNotFoundError

    run_id = error.holder.get("run") if isinstance(error, GuardTimeoutError) else None
    if not isinstance(run_id, str):
        return
    with contextlib.suppress(RunNotFoundError):
        view = store.read(run_id)
        found = find_orphans(view) if view.status == "crashed" else []
        if found:
            orphans = [orphan[:3] for orphan in found]
            say(f"lorchestra: {OrphansError(run_id, orphans, WHAT_TO_DO)}")


def _wait_for_run(store: RunStore, run_id: str) -> None:
    """Return when a run is over: when it has ended, or its process is gone."""
    for _ in store.follow(run_id):
        pass


def _guard(guard: str | None) -> str | None:
    return None if guard == "none" else guard


@dataclass(frozen=True, slots=True)
class _Command:
    """What was asked for: run the pipeline, or go on with a run of it.

    Attributes:
        again: The command without its options, to show how the run is resumed.
        shown: The command that shows a run, without the run.
    """

    pipeline: Pipeline
    options: Options
    progress: str
    output: str | None
    resume: str | None
    run_key: str | None
    orphans: OrphanRule
    again: str
    shown: str
    as_json: bool

    def run(self, store: RunStore) -> int:
        """Run it; gives the exit code."""
        if self.resume is None:
            return self._run(store, None)
        if self.run_key is not None:
            # The key names the run, and says whether it is at work.
            run_id = run_id_of_key(store, self.pipeline, self.resume, self.run_key)
            if run_id is not None:
                return self._run(store, None)
            say_nothing_to_resume(store, self.pipeline, None, as_json=self.as_json)
            return EXIT_OK
        view = run_to_resume(store, self.pipeline, self.resume)
        if view is None or view.status == "succeeded":
            say_nothing_to_resume(store, self.pipeline, view, as_json=self.as_json)
            return EXIT_OK
        return self._run(store, view)

    def _run(self, store: RunStore, resumed: RunView | None) -> int:
        from lorchestra.runner import run_pipeline

        pipeline = self.pipeline if resumed is None else with_secrets_around(self.pipeline, resumed)
        mask = partial(mask_of, pipeline)
        with (
            only_data_on_stdout() as data,
            contextlib.closing(Display(self.progress, self.output, mask, os.environ)) as display,
        ):
            result = run_pipeline(
                self.pipeline,
                store,
                self.options,
                handlers=display.handlers,
                resume=None if resumed is None else resumed.id,
                run_key=self.run_key,
                orphans=self.orphans,
                on_signal=lambda _signal: display.stopping(self._grace()),
            )
            if result.was_done:
                say_done(store.read(result.run_id), data, as_json=self.as_json)
                return EXIT_OK
            display.ended(result, shown=self.shown, again=self.again)
            if self.as_json:
                from lorchestra.report import run_object

                show_json(run_object(store.read(result.run_id)), data)
            return _exit_code(result)

    def _grace(self) -> str:
        return written(self.options.over(self.pipeline).grace_s)


def _say_skipped(
    pipeline: Pipeline,
    error: GuardTimeoutError | RunIsAliveError | RunResumedError,
    *,
    as_json: bool,
) -> None:
    say(f"lorchestra: {error}; this run is skipped")
    if as_json:
        skipped = {"status": "skipped", "success": True, "held_by": _holder(error)}
        show_json({"run_id": None, "pipeline_id": pipeline.id, **skipped})


def _holder(error: GuardTimeoutError | RunIsAliveError | RunResumedError) -> dict[str, Any]:
    """Who keeps this run from starting, as far as that is known."""
    holder: dict[str, Any] | None = getattr(error, "holder", None)
    if holder is not None:
        return holder
    names = {"run": "run_id", "host": "host", "pid": "pid"}
    return {name: getattr(error, key) for name, key in names.items() if hasattr(error, key)}


def _exit_code(result: RunResult) -> int:
    code = EXIT_OK if result.succeeded else EXIT_JOB_FAILED
    if result.status == "interrupted" and result.signal is not None:
        code = 128 + result.signal
    if result.hung:
        # A function that did not react to the stop is still in its thread, and the interpreter
        # would wait for it. Its attempt is recorded, all is printed; there is nothing left to do.
        os._exit(code)
    return code
