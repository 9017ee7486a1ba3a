"""Whether the limits that jobs name are there, and large enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from lorchestra.errors import LimitError
from lorchestra.model import Job
from lorchestra.quota import Quota
from lorchestra.wording import did_you_mean, near, quoted


def limit_mistake(name: str, units: int, quotas: Iterable[Quota], guesses: str = "") -> str | None:
    """What is wrong with a job's wish for so many units; None if nothing is.

    Args:
        name: The limit.
        units: How many.
        quotas: All limits that are defined.
        guesses: Which one may have been meant, for the end of the message.
    """
    known = [quota for quota in quotas if quota.name == name]
    if not known:
        where = "neither under limits of the pipeline nor in the configuration"
        return f"limit {quoted(name)} is not defined, {where}{guesses}"
    for quota in known:
        if units > quota.most_units:
            return f"{units:,} units are more than there ever are of limit {quota}"
    return None


def check_limits(jobs: Sequence[Job], quotas: Sequence[Quota]) -> None:
    """Refuse limits that no job can ever have; those of files have been checked already.

    Raises:
        LimitError: It lists all mistakes.
    """
    shared = Counter(quota.name for quota in quotas if quota.scope == "host")
    mistakes = [
        f"limit {quoted(name)} is defined twice for this machine"
        for name, times in shared.items()
        if times > 1
    ]
    for job in jobs:
        mistakes += [f"job {job.id!r}: {each}" for each in _mistakes(job.limits, quotas)]
    if mistakes:
        raise LimitError(mistakes)


def _mistakes(needs: Mapping[str, int], quotas: Sequence[Quota]) -> Iterable[str]:
    known = {quota.name for quota in quotas}
    for name, units in needs.items():
        guesses = "" if name in known else did_you_mean(near(name, known))
        if units < 1:
            yield f"a job needs at least 1 unit of limit {quoted(name)}, not {units}"
        elif mistake := limit_mistake(name, units, quotas, guesses):
            yield mistake
