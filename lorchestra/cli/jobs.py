"""`lorchestra jobs`: the jobs of the project."""

from __future__ import annotations

import os
from typing import NamedTuple

import click

from lorchestra.cli import completing
from lorchestra.cli.options import json_option, working_folder
from lorchestra.cli.printing import say_error, show, show_json
from lorchestra.config import find_root, load_config
from lorchestra.errors import EXIT_USAGE, LorchestraError
from lorchestra.loader import find_pipelines, load_job_files, load_pipeline, secrets_of
from lorchestra.masking import Mask
from lorchestra.model import Job
from lorchestra.paths import shown_path
from lorchestra.report.plan import action_text, job_text
from lorchestra.report.text import printable, table
from lorchestra.secretvalues import known_values
from lorchestra.wording import did_you_mean, near


class JobNotFoundError(LorchestraError, LookupError):
    """No pipeline and no job file of the project has such a job."""


class Use(NamedTuple):
    """A job and where it is used: the pipeline's id and the stage; None: in no pipeline.

    `mask` takes the secrets of that pipeline, or of the project, out of what is shown.
    """

    job: Job
    pipeline: str | None
    stage: str | None
    mask: Mask


@click.group("jobs", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """List the jobs of the project, or show one.

    They are read from the pipeline files in pipelines/ and in the project folder, and from jobs/.
    """


@command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List all jobs, with the pipelines that use them.

    A file that is wrong is reported on stderr, and the exit code is 2.
    """
    uses, is_whole = _uses()
    if as_json:
        show_json([_object(use) for use in uses])
    else:
        rows = [_row(use) for use in uses]
        show(table(("JOB", "PIPELINE", "STAGE", "WHAT IT DOES"), rows) if rows else "no jobs")
    if not is_whole:
        raise click.exceptions.Exit(EXIT_USAGE)


@command.command("show")
@click.argument("job", shell_complete=completing.jobs_of_project)
@json_option
def show_(job: str, as_json: bool) -> None:
    """Show the definition of JOB, and where it is used."""
    uses, _ = _uses()
    found = [use for use in uses if use.job.id == job]
    if not found:
        guesses = did_you_mean(near(job, {use.job.id for use in uses}))
        raise JobNotFoundError(f"no job {job!r} in the project{guesses}")
    if as_json:
        show_json([_object(use) for use in found])
        return
    for use in found:
        show(_text(use))


def _uses() -> tuple[list[Use], bool]:
    """All jobs with their uses; tells, too, whether every file could be read."""
    root = find_root(working_folder())
    uses: list[Use] = []
    is_whole = True
    config = load_config(root)
    for path in find_pipelines(root):
        try:
            pipeline = load_pipeline(path, root)
        except LorchestraError as error:
            say_error(error)
            is_whole = False
            continue
        secrets = (*secrets_of(config), *pipeline.secrets)
        mask = Mask(known_values(secrets, root, os.environ).values())
        uses += [
            Use(job, pipeline.id, stage.name, mask)
            for stage in pipeline.stages
            for job in stage.jobs
        ]
    used = {use.job.id for use in uses}
    try:
        unused = [job for job in load_job_files(root).values() if job.id not in used]
    except LorchestraError as error:
        say_error(error)
        return uses, False
    mask = Mask(known_values(secrets_of(config), root, os.environ).values())
    return uses + [Use(job, None, None, mask) for job in unused], is_whole


def _row(use: Use) -> tuple[str, str, str, str]:
    texts = (use.job.id, use.pipeline or "-", use.stage or "-", action_text(use.job.action))
    job_id, pipeline, stage, action = map(use.mask.text, texts)
    return job_id, pipeline, stage, action[:80]


def _text(use: Use) -> str:
    lines = [job_text(use.job)]
    if use.job.source is not None:
        lines.append(f"  defined in: {printable(shown_path(use.job.source))}")
    if use.pipeline is not None:
        lines.append(printable(f"  used in: {use.pipeline}, stage {use.stage}"))
    return use.mask.text("\n".join(lines))


def _object(use: Use) -> dict[str, object]:
    source = str(use.job.source) if use.job.source else None
    shown: dict[str, object] = use.mask.data(_definition(use, source))
    return shown


def _definition(use: Use, source: str | None) -> dict[str, object]:
    return {
        "job_id": use.job.id,
        "description": use.job.description,
        **use.job.definition(),
        "tags": list(use.job.tags),
        "allow_failure": use.job.allow_failure,
        "limits": dict(use.job.limits),
        "source": source,
        "pipeline_id": use.pipeline,
        "stage": use.stage,
    }
