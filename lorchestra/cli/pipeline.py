"""`lorchestra pipeline`: run a pipeline, or say what would run."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from lorchestra.binding import check_references, digests, parameters_of
from lorchestra.cli.options import (
    UNFINISHED,
    json_option,
    refuse_at_work,
    run_id_of_key,
    run_to_resume,
    store_option,
    store_path,
    workers,
    workers_from_environment,
    working_folder,
)
from lorchestra.cli.printing import say, show, show_json
from lorchestra.cli.streams import only_data_on_stdout
from lorchestra.cli.units import Seconds
from lorchestra.config import load_config
from lorchestra.durations import written
from lorchestra.errors import EXIT_JOB_FAILED, EXIT_OK
from lorchestra.fanout import unfold_pipeline
from lorchestra.loader import find_pipeline, hooks_of, load_pipeline
from lorchestra.masking import Mask
from lorchestra.ordering import SCHEDULES
from lorchestra.params import param_values, parsed_params, resumed_params
from lorchestra.plan import Options, left_out
from lorchestra.report.text import printable, short
from lorchestra.secretvalues import read_secrets
from lorchestra.wording import quoted

if TYPE_CHECKING:
    from lorchestra.model import Pipeline
    from lorchestra.orphans import OrphanRule
    from lorchestra.progress import Event, Handler
    from lorchestra.runner import RunResult
    from runstore import GuardTimeoutError, RunStore, RunView


@click.command("pipeline", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name")
@click.option(
    "--max-workers",
    type=workers,
    metavar="N",
    help="How many jobs of a stage run at once, unless the stage allows fewer.  "
    "[default: LORCHESTRA_MAX_WORKERS, else as configured, else the stage's max_workers, else 1]",
)
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
@click.option(
    "--schedule",
    type=click.Choice(SCHEDULES),
    help="Where a stage has more jobs than workers, start those first that took longest in earlier "
    "runs, or start them as written.  [default: as the pipeline says, else longest-first]",
)
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
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="Give a parameter of the pipeline a value; may be given several times.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="JOB",
    help="Run this job alone; may be given several times. The others are recorded as skipped.",
)
@click.option("--from-stage", metavar="STAGE", help="Run no stage before this one.")
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="TAG",
    help="Run only jobs that have this tag; may be given several times.",
)
@click.option(
    "--run-key",
    envvar="LORCHESTRA_RUN_KEY",
    show_envvar=True,
    metavar="KEY",
    help="Name this piece of work, by its day for example: what succeeded under the same key is "
    "not run again, and no two runs work under one key at once.",
)
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
    type=click.Choice(["auto", "plain", "none"]),
    help="plain: a line on stderr for every change; none: only what failed; auto: plain.  "
    "[default: as configured, else auto]",
)
@click.option(
    "--resume",
    is_flag=False,
    flag_value=UNFINISHED,
    metavar="[RUN]",
    help="Go on with a run of this pipeline: keep what succeeded, and run the rest. RUN is an id, "
    "the beginning of one, or `last`; without it, the last run that did not succeed.",
)
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
    run key, or the run to resume, or jobs of it, are still at work; 130, 143: interrupted by
    Ctrl-C, by SIGTERM. On an interrupt jobs at work are asked to end, and killed when the grace is
    over or at a second Ctrl-C.
    """
    path, root = find_pipeline(name, working_folder())
    pipeline, config = load_pipeline(path, root), load_config(root)
    pipeline = replace(
        pipeline,
        secrets=(*config.secrets, *pipeline.secrets),
        hooks=pipeline.hooks + hooks_of(config),
    )
    guard = _guard(guard or config.guard)
    options = Options(
        max_workers or workers_from_environment() or config.max_workers,
        stop_on_failure,
        halt,
        timeout_s,
        grace_s,
        parsed_params(parameters_of(pipeline), params),
        only,
        from_stage,
        tags,
        schedule,
    )
    has_keys = any(job.idempotency_key is not None for job in pipeline.jobs)
    looks_back = resume is not None or run_key is not None or has_keys
    folder = store_path(store, root) if looks_back or not dry_run else None
    if dry_run:
        _print_plan(pipeline, options, folder, resume, run_key, as_json=as_json)
        return
    from runstore import GuardTimeoutError, RunStore

    where = ["--store", str(store)] if store else []
    again = shlex.join(["lorchestra", "pipeline", name, *where])
    shown = shlex.join(["lorchestra", "runs", "show", *where])
    progress = progress or config.progress or "auto"
    durability = durability or config.durability or "disk"
    command = _Command(pipeline, options, progress, resume, run_key, orphans, again, shown, as_json)
    run_store = RunStore(folder or "", durability, "filelock" if guard else None)
    try:
        code = command.run(run_store)
    except GuardTimeoutError as error:
        if guard in {None, "fail"}:
            raise
        if guard == "skip":
            _say_skipped(pipeline, error, as_json=as_json)
            return
        say(f"lorchestra: {error}; waiting for it")
        run_store = RunStore(folder or "", durability, "filelock", guard_timeout_s=-1)
        code = command.run(run_store)
    sys.exit(code)


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
            _say_nothing_to_resume(store, self.pipeline, None, as_json=self.as_json)
            return EXIT_OK
        view = run_to_resume(store, self.pipeline, self.resume)
        if view is None or view.status == "succeeded":
            _say_nothing_to_resume(store, self.pipeline, view, as_json=self.as_json)
            return EXIT_OK
        return self._run(store, view.id)

    def _run(self, store: RunStore, resume: str | None) -> int:
        from lorchestra.progress.failures import Failures
        from lorchestra.progress.plain import PlainProgress
        from lorchestra.runner import run_pipeline

        failures = Failures(_mask_of(self.pipeline))
        handlers: list[Handler] = [failures, _say_hook_failed]
        if self.progress != "none":
            handlers.append(PlainProgress(say))
        with only_data_on_stdout() as data:
            result = run_pipeline(
                self.pipeline,
                store,
                self.options,
                handlers=handlers,
                resume=resume,
                run_key=self.run_key,
                orphans=self.orphans,
                on_signal=None if self.progress == "none" else self._say_stopping,
            )
            if result.was_done:
                _say_done(store.read(result.run_id), data, as_json=self.as_json)
                return EXIT_OK
            for line in failures.lines(more=f"{self.shown} {result.run_id}"):
                say(line)
            if self.progress != "none":
                if not result.succeeded:
                    say(f"to go on with it: {self.again} --resume={result.run_id}")
                say(f"receipt {result.receipt}")
            elif result.status == "interrupted":
                say(f"lorchestra: run {result.run_id} was interrupted; its record is complete")
            if self.as_json:
                from lorchestra.report import run_object

                show_json(run_object(store.read(result.run_id)), data)
            return _exit_code(result)

    def _say_stopping(self, _signal: int) -> None:
        grace = written(self.options.over(self.pipeline).grace_s)
        say(
            "lorchestra: stopping: jobs at work are asked to end, and killed "
            f"after {grace} or at a second Ctrl-C"
        )


