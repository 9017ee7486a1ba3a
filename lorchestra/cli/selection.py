"""Options of what runs a part of a pipeline, or says what that would do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from lorchestra.cli import completing
from lorchestra.cli.options import UNFINISHED, workers
from lorchestra.model import SCHEDULES

max_workers_option = click.option(
    "--max-workers",
    type=workers,
    metavar="N",
    help="How many jobs of a stage run at once, unless the stage allows fewer.  "
    "[default: LORCHESTRA_MAX_WORKERS, else as configured, else the stage's max_workers, else 1]",
)
schedule_option = click.option(
    "--schedule",
    type=click.Choice(SCHEDULES),
    help="Where a stage has more jobs than workers, start those first that took longest in earlier "
    "runs, or start them as written.  [default: as the pipeline says, else longest-first]",
)
_PART = (
    click.option(
        "--param",
        "params",
        multiple=True,
        metavar="NAME=VALUE",
        shell_complete=completing.params,
        help="Give a parameter of the pipeline a value; may be given several times.",
    ),
    click.option(
        "--only",
        multiple=True,
        metavar="JOB",
        shell_complete=completing.jobs_of_pipeline,
        help="Run this job alone; may be given several times. The others are recorded as skipped.",
    ),
    click.option(
        "--from-stage",
        metavar="STAGE",
        shell_complete=completing.stages,
        help="Run no stage before this one.",
    ),
    click.option(
        "--tag",
        "tags",
        multiple=True,
        metavar="TAG",
        shell_complete=completing.tags,
        help="Run only jobs that have this tag; may be given several times.",
    ),
)
run_key_option = click.option(
    "--run-key",
    envvar="LORCHESTRA_RUN_KEY",
    show_envvar=True,
    metavar="KEY",
    help="Name this piece of work, by its day for example: what succeeded under the same key is "
    "not run again, and no two runs work under one key at once.",
)
resume_option = click.option(
    "--resume",
    is_flag=False,
    flag_value=UNFINISHED,
    metavar="[RUN]",
    shell_complete=completing.runs,
    help="Go on with a run of this pipeline: keep what succeeded, and run the rest. RUN is an id, "
    "the beginning of one, or `last`; without it, the last run that did not succeed.",
)


def part_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what says which part of a pipeline is meant, and with which parameters."""
    for option in reversed(_PART):
        command = option(command)
    return command
