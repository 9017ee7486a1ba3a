"""Remove old runs, never one that may be at work.

A run inside another goes with that one and not before, so that no run names what is gone.
A run's folder is renamed first, to `<run_id>.pruned`, which is no run's name: for readers it is
gone in one step. Then it is deleted. What an interrupted pruning leaves is deleted by the next one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from runstore import files, layout
from runstore.errors import RunIsAliveError, StoreFormatError
from runstore.reading.inventory import refuse_live, take_inventory
from runstore.reading.merge import RUNNING
from runstore.reading.view import RunSummary, summarize

OnProgress = Callable[[str, int, int], None]

# So long a run that names no process yet may take to write its first record.
_BIRTH_S = 3600


@dataclass(frozen=True, slots=True)
class Rules:
    """Which runs go; at least one rule is given.

    Attributes:
        keep: All but so many of the newest of each pipeline.
        older_than: Those that ended, or crashed after they began, longer ago than that.
        max_bytes: The oldest, until the whole store has no more bytes.
    """

    keep: int | None = None
    older_than: timedelta | None = None
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.keep is None and self.older_than is None and self.max_bytes is None:
            raise ValueError("give at least one of keep, older_than and max_bytes")
        for name, number in (("keep", self.keep), ("max_bytes", self.max_bytes)):
            if number is not None and type(number) is not int:
                raise ValueError(f"{name} is a whole number, not {number!r}")
        if self.keep is not None and self.keep < 1:
            raise ValueError(f"keep is at least 1, not {self.keep}")
        if self.older_than is not None and not isinstance(self.older_than, timedelta):
            raise ValueError(f"older_than is a timedelta, not {self.older_than!r}")
        if self.older_than is not None and self.older_than < timedelta():
            raise ValueError(f"older_than is no time in the future: {self.older_than}")
        if self.max_bytes is not None and self.max_bytes < 0:
            raise ValueError(f"max_bytes is at least 0, not {self.max_bytes}")


def prune_store(
    store: str, rules: Rules, *, dry_run: bool = False, on_progress: OnProgress | None = None
) -> list[str]:
    """Remove runs; see `RunStore.prune`."""
    runs = f"{store}/{layout.RUNS}"
    if files.exists(runs) and not files.is_folder(runs):
        raise StoreFormatError(runs, "is no folder", "runs in a folder of the store itself")
    tell = on_progress or (lambda _what, _done, _total: None)
    if not dry_run:
        _finish(runs)
    chosen = list(_chosen(store, rules, tell))
    if dry_run:
        return chosen
    removed = []
    spared: set[str] = set()
    for number, run_id in enumerate(chosen):
        tell("removing", number, len(chosen))
        # It may have been resumed since it was chosen, and then those inside it are needed.
        summary = summarize(store, run_id)
        if (summary and summary.parent in spared) or _may_be_at_work(store, run_id, summary):
            spared.add(run_id)
        elif _remove(f"{runs}/{run_id}"):
            removed.append(run_id)
    return removed


def _finish(runs: str) -> None:
    """Delete what an interrupted pruning has left."""
    for name in filter(layout.is_pruned, files.names(runs)):
        if files.is_folder(f"{runs}/{name}"):
            files.remove_folder(f"{runs}/{name}")


def _remove(folder: str) -> bool:
    """Remove one run; False: somebody else has done so."""
    pruned = f"{folder}{layout.PRUNED_SUFFIX}"
    try:
        files.replace(folder, pruned)
    except FileNotFoundError:
        return False
    files.remove_folder(pruned)
    return True


def _chosen(store: str, rules: Rules, tell: OnProgress) -> Iterator[str]:
    """The runs that go, the oldest first."""
    run_ids = _run_ids(store)
    summaries = {}
    for number, run_id in enumerate(run_ids):
        tell("looking at", number, len(run_ids))
        summaries[run_id] = summarize(store, run_id)
    families = _families(summaries)
    chosen = set()
    newer: Counter[str | None] = Counter()
    for run_id, family in families.items():
        summary = summaries[run_id]
        pipeline = summary.pipeline if summary else None
        is_surplus = rules.keep is not None and newer[pipeline] >= rules.keep
        newer[pipeline] += 1
        is_old = rules.older_than is not None and _age(run_id, summary) > rules.older_than
        if (is_surplus or is_old) and not _any_at_work(store, family, summaries):
            chosen.update(family)
    if rules.max_bytes is not None:
        chosen.update(list(_too_much(store, families, chosen, rules.max_bytes, tell)))
    return reversed([run_id for run_id in run_ids if run_id in chosen])


def _families(summaries: Mapping[str, RunSummary | None]) -> dict[str, list[str]]:
    """The runs that are inside no other of the store, each with all that are inside it."""
    families: dict[str, list[str]] = {}
    for run_id in summaries:
        families.setdefault(_outermost(run_id, summaries), []).append(run_id)
    # In the order given: a run inside may seem newer than others that began after its family.
    return {run_id: families[run_id] for run_id in summaries if run_id in families}


def _outermost(run_id: str, summaries: Mapping[str, RunSummary | None]) -> str:
    seen: set[str] = set()
    # Foreign records may say that two runs are inside each other.
    while run_id not in seen:
        seen.add(run_id)
        summary = summaries[run_id]
        outer = summary.parent if summary else None
        if outer is None or outer not in summaries:
            return run_id
        run_id = outer
    return min(seen)


def _any_at_work(
    store: str, family: list[str], summaries: Mapping[str, RunSummary | None] | None = None
) -> bool:
    known = summaries or {}
    return any(_may_be_at_work(store, run_id, known.get(run_id)) for run_id in family)


def _run_ids(store: str) -> list[str]:
    """The ids of all runs whose folder is in the store and not elsewhere, newest first."""
    runs = f"{store}/{layout.RUNS}"
    names = filter(layout.is_run_id, files.names(runs))
    found = [name for name in names if files.is_folder(f"{runs}/{name}")]
    return sorted(found, key=lambda name: (layout.time_of(name), name), reverse=True)


def _too_much(
    store: str,
    families: Mapping[str, list[str]],
    gone: set[str],
    max_bytes: int,
    tell: OnProgress,
) -> Iterator[str]:
    """The oldest runs without which the store has no more bytes than allowed."""
    sizes: Counter[str] = Counter()
    for number, (outermost, family) in enumerate(families.items()):
        tell("measuring", number, len(families))
        for run_id in family:
            sizes[outermost] += files.measure(layout.run_folder(store, run_id)).size_bytes
    total = files.measure(store).size_bytes - sum(sizes[run_id] for run_id in gone)
    for outermost in reversed(list(families)):
        if total <= max_bytes:
            return
        if outermost not in gone and not _any_at_work(store, families[outermost]):
            total -= sizes[outermost]
            yield from families[outermost]


def _age(run_id: str, summary: RunSummary | None) -> timedelta:
    """How long ago a run ended; where nothing says so, how long ago it began."""
    at = (summary.ended or summary.started) if summary else None
    try:
        seconds = datetime.fromisoformat(at or "").timestamp()
    except (ValueError, OverflowError):
        seconds = layout.time_of(run_id)
    return timedelta(seconds=time.time() - seconds)


def _may_be_at_work(store: str, run_id: str, summary: RunSummary | None = None) -> bool:
    """Tell whether a run's process may write it, or be about to begin it."""
    summary = summary or summarize(store, run_id)
    if summary is not None and (summary.ended or summary.status == RUNNING):
        return not summary.ended
    inventory = take_inventory(layout.run_folder(store, run_id), run_id)
    try:
        has_owner = refuse_live(inventory)
    except RunIsAliveError:
        return True
    return not has_owner and time.time() - layout.time_of(run_id) < _BIRTH_S