def _say_hook_failed(event: Event) -> None:
    from lorchestra.progress import HookFailed

    if isinstance(event, HookFailed):
        say(f"lorchestra: hook {event.hook} {event.number} failed: {event.error}")


def _say_nothing_to_resume(
    store: RunStore, pipeline: Pipeline, view: RunView | None, *, as_json: bool
) -> None:
    if view is not None:
        say(f"lorchestra: run {view.id} succeeded: there is nothing to resume")
    else:
        name, where = short(pipeline.id), printable(store.path)
        say(f"lorchestra: no run of {name} in {where} is to be resumed: none, or all succeeded")
    if as_json:
        from lorchestra.report import run_object

        nothing = {"run_id": None, "pipeline_id": pipeline.id, "status": "skipped", "success": True}
        show_json(nothing if view is None else run_object(view))


def _say_done(view: RunView, data: BinaryIO | None = None, *, as_json: bool) -> None:
    key = quoted(view.run_key or "")
    say(f"lorchestra: run {view.id} succeeded under the run key {key}: nothing is run")
    if as_json:
        from lorchestra.report import run_object

        show_json(run_object(view), data)


def _say_skipped(pipeline: Pipeline, error: GuardTimeoutError, *, as_json: bool) -> None:
    say(f"lorchestra: {error}; this run is skipped")
    if as_json:
        skipped = {"status": "skipped", "success": True, "held_by": error.holder}
        show_json({"run_id": None, "pipeline_id": pipeline.id, **skipped})


