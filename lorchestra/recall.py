"""What jobs have left as output in earlier runs: from the record, or where that has `***` for it.

The record has no secrets. Where a job's output had one, the value itself is in the file that the
job left it in, beside its log.
"""

from __future__ import annotations

from typing import Any

from lorchestra.masking import Mask
from lorchestra.output import OutputError, read_output
from runstore import Job as JobBefore
from runstore import RunNotFoundError, RunStore, RunView


class ForgottenError(LookupError):
    """The output had a secret in it, and the file that it was left in is gone, or another."""


class Recall:
    """Finds what jobs of earlier runs have left."""

    def __init__(self, store: RunStore, mask: Mask) -> None:
        """Know where they are recorded, and the secrets of today."""
        self._store = store
        self._mask = mask

    def output(self, view: RunView, job: JobBefore, attempt: int | None = None) -> Any:
        """What a job that succeeded has left; None: nothing.

        Args:
            view: The run.
            job: Its job.
            attempt: Which attempt of it; None: the last one, or where it succeeded before.

        Raises:
            ForgottenError: It had a secret in it, and cannot be had any more.
            OSError: A file of the store cannot be read.
        """
        recorded, is_masked = job.output, job.output_is_masked
        if attempt is not None:
            (there,) = (each for each in job.attempts if each.number == attempt)
            recorded, is_masked = there.output, there.output_is_masked
        if not is_masked:
            return recorded
        path = self._path(view, job, attempt)
        try:
            value = None if path is None else read_output(path, only_object=False)
        except OutputError:
            value = None
        # With another secret than that of then it would be recorded in another way, too.
        if value is None or self._mask.data(value) != recorded:
            raise ForgottenError(job.id)
        return value

    def has(self, view: RunView, job: JobBefore) -> bool:
        """Tell whether what a job has left can still be had."""
        try:
            self.output(view, job)
        except ForgottenError:
            return False
        return True

    def _path(self, view: RunView, job: JobBefore, attempt: int | None) -> str | None:
        """The file in which a job left its output, in whichever run that was."""
        seen = {view.id}
        while attempt is None and job.kept:
            run_id, attempt = job.kept.get("run"), job.kept.get("attempt_there") or None
            if not isinstance(run_id, str) or run_id in seen:
                return None
            seen.add(run_id)
            try:
                view = self._store.read(run_id)
            except RunNotFoundError:
                return None
            there = {**view.removed, **view.jobs}.get(job.id)
            if there is None:
                return None
            job = there
        return view.output_path(job.id, attempt)
