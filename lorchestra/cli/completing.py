"""What a shell offers when Tab is pressed: pipelines and their parts, runs, jobs.

Whatever goes wrong offers nothing: a user who is typing is told nothing, least of all a traceback.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from lorchestra.cli.options import LAST, open_store, run_id_of, working_folder

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from lorchestra.model import Pipeline

_MOST_RUNS = 30  # more is no choice any more, and reading the ends of each takes time

# Gives words, or words with what is said beside them.
Finder = Callable[[click.Context, str], Iterable["str | tuple[str, str]"]]
Completer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def _completer(find: Finder) -> Completer:
    """What click calls, from what finds everything that there is to offer."""

    @functools.wraps(find)
    def complete(
        context: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        # Not above: every start of the program would pay for it.
        from click.shell_completion import CompletionItem

        try:
            found = [
                each if isinstance(each, tuple) else (each, None)
                for each in find(context, incomplete)
            ]
        except Exception:  # noqa: BLE001 - see above
            return []
        return [
            CompletionItem(word, help=said) for word, said in found if word.startswith(incomplete)
        ]

    return complete


def pipelines(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The pipelines of the project; files, where a path is typed or none has such a name."""
    from click.shell_completion import CompletionItem

    found = _pipelines(context, parameter, incomplete)
    return found or [CompletionItem(incomplete, type="file")]


@_completer
def _pipelines(_context: click.Context, _incomplete: str) -> Iterable[str]:
    from lorchestra.config import find_root
    from lorchestra.loader.files import name_of
    from lorchestra.loader.finding import find_pipelines

    return map(name_of, find_pipelines(find_root(working_folder())))


@_completer
def runs(context: click.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    """`last`, and the newest runs."""
    from lorchestra.report.text import local_time

    store = open_store(context.params.get("store"))
    if store.run_ids():
        yield LAST, "the newest run"
    found = (run for run in store.runs() if run.id.startswith(incomplete))
    for run in islice(found, _MOST_RUNS):
        said = f"{run.pipeline or '?'}, {run.status}, {local_time(run.started)}"
        yield run.id, said


@_completer
def jobs_of_run(context: click.Context, _incomplete: str) -> Iterable[tuple[str, str]]:
    """The jobs of the run that is named before."""
    store = open_store(context.params.get("store"))
    view = store.read(run_id_of(store, context.params["run"]))
    return [(job.id, job.status) for job in view.jobs.values()]


@_completer
def jobs_of_pipeline(context: click.Context, _incomplete: str) -> Iterable[str]:
    """The jobs of the pipeline that is named before."""
    pipeline = _pipeline(context)
    groups = [name for stage in pipeline.stages for name in stage.groups]
    return dict.fromkeys([*groups, *(job.id for job in pipeline.jobs)])


@_completer
def stages(context: click.Context, _incomplete: str) -> Iterable[str]:
    """The stages of the pipeline that is named before."""
    return [stage.name for stage in _pipeline(context).stages]


@_completer
def tags(context: click.Context, _incomplete: str) -> Iterable[str]:
    """The tags of the pipeline that is named before."""
    return sorted({tag for job in _pipeline(context).jobs for tag in job.tags})


@_completer
def params(context: click.Context, _incomplete: str) -> Iterable[str]:
    """The parameters of the pipeline that is named before, up to the equals sign."""
    from lorchestra.binding import parameters_of

    return [f"{name}=" for name in parameters_of(_pipeline(context))]


@_completer
def jobs_of_project(_context: click.Context, _incomplete: str) -> Iterable[str]:
    """The jobs of all pipelines that can be read, and of job files."""
    from lorchestra.config import find_root
    from lorchestra.errors import LorchestraError
    from lorchestra.loader import find_pipelines, load_job_files, load_pipeline

    root = find_root(working_folder())
    found: dict[str, Any] = {}
    for path in find_pipelines(root):
        try:
            found |= {job.id: job for job in load_pipeline(path, root).jobs}
        except LorchestraError:
            continue
    return found | load_job_files(root)


def _pipeline(context: click.Context) -> Pipeline:
    from lorchestra.loader import find_pipeline, load_pipeline

    # Where an option's value is asked for, click has not got as far as the arguments before it.
    name = context.params.get("name") or context.args[0]
    return load_pipeline(*find_pipeline(name, working_folder()))
