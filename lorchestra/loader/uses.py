"""The references in the values of jobs: noted where they are read, checked when all is known."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

from lorchestra.binding import mistake_in_key
from lorchestra.errors import ReferenceSyntaxError
from lorchestra.loader.nodes import ListNode, MapNode, Node, ScalarNode
from lorchestra.loader.problems import Problems, Use
from lorchestra.references import Known, mistake_in, parse, shell_mistake

_REFERRING = ("command", "with", "env", "cwd", "idempotency_key")


def note_references(node: MapNode, job_id: str, problems: Problems) -> None:
    """Note the references in a job's values, and the mistakes in how they are written.

    Args:
        node: The keys of the job.
        job_id: Its id.
        problems: Where they are noted.
    """
    repeated = "loop" in node.entries or "matrix" in node.entries
    if entry := node.entries.get("run"):
        _note(entry.value, _Noting(job_id, problems, shell_in_loop=repeated))
    for name in _REFERRING:
        if entry := node.entries.get(name):
            _note(entry.value, _Noting(job_id, problems))
    if key := node.entries.get("idempotency_key"):
        of_key = (use for use in problems.noted.uses if use.place is key.value)
        for mistake in filter(None, (mistake_in_key(use.reference) for use in of_key)):
            problems.add(key.value, mistake)


def note_values(node: Node, job_id: str, problems: Problems, *, in_loop: bool) -> None:
    """Note the references in the values of a loop itself.

    Args:
        node: The values.
        job_id: A job in the loop.
        problems: Where they are noted.
        in_loop: Whether there is an item already.
    """
    _note(node, _Noting(job_id, problems, in_loop=in_loop))


class InLoop(Protocol):
    """What references to the item there are: `item`, `matrix`, and their fields."""

    @property
    def roots(self) -> tuple[str, ...]:
        """Which of `item` and `matrix`."""

    @property
    def fields(self) -> tuple[str, ...] | None:
        """The fields that every item has; None: that is not known."""


def check_references(
    stage_of: Mapping[str, int],
    loops: Mapping[str, InLoop],
    params: Collection[str],
    problems: Problems,
) -> None:
    """Check what was noted of the jobs of a pipeline against the jobs and parameters there are.

    Args:
        stage_of: In which stage each job is, by number; also the jobs that are mistaken.
        loops: The jobs that are in a loop.
        params: The names of the parameters.
        problems: Of the pipeline file; what was noted in job files is checked too.
    """
    earlier: dict[int, set[str]] = {}
    for use in problems.noted.uses:
        if use.job_id not in stage_of:
            continue
        stage = stage_of[use.job_id]
        if stage not in earlier:
            earlier[stage] = {job_id for job_id, number in stage_of.items() if number < stage}
        loop = loops.get(use.job_id) if use.in_loop is not False else None
        if loop is None and not use.reference.path:
            continue  # the shell's own variable
        roots, fields = ((), None) if loop is None else (loop.roots, loop.fields)
        known = Known(params, stage_of.keys(), earlier[stage], loop=roots, fields=fields)
        if mistake := mistake_in(use.reference, known):
            use.problems.add(use.place, mistake)


class _Noting(NamedTuple):
    """Whose references are noted, and where.

    Attributes:
        in_loop: Whether they are those of the loop itself, with an item or without; None: those
            of the job.
        shell_in_loop: For a line of the shell, whether the job has a loop of its own; None: it is
            no such line.
    """

    job_id: str
    problems: Problems
    in_loop: bool | None = None
    shell_in_loop: bool | None = None


def _note(node: Node, noting: _Noting) -> None:
    match node:
        case MapNode():
            for _, value in node.entries.values():
                _note(value, noting)
        case ListNode():
            for item in node.items:
                _note(item, noting)
        case ScalarNode(kind="text"):
            _note_text(node, noting)


def _note_place(node: ScalarNode, problems: Problems, *, in_loop: bool) -> None:
    if mistake := shell_mistake(node.text, in_loop=in_loop):
        problems.add(node, mistake)


def _note_text(node: ScalarNode, noting: _Noting) -> None:
    problems = noting.problems
    try:
        references = parse(node.text, in_loop=noting.in_loop is not False).references
    except ReferenceSyntaxError as error:
        problems.add(node, str(error))
        return
    in_loop = noting.shell_in_loop
    if in_loop is not None and references:
        _note_place(node, problems, in_loop=in_loop)
    problems.noted.uses.extend(
        Use(noting.job_id, reference, node, problems, noting.in_loop) for reference in references
    )
