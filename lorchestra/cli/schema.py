"""`lorchestra schema`: the JSON Schema of pipeline files."""

from __future__ import annotations

import json

import click

from lorchestra.cli.printing import show
from lorchestra.loader.schema import job_file_schema, pipeline_schema


@click.command("schema", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--job", is_flag=True, help="The schema of job files instead.")
def command(job: bool) -> None:
    """Print the JSON Schema of pipeline files, by which editors check and complete them.

    \b
    Example:
        lorchestra schema > pipeline.schema.json
    and in the first line of a pipeline:
        # yaml-language-server: $schema=pipeline.schema.json
    """
    show(json.dumps(job_file_schema() if job else pipeline_schema(), indent=2))
