"""`lorchestra validate`: check pipeline files without running anything."""

from __future__ import annotations

from typing import Any

import click

from lorchestra.cli import completing
from lorchestra.cli.options import json_option, working_folder
from lorchestra.cli.printing import say, show, show_json
from lorchestra.errors import EXIT_USAGE, LorchestraError, PipelineSyntaxError
from lorchestra.loader import find_pipeline, load_pipeline
from lorchestra.report.text import counted, printable


@click.command("validate", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", shell_complete=completing.pipelines
)
@json_option
def command(files: tuple[str, ...], as_json: bool) -> None:
    """Check pipeline FILEs, and the job files that they name; run nothing.

    Every mistake is listed as file:line:column. A pipeline's name works as well as a path.

    Exit code 0: all are right; 2: at least one is not.
    """
    results = [_check(name) for name in files]
    if as_json:
        show_json(results)
    else:
        for result in results:
            _show(result)
    if not all(result["ok"] for result in results):
        raise click.exceptions.Exit(EXIT_USAGE)


def _check(name: str) -> dict[str, Any]:
    try:
        path, root = find_pipeline(name, working_folder())
        pipeline = load_pipeline(path, root)
    except PipelineSyntaxError as error:
        problems = [
            {"path": each.path, "line": each.line, "column": each.column, "message": each.message}
            for each in error.problems
        ]
        return {"file": name, "ok": False, "errors": problems, "text": str(error)}
    except LorchestraError as error:
        return {"file": name, "ok": False, "errors": [{"message": str(error)}], "text": str(error)}
    size = {"stages": len(pipeline.stages), "jobs": len(pipeline.jobs)}
    return {"file": name, "ok": True, "pipeline_id": pipeline.id, **size, "errors": []}


def _show(result: dict[str, Any]) -> None:
    if result["ok"]:
        size = f"{counted(result['jobs'], 'job')} in {counted(result['stages'], 'stage')}"
        show(printable(f"{result['file']}: ok: {result['pipeline_id']}, {size}"))
    else:
        for line in result["text"].split("\n"):
            say(line)
