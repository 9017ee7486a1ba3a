"""From one job that is to be repeated to the jobs that it stands for: pure, no I/O.

A loop over a list, and a matrix, are unfolded when their file is read; one over a parameter when
the run starts; one over the output of an earlier job when its stage begins. The id of each job is
`fetch[key]`: the same key gives the same id, wherever in the list the item stands.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import orjson

from lorchestra.errors import LoopError
from lorchestra.masking import Mask
from lorchestra.model import Broken, Item, Job, Loop, Pipeline, Stage
from lorchestra.references import (
    Reference,
    ReferenceFailedError,
    Scope,
    only_reference,
    text_of,
    value_of,
)
from lorchestra.wording import quoted

LONGEST_KEY = 200
MOST_COMBINATIONS = 100_000

_LONGEST_ID_BYTES = 10_000
_PLAIN = re.compile(r"[^\s\[\],=\"\\]+")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def combinations(axes: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """The combinations of a matrix: the last of its axes changes fastest."""
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def reference_of(loop: Loop) -> Reference | None:
    """What a loop goes over, if that is not written out; None: it is."""
    return only_reference(loop.over) if isinstance(loop.over, str) else None


def items_of(loop: Loop, scope: Scope) -> list[Any]:
    """The items of a loop.

    Raises:
        LoopError: What it goes over is not there, or is no list.
    """
    reference = reference_of(loop)
    try:
        items = loop.over if reference is None else value_of(reference, scope)
    except ReferenceFailedError as error:
        raise LoopError(f"the loop goes over nothing: {error}") from None
    if isinstance(items, str) or not isinstance(items, Sequence):
        raise LoopError(f"the loop needs a list to go over, and {loop.over} is {_kind(items)}")
    return list(items)


def keys_of(loop: Loop, items: Sequence[Any]) -> list[str]:
    """The keys by which the items of a loop are told apart, in their order.

    Raises:
        LoopError: Two are the same, or one is empty, too long, or not to be had.
    """
    if loop.key is not None:
        keys = [_made_key(loop.key, number, item) for number, item in enumerate(items)]
    elif loop.is_matrix:
        keys = [_combination_key(item) for item in items]
    elif all(map(_is_natural, items)):
        keys = [_plain(item) for item in items]
    else:
        keys = [str(number) for number in range(len(items))]
    twice = [key for key, times in Counter(keys).items() if times > 1]
    if twice:
        numbers = [number for number, key in enumerate(keys) if key == twice[0]]
        raise LoopError(f"items {numbers[0]} and {numbers[1]} have the same key {quoted(twice[0])}")
    return keys


def unfold_jobs(jobs: Sequence[Job], loop: Loop, items: Sequence[Any]) -> list[Job]:
    """The jobs of a loop: those of the first item in the order written, then those of the next.

    Args:
        jobs: The jobs as they were written.
        loop: What they are repeated for.
        items: Its items.

    Raises:
        LoopError: The items cannot be told apart.
    """
    keys = keys_of(loop, items)
    return [
        job
        for key, value in zip(keys, items, strict=True)
        for job in _jobs_of_item(jobs, loop, key, value)
    ]


class Part(NamedTuple):
    """Jobs of a stage as written, and the loop that they are repeated for together, if any."""

    loop: Loop | None
    jobs: tuple[Job, ...]


def parts_of(stage: Stage) -> list[Part]:
    """The jobs of a stage, each with what it is repeated for."""
    if stage.loop is not None:
        return [Part(stage.loop, stage.jobs)]
    return [Part(job.loop, (job,)) for job in stage.jobs]


def unfold_stage(stage: Stage, scope: Scope, roots: Iterable[str]) -> Stage:
    """The stage with jobs in place of those of its loops that can be unfolded now.

    Args:
        stage: The stage.
        scope: What the references of its loops stand for.
        roots: The loops over these are unfolded, and those over what is written out.

    Raises:
        LoopError: A loop cannot be unfolded.
    """
    known = frozenset(roots)
    jobs: list[Job] = []
    groups = dict(stage.groups)
    loop = stage.loop
    for part in parts_of(stage):
        if part.loop is None or not _is_known(part.loop, known):
            jobs += part.jobs
            continue
        found = unfold_jobs(part.jobs, part.loop, items_of(part.loop, scope))
        groups |= groups_of(part.jobs, found)
        jobs += found
        loop = None
    return replace(stage, jobs=tuple(jobs), loop=loop, groups=groups)


def broken(jobs: Sequence[Job], reason: str) -> list[Job]:
    """What stands in the place of a loop that cannot be unfolded: a job that fails, and the rest.

    Args:
        jobs: The jobs as they were written.
        reason: Why it cannot, as a sentence.
    """
    found: list[Job] = []
    for job in jobs:
        item = Item(job.id, None, after=found[-1].id if found else None)
        found.append(Job(job.id, Broken(reason), allow_failure=job.allow_failure, item=item))
    return found


def unfold_pipeline(pipeline: Pipeline, params: Mapping[str, Any]) -> Pipeline:
    """The pipeline with jobs in place of its loops over parameters.

    Raises:
        LoopError: One of them cannot be unfolded.
    """
    if not any(map(has_loop, pipeline.stages)):
        return pipeline
    scope = Scope(params)
    stages = tuple(unfold_stage(stage, scope, ("params", "payload")) for stage in pipeline.stages)
    unfolded = replace(pipeline, stages=stages)
    refuse_twice(unfolded.jobs)
    return unfolded


def has_loop(stage: Stage) -> bool:
    """Whether a stage has a loop that is still to be unfolded."""
    return any(part.loop is not None for part in parts_of(stage))


def folded_jobs(pipeline: Pipeline) -> set[str]:
    """The jobs that stand for others which are not known yet."""
    return {
        job.id
        for stage in pipeline.stages
        for part in parts_of(stage)
        if part.loop is not None
        for job in part.jobs
    }


def refuse_twice(jobs: Iterable[Job], taken: Collection[str] = ()) -> None:
    """Refuse a job that a loop makes although there is one of its id already.

    Args:
        jobs: The jobs.
        taken: The ids of others.

    Raises:
        LoopError: There is one.
    """
    for job_id, times in Counter(job.id for job in jobs).items():
        if times > 1 or job_id in taken:
            raise LoopError(f"the loop makes a job {quoted(job_id)}, which is there already")


def refuse_secret_keys(jobs: Iterable[Job], mask: Mask) -> None:
    """Refuse a job whose id, which is recorded and shown, has got a secret from its item.

    Args:
        jobs: The jobs that loops have become.
        mask: What takes secrets out of what is shown.

    Raises:
        LoopError: There is one.
    """
    for job in jobs:
        if job.item is not None and mask.text(job.id) != job.id:
            raise LoopError(
                f"the key of an item of {quoted(job.item.of)} holds a secret, and would be "
                "recorded as it is: give the loop a `key` without it"
            )


def groups_of(written: Iterable[Job], found: Iterable[Job]) -> dict[str, tuple[str, ...]]:
    """Of each job as written, the jobs that were made of it, in the order of the items."""
    groups: dict[str, list[str]] = {job.id: [] for job in written}
    for job in found:
        if job.item is not None:
            groups[job.item.of].append(job.id)
    return {name: tuple(ids) for name, ids in groups.items()}


def _is_known(loop: Loop, roots: frozenset[str]) -> bool:
    reference = reference_of(loop)
    return reference is None or reference.root in roots


def _jobs_of_item(jobs: Sequence[Job], loop: Loop, key: str, value: Any) -> Iterator[Job]:
    after: str | None = None
    for job in jobs:
        job_id = f"{job.id}[{key}]"
        size = len(job_id.encode())
        if size > _LONGEST_ID_BYTES:
            raise LoopError(f"a job id has at most {_LONGEST_ID_BYTES:,} bytes, not {size:,}")
        item = Item(job.id, value, loop.payload, loop.is_matrix, after)
        yield replace(job, id=job_id, loop=None, item=item)
        after = job_id


def _made_key(key: str, number: int, item: Any) -> str:
    try:
        made = text_of(key, Scope(loop={"item": item}))
    except ReferenceFailedError as error:
        raise LoopError(f"item {number} has no key: {error}") from None
    if not made.strip():
        raise LoopError(f"the key of item {number} is empty")
    if len(made) > LONGEST_KEY:
        raise LoopError(
            f"the key of item {number} has {len(made):,} characters, more than {LONGEST_KEY}"
        )
    return made


def _combination_key(item: Mapping[str, Any]) -> str:
    return ",".join(f"{name}={_of_axis(value)}" for name, value in item.items())


def _of_axis(value: Any) -> str:
    plain = _plain(value)
    return plain if _PLAIN.fullmatch(plain) else orjson.dumps(plain).decode()


def _is_natural(item: Any) -> bool:
    """Whether an item is its own key."""
    if isinstance(item, str):
        return 0 < len(item.strip()) <= LONGEST_KEY >= len(item) and not _UNPRINTABLE.search(item)
    return isinstance(item, int | float)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return "text"
        case Mapping():
            return "an object"
        case _:
            return "a number"
