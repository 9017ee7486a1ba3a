"""From `retries:` to when a job is tried again."""

from __future__ import annotations

from lorchestra.loader import values
from lorchestra.loader.fields import Fields
from lorchestra.loader.nodes import ListNode, MapNode, Node
from lorchestra.loader.problems import Mistake, Problems
from lorchestra.model import Retries

RETRIES_KEYS = ("max", "backoff", "factor", "max_backoff", "jitter", "on_exit_codes")
MOST_RETRIES = 1_000_000

_EXIT_CODES = range(1, 256)


def read_retries(fields: Fields) -> Retries | None:
    """The retries of a job: a mapping, or only how many; None: none, or they are mistaken."""
    entry = fields.node.entries.get("retries")
    if entry is None:
        return None
    if isinstance(entry.value, MapNode):
        return _from_mapping(entry.value, fields.problems)
    number = fields.read("retries", _count)
    return None if number is None else Retries(number)


def _from_mapping(node: MapNode, problems: Problems) -> Retries:
    fields = Fields(node, RETRIES_KEYS, problems)
    number = fields.need("max", _count, "retries")
    default = Retries(number or 0)
    backoff_s = fields.read("backoff", values.duration_or_none)
    max_backoff_s = fields.read("max_backoff", values.duration_or_none)
    factor = fields.read("factor", _factor)
    return Retries(
        default.max,
        default.backoff_s if backoff_s is None else backoff_s,
        default.factor if factor is None else factor,
        default.max_backoff_s if max_backoff_s is None else max_backoff_s,
        bool(fields.read("jitter", values.flag)),
        _exit_codes(fields),
    )


def _count(node: Node, what: str) -> int:
    return values.whole_number(node, what, 0, MOST_RETRIES)


def _factor(node: Node, what: str) -> float:
    factor = values.number(node, what)
    if not 1 <= factor <= 1000:
        raise Mistake(node, f"{what} must be from 1 to 1000, not {factor:g}")
    return factor


def _exit_codes(fields: Fields) -> frozenset[int] | None:
    node: ListNode | None = fields.read("on_exit_codes", values.listing)
    if node is None:
        return None
    if not node.items:
        fields.problems.add(node, "on_exit_codes must name at least one exit code")
    codes = (fields.problems.check(_exit_code, item, "an exit code") for item in node.items)
    return frozenset(code for code in codes if code is not None)


def _exit_code(node: Node, what: str) -> int:
    return values.whole_number(node, what, _EXIT_CODES.start, _EXIT_CODES.stop - 1)
