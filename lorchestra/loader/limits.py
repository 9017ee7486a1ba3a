"""From `limits`: what a pipeline allows, and what a job needs of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lorchestra.limits import limit_mistake
from lorchestra.loader import values
from lorchestra.loader.fields import Fields
from lorchestra.loader.nodes import ListNode, MapNode, Node, ScalarNode, described
from lorchestra.loader.problems import Mistake, Need, Problems
from lorchestra.quota import MOST_UNITS, RATE_EXAMPLES, Quota, Rate, name_mistake, rate_in
from lorchestra.wording import quoted

LIMIT_KEYS = ("capacity", "rate")


def read_quotas(fields: Fields) -> tuple[Quota, ...]:
    """The limits of a pipeline: for each its capacity, or a mapping with capacity and rate.

    Args:
        fields: The keys of the pipeline.

    Returns:
        The limits, without those that are mistaken, which has been noted.
    """
    node = fields.read("limits", values.mapping)
    quotas = []
    for name, (key, value) in node.entries.items() if node else ():
        if mistake := name_mistake(name):
            fields.problems.add(key, f"the name of limit {quoted(name)} {mistake}")
        elif quota := _quota(name, value, fields.problems):
            quotas.append(quota)
    return tuple(quotas)


def read_needs(fields: Fields, job_id: str) -> dict[str, int]:
    """How many units of which limits a job needs: by name, or a list of names, 1 of each.

    Args:
        fields: The keys of the job.
        job_id: Its id. With it the limits are noted, to be checked when all are known.
    """
    entry = fields.node.entries.get("limits")
    if entry is None:
        return {}
    problems, needs = fields.problems, dict[str, int]()
    for place, name, units in _listed(entry.value, problems):
        if mistake := name_mistake(name):
            problems.add(place, f"the name of limit {quoted(name)} {mistake}")
        elif name in needs:
            problems.add(place, f"limit {quoted(name)} is named twice; write {{{name}: 2}} for two")
        elif units is not None:
            needs[name] = units
            problems.noted.needs.append(Need(job_id, name, units, place, problems))
    return needs


def needs_of(stage_of: Mapping[str, int], problems: Problems) -> list[Need]:
    """The limits that the jobs of a pipeline need, in whichever file they say so."""
    return [need for need in problems.noted.needs if need.job_id in stage_of]


def check_needs(needs: Sequence[Need], quotas: Sequence[Quota]) -> None:
    """Check what was noted of the jobs of a pipeline against the limits there are.

    Args:
        needs: What they need.
        quotas: The limits of the pipeline and of the configuration.
    """
    known = {quota.name for quota in quotas}
    for need in needs:
        guess = "" if need.name in known else need.problems.guess(need.name, known)
        if mistake := limit_mistake(need.name, need.units, quotas, guess):
            need.problems.add(need.place, mistake)


def _quota(name: str, node: Node, problems: Problems) -> Quota | None:
    what = f"limit {name}"
    if not isinstance(node, MapNode):
        capacity = problems.check(_units, node, what)
        return None if capacity is None else Quota(name, capacity)
    before = len(problems)
    fields = Fields(node, LIMIT_KEYS, problems)
    capacity, rate = fields.read("capacity", _units), fields.read("rate", _rate)
    if not fields.node.entries.keys() & set(LIMIT_KEYS):
        problems.add(node, f"{what} needs a capacity, a rate, or both")
    return None if len(problems) > before else Quota(name, capacity, rate)


def _listed(node: Node, problems: Problems) -> list[tuple[Node, str, int | None]]:
    """Where each limit stands, what it is called, and how many units; None: that is mistaken."""
    if isinstance(node, MapNode):
        return [
            (key, name, problems.check(_units, value, f"limit {quoted(name)}"))
            for name, (key, value) in node.entries.items()
        ]
    if not isinstance(node, ListNode):
        must = "a mapping from names to units, or a list of names"
        problems.add(node, f"limits must be {must}, not {described(node)}")
        return []
    names = ((item, problems.check(values.text, item, "a limit")) for item in node.items)
    return [(item, name, 1) for item, name in names if name is not None]


def _units(node: Node, what: str) -> int:
    return values.whole_number(node, what, 1, MOST_UNITS)


def _rate(node: Node, what: str) -> Rate:
    rate = rate_in(node.text) if isinstance(node, ScalarNode) and node.kind == "text" else None
    if rate is None:
        raise Mistake(node, f"{what} must be such as {RATE_EXAMPLES}, not {described(node)}")
    return rate
