"""Keys of jobs: a job whose own key has succeeded in an earlier run is not run again."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from lorchestra.binding import scope_of
from lorchestra.errors import ParameterError
from lorchestra.masking import Mask
from lorchestra.model import Pipeline
from lorchestra.recall import ForgottenError, Recall
from lorchestra.references import ReferenceFailedError, Scope, text_of
from lorchestra.resuming import Choice
from lorchestra.wording import quoted
from runstore import Job as JobBefore
from runstore import Run, RunStore, RunView

MOST_CHARACTERS = 10_000


class Done(NamedTuple):
    """Where a job has succeeded under its own key.

    Attributes:
        key: The key.
        run_id: The run.
        attempt: Its attempt there.
        sha256: The digest of its definition, there and here.
        output: What it left as output; None: nothing.
        recorded: The same, as it is recorded: without secrets.
    """

    key: str
    run_id: str
    attempt: int
    sha256: str
    output: Any
    recorded: Any

    @property
    def choice(self) -> Choice:
        """What is done with the job now."""
        reason = f"succeeded under key {quoted(self.key)} in run {self.run_id}"
        return Choice(True, reason, "succeeded")

    def record(self, run: Run, job_id: str) -> None:
        """Record that the job does not run."""
        run.kept(
            job_id,
            self.choice.reason,
            run=self.run_id,
            attempt=self.attempt,
            sha256=self.sha256,
            output=self.recorded,
            masked=self.recorded != self.output,
        )


def keys_of(
    pipeline: Pipeline, params: Mapping[str, Any], env: Mapping[str, str], mask: Mask
) -> dict[str, str]:
    """The keys of the jobs that have one of their own.

    Args:
        pipeline: What runs.
        params: The parameters of the run.
        env: The environment, with secrets.
        mask: What takes secrets out of what is recorded.

    Raises:
        ParameterError: One is none; it lists all mistakes.
    """
    scope = Scope(params, env)
    keys: dict[str, str] = {}
    mistakes = []
    for job in pipeline.jobs:
        if job.idempotency_key is None or job.loop is not None:
            continue
        try:
            key = text_of(job.idempotency_key, scope_of(job, scope))
            mistake = _mistake(key, mask)
        except ReferenceFailedError as error:
            key, mistake = "", f": {error}"
        if mistake is not None:
            mistakes.append(f"job {quoted(job.id)}: its idempotency_key{mistake}")
        keys[job.id] = key
    if mistakes:
        raise ParameterError(mistakes)
    return keys


def _mistake(key: str, mask: Mask) -> str | None:
    if not 0 < len(key) <= MOST_CHARACTERS:
        return f" has 1 to {MOST_CHARACTERS:,} characters, not {len(key):,}"
    if mask.text(key) != key:
        return " holds a secret, and would be recorded as it is"
    return None


def done_before(
    store: RunStore,
    pipeline: Pipeline,
    keys: Mapping[str, str],
    sha256: Mapping[str, str],
    wanted: Collection[str],
    recall: Recall,
    but: str | None = None,
) -> dict[str, Done]:
    """Find the jobs that have succeeded under their own keys in earlier runs of the pipeline.

    Args:
        store: Where those are recorded.
        pipeline: What runs.
        keys: The key of each job that has one.
        sha256: The digest of each job as it is defined now.
        wanted: The jobs that are to run.
        recall: What finds their outputs; a job whose output cannot be had any more has to run.
        but: The run itself, which is not looked at.

    Raises:
        OSError: A file cannot be read.

    Costs nothing where no wanted job has a key. Else the beginning of the own file of each earlier
    run of the pipeline, newest first, until all have been found; and a pass over the records of
    each run that had one of the keys.
    """
    left = {job_id for job_id in wanted if job_id in keys}
    found: dict[str, Done] = {}
    for run_id, jobs in store.plans(pipeline.id) if left else ():
        named = {(job.get("id"), job.get("key")) for job in jobs if _is_keyed(job)}
        had = {job_id for job_id in left if (job_id, keys[job_id]) in named}
        if run_id == but or not had:
            continue
        view = store.read(run_id)
        for job_id in had:
            with contextlib.suppress(ForgottenError):
                done = _done(view, view.jobs.get(job_id), keys[job_id], sha256[job_id], recall)
                if done is not None:
                    found[job_id] = done
        left -= found.keys()
        if not left:
            break
    return found


def _is_keyed(planned: Mapping[str, Any]) -> bool:
    return isinstance(planned.get("id"), str) and isinstance(planned.get("key"), str)


def _done(
    view: RunView, job: JobBefore | None, key: str, sha256: str, recall: Recall
) -> Done | None:
    """Where a job of a run has succeeded; None: it has not, not with this key and definition."""
    if job is None:
        return None
    if (job.kept.get("key"), job.kept.get("sha256")) == (key, sha256):
        return Done(key, view.id, 0, sha256, recall.output(view, job), job.output)
    for attempt in reversed(job.attempts):
        if (attempt.status, attempt.key, attempt.sha256) == ("succeeded", key, sha256):
            output = recall.output(view, job, attempt.number)
            return Done(key, view.id, attempt.number, sha256, output, attempt.output)
    return None
