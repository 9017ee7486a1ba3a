"""`lorchestra pipeline`: run a pipeline, or say what would run."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lorchestra.binding import check_references, parameters_of
from lorchestra.cli.options import (
    json_option,
    store_option,
    store_path,
    workers,
    workers_from_environment,
    working_folder,
)
from lorchestra.cli.printing import say, show, show_json
from lorchestra.cli.streams import only_data_on_stdout
from lorchestra.config import load_config
from lorchestra.errors import EXIT_JOB_FAILED, EXIT_OK
from lorchestra.loader import find_pipeline, load_pipeline
from lorchestra.masking import Mask
from lorchestra.params import parsed_params
from lorchestra.plan import Options, left_out
from lorchestra.secretvalues import read_secrets

if TYPE_CHECKING:
    from lorchestra.model import Pipeline
    from lorchestra.progress import Handler
    from lorchestra.runner import RunResult
    from runstore import GuardTimeoutError, RunStore


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
    "--guard",
    type=click.Choice(["fail", "wait", "skip", "none"]),
    help="Never run this pipeline twice at once in a store. While another run of it is at work: "
    "fail with exit code 75, wait for it, or skip this run with exit code 0. "
    "none: where a guard is configured, do without.  [default: as configured, else none]",
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
@click.option("--dry-run", is_flag=True, help="Print what would run; run and record nothing.")
@json_option
def command(
    name: str,
    max_workers: int | None,
    store: Path | None,
    stop_on_failure: bool | None,
    params: tuple[str, ...],
    only: tuple[str, ...],
    from_stage: str | None,
    tags: tuple[str, ...],
    guard: str | None,
    durability: Any,
    progress: str | None,
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

    Exit code 0: every selected job succeeded, or may fail; 1: a job failed; 2: something is wrong
    before anything ran; 3: the run cannot be recorded; 75: another run holds the guard; 130, 143:
    interrupted by Ctrl-C, by SIGTERM. On an interrupt running jobs are asked to end, and killed
    after 10 seconds or at a second Ctrl-C.
    """
    path, root = find_pipeline(name, working_folder())
    pipeline, config = load_pipeline(path, root), load_config(root)
    pipeline = replace(pipeline, secrets=(*config.secrets, *pipeline.secrets))
    guard = _guard(guard or config.guard)
    progress = progress or config.progress or "auto"
    values = parsed_params(parameters_of(pipeline), params)
    options = Options(
        max_workers or workers_from_environment() or config.max_workers,
        stop_on_failure,
        values,
        only,
        from_stage,
        tags,
    )
    if dry_run:
        _print_plan(pipeline, options, as_json=as_json)
        return
    from runstore import GuardTimeoutError, RunStore

    folder = store_path(store, root)
    durability = durability or config.durability or "disk"
    run_store = RunStore(folder, durability, "filelock" if guard else None)
    try:
        code = _run(pipeline, run_store, options, progress, as_json=as_json)
    except GuardTimeoutError as error:
        if guard == "fail":
            raise
        if guard == "skip":
            _say_skipped(pipeline, error, as_json=as_json)
            return
        say(f"lorchestra: {error}; waiting for it")
        run_store = RunStore(folder, durability, "filelock", guard_timeout_s=-1)
        code = _run(pipeline, run_store, options, progress, as_json=as_json)
    sys.exit(code)


def _guard(guard: str | None) -> str | None:
    return None if guard == "none" else guard


def _run(
    pipeline: Pipeline, store: RunStore, options: Options, progress: str, *, as_json: bool
) -> int:
    from lorchestra.progress.failures import Failures
    from lorchestra.progress.plain import PlainProgress
    from lorchestra.runner import run_pipeline

    failures = Failures(_mask_of(pipeline))
    handlers: list[Handler] = [failures]
    if progress != "none":
        handlers.append(PlainProgress(say))
    with only_data_on_stdout() as data:
        result = run_pipeline(pipeline, store, options, handlers=handlers)
        for line in failures.lines(more=f"lorchestra runs show {result.run_id}"):
            say(line)
        if progress != "none":
            say(f"receipt {result.receipt}")
        elif result.status == "interrupted":
            say(f"lorchestra: run {result.run_id} was interrupted; its record is complete")
        if as_json:
            from lorchestra.report import run_object

            show_json(run_object(store.read(result.run_id)), data)
        return _exit_code(result)


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


def _print_plan(pipeline: Pipeline, options: Options, *, as_json: bool) -> None:
    from lorchestra.report.plan import plan_object, plan_text

    secrets = read_secrets(pipeline.secrets, pipeline.root, os.environ)
    check_references(pipeline, {**os.environ, **secrets}, left_out(pipeline, options))
    mask = Mask(secrets.values())
    if as_json:
        show_json(plan_object(pipeline, options, mask))
    else:
        show(plan_text(pipeline, options, mask))


def _mask_of(pipeline: Pipeline) -> Mask:
    return Mask(read_secrets(pipeline.secrets, pipeline.root, os.environ).values())
