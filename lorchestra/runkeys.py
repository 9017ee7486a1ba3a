"""Run keys: a key names one piece of work of a pipeline, and that is done once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from lorchestra.errors import ParameterError
from lorchestra.masking import Mask
from lorchestra.model import Pipeline
from lorchestra.orphans import Orphan, OrphanRule, clear_orphans
from lorchestra.plan import NOT_SELECTED
from lorchestra.wording import quoted
from runstore import GuardTimeoutError, RecordError, RunKey, RunStore, RunView


def refuse_secret(run_key: str, mask: Mask) -> None:
    """Refuse a key with a secret in it: it is recorded, and shown, as it is.

    Raises:
        RecordError: It has one.
    """
    if mask.text(run_key) != run_key:
        raise RecordError("a run key is recorded as it is, and this one holds a secret")


def hold(
    store: RunStore,
    pipeline: Pipeline,
    run_key: str,
    orphans: OrphanRule,
    tell: Callable[[Orphan], object],
) -> RunKey:
    """Hold a run key, so that no other run works under it.

    Args:
        store: Where the runs are recorded.
        pipeline: Whose key it is.
        run_key: The key.
        orphans: Jobs of a killed run hold its key while they are at work. `fail`: then it is held.
            `wait`, `kill`: wait for them first, or end them.
        tell: Called once with each that is waited for or stopped.

    Raises:
        RecordError: It is no run key.
        GuardTimeoutError: Another run works under it, for longer than the store waits.
        OrphansError: Some cannot be killed, or have not ended in the time of the whole run.
    """
    if orphans == "fail":
        return store.hold_key(pipeline.id, run_key)
    try:
        return store.hold_key(pipeline.id, run_key, timeout_s=0)
    except GuardTimeoutError:
        run_id = store.find_run(pipeline.id, run_key)
        view = None if run_id is None else store.read(run_id)
        if view is not None and view.status != "running":
            limit_s = pipeline.timeout_s
            clear_orphans(view, orphans, tell, grace_s=pipeline.grace_s, at_most_s=limit_s)
    return store.hold_key(pipeline.id, run_key)


def is_done(view: RunView, pipeline: Pipeline, unselected: Collection[str]) -> bool:
    """Whether a run has succeeded with every job that is selected now.

    Args:
        view: The run under a key.
        pipeline: What is asked for.
        unselected: The jobs that are not selected now.
    """
    left_out = {
        job.id
        for job in view.jobs.values()
        if job.status == "skipped" and (job.reason or "").startswith(NOT_SELECTED)
    }
    is_left = any(job.id in left_out and job.id not in unselected for job in pipeline.jobs)
    return view.status == "succeeded" and not is_left


def refuse_other_params(view: RunView, given: Mapping[str, Any], mask: Mask) -> None:
    """Refuse other parameters than those that the run under a key was given.

    Args:
        view: The run.
        given: The parameters that are given now; those that are not are as they were.
        mask: What takes secrets out of what is recorded.

    Raises:
        ParameterError: One is another; a key names one piece of work.
    """
    recorded = view.begin.get("params")
    before = recorded if isinstance(recorded, dict) else {}
    other = [name for name, value in given.items() if before.get(name) != mask.data(value)]
    if other:
        key = quoted(view.run_key or "")
        raise ParameterError(
            [
                f"run {view.id} under the run key {key} has parameter {name} "
                f"{quoted(str(before.get(name)))}, not {quoted(str(mask.data(given[name])))}: "
                "a key names one piece of work"
                for name in other
            ]
        )
