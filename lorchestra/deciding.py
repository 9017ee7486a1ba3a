"""Decide what becomes of each job before a run begins, or goes on: what runs, what is kept, why.

A plan that is only shown is decided here too, so that it says what would be done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lorchestra.binding import check_references, digests, jobs_referred_to
from lorchestra.jobkeys import Done, done_before, keys_of
from lorchestra.masking import Mask
from lorchestra.model import Pipeline
from lorchestra.recall import ForgottenError, Recall
from lorchestra.resuming import FORGOTTEN, Choices, choices_for, jobs_before
from runstore import RunStore, RunView


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of the jobs of a run.

    Attributes:
        sha256: The digest of each job.
        keys: The key of each job that has one of its own.
        choices: What is done with each job of which that was decided: is it kept?
        done: Those that have succeeded under their own key in another run.
        outputs: What those that are kept have left as output.
        left_out: The jobs that are not selected and have not succeeded before, and why.
    """

    sha256: Mapping[str, str]
    keys: Mapping[str, str]
    choices: Choices
    done: Mapping[str, Done]
    outputs: Mapping[str, Any]
    left_out: Mapping[str, str]


def decide(
    pipeline: Pipeline,
    params: Mapping[str, Any],
    env: Mapping[str, str],
    mask: Mask,
    unselected: Mapping[str, str],
    store: RunStore | None,
    view: RunView | None = None,
) -> Decision:
    """Decide on every job of a pipeline.

    Args:
        pipeline: What runs, with jobs in place of loops over parameters.
        params: The parameters of the run.
        env: The environment that jobs start from.
        mask: What takes secrets out of what is recorded.
        unselected: The jobs that are not selected, with the reason.
        store: Where earlier runs are recorded; None: they do not count.
        view: The run that is gone on with; None: it is a new one.

    Raises:
        UnknownReferenceError: A job refers to what is not there.
        ParameterError: The own key of a job is none.
        OSError: A file of the store cannot be read.
    """
    sha256 = digests(pipeline, params)
    choices = {} if view is None else choices_for(pipeline, view, sha256)
    recall = None if store is None else Recall(store, mask)
    outputs: dict[str, Any] = {}
    if view is not None and recall is not None:
        outputs, forgotten = _recalled(view, recall, choices)
        _run_again(forgotten, pipeline, choices, unselected)
    # What is kept has left its output, whether it is selected or not.
    kept = {job_id for job_id, choice in choices.items() if choice.is_kept}
    left_out = {job_id: why for job_id, why in unselected.items() if job_id not in kept}
    check_references(pipeline, env, left_out)
    keys = keys_of(pipeline, params, env, mask)
    done: dict[str, Done] = {}
    if store is not None and recall is not None:
        wanted = {job.id for job in pipeline.jobs} - kept - unselected.keys()
        but = None if view is None else view.id
        done = done_before(store, pipeline, keys, sha256, wanted, recall, but)
    choices |= {job_id: each.choice for job_id, each in done.items()}
    outputs |= {job_id: each.output for job_id, each in done.items()}
    left = {job_id: output for job_id, output in outputs.items() if output is not None}
    return Decision(sha256, keys, choices, done, left, left_out)


def _recalled(view: RunView, recall: Recall, choices: Choices) -> tuple[dict[str, Any], set[str]]:
    """What the jobs that are kept have left, and those whose output cannot be had any more."""
    before = jobs_before(view)
    outputs: dict[str, Any] = {}
    forgotten = set()
    for job_id, choice in choices.items():
        if choice.is_kept:
            try:
                outputs[job_id] = recall.output(view, before[job_id])
            except ForgottenError:
                forgotten.add(job_id)
    return outputs, forgotten


def _run_again(
    forgotten: set[str], pipeline: Pipeline, choices: Choices, unselected: Mapping[str, str]
) -> None:
    """Do not keep a job whose output cannot be had any more, where another one needs it."""
    while forgotten:
        idle = {job_id for job_id, choice in choices.items() if choice.is_kept}
        again = forgotten & jobs_referred_to(pipeline, but={*idle, *unselected})
        if not again:
            return
        # Each of them may need what another one has left.
        choices |= dict.fromkeys(again, FORGOTTEN)
        forgotten -= again