def _exit_code(result: RunResult) -> int:
    code = EXIT_OK if result.succeeded else EXIT_JOB_FAILED
    if result.status == "interrupted" and result.signal is not None:
        code = 128 + result.signal
    if result.hung:
        # A function that did not react to the stop is still in its thread, and the interpreter
        # would wait for it. Its attempt is recorded, all is printed; there is nothing left to do.
        os._exit(code)
    return code


def _print_plan(
    pipeline: Pipeline,
    options: Options,
    folder: Path | None,
    resume: str | None,
    run_key: str | None,
    *,
    as_json: bool,
) -> None:
    from lorchestra.jobkeys import done_before, keys_of
    from lorchestra.report.plan import plan_object, plan_text
    from lorchestra.resuming import Choices, choices_for
    from lorchestra.runkeys import is_done
    from runstore import RunStore

    secrets = read_secrets(pipeline.secrets, pipeline.root, os.environ)
    env, mask = {**os.environ, **secrets}, Mask(secrets.values())
    choices: Choices = {}
    run_id: str | None = None
    view: RunView | None = None
    if folder is not None and (resume is not None or run_key is not None):
        found = _run_to_go_on_with(
            pipeline, options, folder, resume, run_key, mask, as_json=as_json
        )
        if isinstance(found, _Said):
            return
        view = found
    if view is not None:
        params = resumed_params(parameters_of(pipeline), view.begin, options.params)
        options = replace(options, params=params)
    params = param_values(parameters_of(pipeline), options.params)
    unfolded = unfold_pipeline(pipeline, params)
    unselected, sha256 = left_out(unfolded, options), digests(unfolded, params)
    if view is not None:
        if run_key is not None and is_done(view, unfolded, unselected):
            _say_done(view, as_json=as_json)
            return
        choices, run_id = choices_for(unfolded, view, sha256), view.id
        unselected = {
            job_id: reason for job_id, reason in unselected.items() if not choices[job_id].is_kept
        }
    check_references(unfolded, env, unselected)
    if folder is not None:
        keys = keys_of(unfolded, params, env, mask)
        kept = {job_id for job_id, choice in choices.items() if choice.is_kept}
        wanted = {job.id for job in unfolded.jobs} - kept - unselected.keys()
        done = done_before(RunStore(folder), unfolded, keys, sha256, wanted, run_id)
        choices |= {job_id: each.choice for job_id, each in done.items()}
    if as_json:
        show_json(plan_object(pipeline, options, choices, run_id, mask))
    else:
        show(plan_text(pipeline, options, choices, run_id, mask))


class _Said:
    """There is nothing to plan, and that has been said."""


def _run_to_go_on_with(
    pipeline: Pipeline,
    options: Options,
    folder: Path,
    resume: str | None,
    run_key: str | None,
    mask: Mask,
    *,
    as_json: bool,
) -> RunView | _Said | None:
    """The run that would be gone on with; None: there would be a new one."""
    from lorchestra.runkeys import refuse_other_params, refuse_secret
    from runstore import RunStore

    store = RunStore(folder)
    if run_key is None:
        view = run_to_resume(store, pipeline, resume or UNFINISHED)
        if view is None or view.status == "succeeded":
            _say_nothing_to_resume(store, pipeline, view, as_json=as_json)
            return _Said()
        return view
    refuse_secret(run_key, mask)
    if resume is not None and run_id_of_key(store, pipeline, resume, run_key) is None:
        _say_nothing_to_resume(store, pipeline, None, as_json=as_json)
        return _Said()
    run_id = store.find_run(pipeline.id, run_key)
    if run_id is None:
        return None
    view = store.read(run_id)
    refuse_other_params(view, options.params, mask)
    refuse_at_work(view)
    return view


def _mask_of(pipeline: Pipeline) -> Mask:
    return Mask(read_secrets(pipeline.secrets, pipeline.root, os.environ).values())
