"""The references in the values of jobs: noted where they are read, checked when all is known."""

from __future__ import annotations

from collections.abc import Collection, Mapping

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
    if entry := node.entries.get("run"):
        _note(entry.value, job_id, problems, in_shell=True)
    for name in _REFERRING:
        if entry := node.entries.get(name):
            _note(entry.value, job_id, problems)
    if key := node.entries.get("idempotency_key"):
        of_key = (use for use in problems.noted.uses if use.place is key.value)
        for mistake in filter(None, (mistake_in_key(use.reference) for use in of_key)):
            problems.add(key.value, mistake)


def check_references(
    stage_of: Mapping[str, int], params: Collection[str], problems: Problems
) -> None:
    """Check what was noted of the jobs of a pipeline against the jobs and parameters there are.

    Args:
        stage_of: In which stage each job is, by number; also the jobs that are mistaken.
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
        known = Known(params, stage_of.keys(), earlier[stage])
        if mistake := mistake_in(use.reference, known):
            use.problems.add(use.place, mistake)


def _note(node: Node, job_id: str, problems: Problems, *, in_shell: bool = False) -> None:
    match node:
        case MapNode():
            for _, value in node.entries.values():
                _note(value, job_id, problems)
        case ListNode():
            for item in node.items:
                _note(item, job_id, problems)
        case ScalarNode(kind="text"):
            _note_text(node, job_id, problems, in_shell=in_shell)


def _note_text(node: ScalarNode, job_id: str, problems: Problems, *, in_shell: bool) -> None:
    try:
        references = parse(node.text).references
    except ReferenceSyntaxError as error:
        problems.add(node, str(error))
        return
    if references and in_shell and (mistake := shell_mistake(node.text)):
        problems.add(node, mistake)
    uses = (Use(job_id, reference, node, problems) for reference in references)
    problems.noted.uses.extend(uses)
