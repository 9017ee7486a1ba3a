"""From `loop` and `matrix` to what jobs are repeated for."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from lorchestra.errors import LoopError, ReferenceSyntaxError
from lorchestra.fanout import MOST_COMBINATIONS, combinations, keys_of
from lorchestra.loader import values
from lorchestra.loader.data import data
from lorchestra.loader.fields import Fields
from lorchestra.loader.nodes import ListNode, MapNode, Node, ScalarNode, described
from lorchestra.loader.problems import Mistake, Problems
from lorchestra.loader.uses import note_values
from lorchestra.model import Job, Loop
from lorchestra.references import IN_LOOPS, only_reference, parse
from lorchestra.wording import quoted

LOOP_KEYS = ("over", "key", "payload")
MATRIX_KEYS = ("include", "exclude")
OVER = ("params", "payload", "run")

_AXIS = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Inside(NamedTuple):
    """What references to the item there are in a job of a loop.

    Attributes:
        roots: `item`, and in a matrix `matrix`.
        fields: The fields that every item has; None: that is not known.
    """

    roots: tuple[str, ...]
    fields: tuple[str, ...] | None = None


ANYTHING = Inside(IN_LOOPS)


def inside(loop: Loop) -> Inside:
    """What references to the item there are in a loop."""
    if loop.is_matrix:
        return Inside(IN_LOOPS, tuple(loop.over[0]) if loop.over else None)
    return Inside(("item",))


def read_repetition(fields: Fields, job_id: str) -> Loop | None:
    """Read the `loop` or the `matrix` of a job; None: it has none that could be read."""
    if "matrix" in fields and "loop" in fields:
        fields.problems.add(fields.key("matrix"), "a job has either a loop or a matrix")
    if node := fields.read("loop", values.mapping):
        return read_loop(Fields(node, LOOP_KEYS, fields.problems), job_id, "a loop")
    if node := fields.read("matrix", values.mapping):
        return _matrix(node, fields.problems)
    return None


def read_loop(fields: Fields, job_id: str, owner: str) -> Loop | None:
    """Read what a loop goes over, and the keys and the payload of its items.

    Args:
        fields: The mapping that has them.
        job_id: A job in the loop, whose place in the pipeline its references have; empty: none
            could be read, which is mistake enough.
        owner: What needs them, in a message.
    """
    over = fields.need("over", _over, owner)
    key = fields.read("key", _key)
    payload = _payload(fields)
    for name, in_loop in (("over", False), ("payload", True)):
        if job_id and (entry := fields.node.entries.get(name)):
            note_values(entry.value, job_id, fields.problems, in_loop=in_loop)
    if over is None:
        return None
    if isinstance(over, str):
        return Loop(over, key, payload)
    place = fields.node.entries["over"].value
    items = data(over, fields.problems, "over")
    loop = Loop(tuple(items), key, payload)
    return loop if _has_keys(loop, place, fields.problems) else None


def refuse_loops_inside(jobs: tuple[Job, ...], place: Node, problems: Problems) -> None:
    """Note the jobs of a loop that have a loop of their own."""
    for job in jobs:
        if job.loop is not None:
            wrong = "has a loop or matrix of its own inside the loop of its stage"
            problems.add(place, f"job {quoted(job.id)} {wrong}")


def _over(node: Node, what: str) -> ListNode | str:
    if isinstance(node, ListNode):
        return node
    try:
        text = node.text if isinstance(node, ScalarNode) and node.kind == "text" else ""
        reference = only_reference(text)
    except ReferenceSyntaxError as error:
        raise Mistake(node, str(error)) from None
    if reference is None or reference.root not in OVER:
        wrong = f"{what} must be a list, or stand for one as '@run.peek.items' and "
        raise Mistake(node, f"{wrong}'@params.days' do, not {described(node)}")
    return text


def _key(node: Node, what: str) -> str:
    text = values.filled(node, what)
    try:
        references = parse(text, in_loop=True).references
    except ReferenceSyntaxError as error:
        raise Mistake(node, str(error)) from None
    if not references or any(each.root not in IN_LOOPS for each in references):
        wrong = f"{what} must be made from the item, as '@item.id' is, not {described(node)}"
        raise Mistake(node, wrong)
    return text


def _payload(fields: Fields) -> dict[str, Any] | None:
    node = fields.read("payload", values.mapping)
    if node is None:
        return None
    found: dict[str, Any] = data(node, fields.problems, "payload")
    return found


def _has_keys(loop: Loop, place: Node, problems: Problems) -> bool:
    try:
        keys_of(loop, loop.over)
    except LoopError as error:
        problems.add(place, str(error))
        return False
    return True


def _matrix(node: MapNode, problems: Problems) -> Loop | None:
    before = len(problems)
    axes = _axes(node, problems)
    included = _entries(node, "include", axes, problems)
    excluded = _entries(node, "exclude", axes, problems)
    if len(problems) > before:
        return None
    if math.prod(map(len, axes.values())) > MOST_COMBINATIONS:
        problems.add(node, f"a matrix has at most {MOST_COMBINATIONS:,} combinations")
        return None
    made = list(combinations(axes))
    for place, entry in included:
        if entry.keys() != axes.keys():
            problems.add(place, f"an entry of include must have {', '.join(axes)}")
        made.append({name: entry.get(name) for name in axes})
    loop = Loop(tuple(_left(made, excluded, problems)), is_matrix=True)
    return loop if len(problems) == before and _has_keys(loop, node, problems) else None


def _axes(node: MapNode, problems: Problems) -> dict[str, list[Any]]:
    axes = {}
    for name, (key, value) in node.entries.items():
        if name in MATRIX_KEYS:
            continue
        if not _AXIS.fullmatch(name):
            wrong = f"{quoted(name)} in matrix must be letters, digits, _ and -"
            problems.add(key, f"{wrong}, and begin with a letter")
        axes[name] = problems.check(_axis, value, f"{name} in matrix") or []
    if not axes:
        problems.add(node, "a matrix needs at least one list of values by name")
    return axes


def _left(
    made: list[dict[str, Any]], excluded: list[tuple[Node, dict[str, Any]]], problems: Problems
) -> list[dict[str, Any]]:
    """The combinations that are not excluded."""
    for place, entry in excluded:
        if not any(_fits(each, entry) for each in made):
            problems.add(place, "this entry of exclude fits no combination")
    return [each for each in made if not any(_fits(each, entry) for _, entry in excluded)]


def _fits(combination: dict[str, Any], entry: dict[str, Any]) -> bool:
    # 1 and true are equal in Python.
    return all(
        combination[name] == value and type(combination[name]) is type(value)
        for name, value in entry.items()
    )


def _axis(node: Node, what: str) -> list[Any]:
    listed = values.listing(node, what)
    if not listed.items:
        raise Mistake(node, f"{what} must not be empty")
    return [_point(item, f"a value of {what}") for item in listed.items]


def _point(node: Node, what: str) -> Any:
    found = values.single(node, what) if isinstance(node, ScalarNode) else None
    if found is None or found == "":
        raise Mistake(node, f"{what} must be text, a number, true or false, not {described(node)}")
    return found


def _entries(
    node: MapNode, name: str, axes: dict[str, list[Any]], problems: Problems
) -> list[tuple[Node, dict[str, Any]]]:
    if name not in node.entries:
        return []
    listed = problems.check(values.listing, node.entries[name].value, name)
    found = []
    for item in listed.items if listed else ():
        entry = problems.check(values.mapping, item, f"an entry of {name}")
        if entry is None:
            continue
        Fields(entry, axes, problems)
        if not entry.entries:
            problems.add(entry, f"an entry of {name} must not be empty")
        values_of = {
            axis: problems.check(_point, each.value, f"{axis} in {name}")
            for axis, each in entry.entries.items()
        }
        found.append((item, values_of))
    return found
