"""Files that were moved, swapped or covered: repair finds them again, and a dry run says so."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from runstore import RunStore
from tests.runstore.samples import (
    FIRST,
    RUN_FILE,
    SECOND,
    SampleRun,
    finished_run,
    frozen,
    open_run,
)
from tests.runstore.sealing import KINDS
from tests.runstore.steps import contents, flipped
from tests.scale import count

SEEDS = count(full=3_000, reduced=60)
# Places where a repair is to find what was moved there.
ELSEWHERE = ("{}.bak", "jobs/moved-{}", "{}.damaged", "run.7.jsonl", "jobs/other.a1.jsonl")


@pytest.fixture(autouse=True)
def _no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    monkeypatch.setattr("os.fdatasync", lambda _descriptor: None, raising=False)


def rehearsed(store: RunStore, run_id: str) -> None:
    """Repair a run; fails where a dry run said otherwise, or wrote something."""
    before = tree(Path(store.path))
    said = store.repair(run_id, dry_run=True)
    assert tree(Path(store.path)) == before
    assert store.repair(run_id) == said
    assert store.verify(run_id).errors == []
    assert store.repair(run_id).mended == []


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def move(sample: SampleRun, chance: random.Random) -> None:
    """Give one file of a run another name, within the run."""
    source = chance.choice(sample.names())
    place = chance.choice(ELSEWHERE).format(source.rpartition("/")[2])
    if not sample.path(place).exists():
        sample.path(source).rename(sample.path(place))


def swap(sample: SampleRun, chance: random.Random) -> None:
    names = sample.names()
    one, two = (sample.path(chance.choice(names)) for _ in range(2))
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)


def cover(sample: SampleRun, chance: random.Random) -> None:
    """Put a folder where a file was."""
    path = sample.path(chance.choice(sample.names()))
    path.unlink()
    path.mkdir()


def lose(sample: SampleRun, chance: random.Random) -> None:
    sample.path(chance.choice(sample.names())).unlink()


def flip(sample: SampleRun, chance: random.Random) -> None:
    path = sample.path(chance.choice(sample.names()))
    if content := path.read_bytes():
        path.write_bytes(flipped(content, chance.randrange(len(content))))


def cut(sample: SampleRun, chance: random.Random) -> None:
    path = sample.path(chance.choice(sample.names()))
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content) + 1)])


MISCHIEF: tuple[Callable[[SampleRun, random.Random], None], ...] = (
    *(move, swap, cover, lose, flip, cut),
)


@pytest.mark.parametrize("compacted", [False, True], ids=["loose", "sealed"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_dry_run_says_what_repair_then_does(kind: str, compacted: bool, tmp_path: Path) -> None:
    made = KINDS[kind](tmp_path / "made")
    if compacted:
        made.store.compact(made.id)
    for seed in range(SEEDS):
        chance = random.Random(seed)
        shutil.copytree(made.store.path, tmp_path / "store")
        sample = SampleRun.__new__(SampleRun)
        sample.store, sample.id = RunStore(tmp_path / "store"), made.id
        sample.folder = tmp_path / "store/runs" / made.id
        done = []
        for _ in range(chance.choice([1, 1, 2, 3])):
            if any(path.is_file() for path in map(sample.path, sample.names())):
                mischief = chance.choice(MISCHIEF)
                done.append(mischief.__name__)
                try:
                    mischief(sample, chance)
                except IsADirectoryError:
                    continue
        try:
            rehearsed(sample.store, sample.id)
        except BaseException as error:
            error.add_note(f"seed {seed}: {done}")
            raise
        shutil.rmtree(tmp_path / "store")


@pytest.mark.parametrize("place", ELSEWHERE)
@pytest.mark.parametrize("name", [RUN_FILE, FIRST, SECOND])
def test_a_file_that_was_moved_loses_nothing(name: str, place: str, tmp_path: Path) -> None:
    sample = finished_run(tmp_path / "store")
    sample.path(name).rename(sample.path(place.format(name.rpartition("/")[2])))
    rehearsed(sample.store, sample.id)
    assert set(map(frozen, sample.records())) == sample.written
    assert contents(sample.folder)[name] == sample.content[name]


@pytest.mark.parametrize("name", [RUN_FILE, "run.2.jsonl"])
@pytest.mark.parametrize("place", ELSEWHERE)
def test_a_resumed_run_gets_its_own_files_back(name: str, place: str, tmp_path: Path) -> None:
    sample = KINDS["resumed"](tmp_path / "store")
    content = sample.path(name).read_bytes()
    sample.path(name).rename(sample.path(place.format(name)))
    sample.store.repair(sample.id)
    assert contents(sample.folder)[name].startswith(content[: content.rindex(b"\n")])


def test_own_files_that_were_swapped_lose_nothing(tmp_path: Path) -> None:
    sample = KINDS["resumed"](tmp_path / "store")
    before = set(map(frozen, sample.records()))
    one, two = sample.path(RUN_FILE), sample.path("run.2.jsonl")
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    rehearsed(sample.store, sample.id)
    assert set(map(frozen, sample.records())) == before


def test_a_dry_run_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = open_run(tmp_path / "store")
    (scratch := tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    sample.path("stray").write_bytes(b"mine")
    assert sample.store.repair(sample.id, dry_run=True).mended
    assert list(scratch.iterdir()) == []
