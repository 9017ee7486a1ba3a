"""Every flipped bit of a store is found, and named to the file and the line.

Each bit of each file of records is flipped, and of the store's own file: in a run that has ended,
in one that was left open, and in a compacted one. Of an attempt only the file that was hit is read
again, by the scan that verify makes of it; now and then verify itself has to find the same. For a
bit of the run's own file, of the store's own or of a compacted one it is all of verify.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from runstore import RunStore, StoreFormatError
from runstore.layout import STORE_FILE, AttemptKey, attempt_file, parse_attempt_file
from runstore.lines.scan import Scan
from runstore.reading.inventory import Inventory, attempt_misfit, take_inventory
from runstore.verifying.findings import ERROR_CODES
from tests.faults.harness import Result
from tests.faults.memory import MemoryOs, holding, mounted
from tests.faults.sharing import shared_out, total
from tests.faults.stores import STORE, CompactedSample, Sample, finished_run, open_run
from tests.scale import Scale

TITLE = "every flipped bit of a 100 KB store is found, and named to the file and the line"

JOBS, RECORDS = 24, 22
# A reduced run flips one of so many bits: an odd number, so every bit of a byte has its turn.
STEP = 401
WHOLE_VERIFY_EVERY = 400

Found = set[tuple[str, str, int, int]]  # code, path below the store, line, offset
Reader = Callable[[], Found]


def run(scale: Scale) -> Result:
    """Flip the bits and look for each."""
    return shared_out(__name__, scale)


def share(part: int, parts: int, scale: Scale) -> Result:
    """Flip one of so many parts of the bits."""
    names = [f"job_{number:02}" for number in range(JOBS)]
    step = parts * scale.count(1, STEP)
    ended = finished_run(dict.fromkeys(names, 1), RECORDS)
    compacted = CompactedSample(finished_run(dict.fromkeys(names[:3], 1), 3))
    left_open = open_run({name: number % 4 == 0 for number, name in enumerate(names)}, RECORDS)
    return total(
        flipped(sample, kind, part, step)
        for sample, kind in ((ended, "ended"), (left_open, "open"), (compacted, "compacted"))
    )


def flipped(sample: Sample, kind: str, first: int, step: int) -> Result:
    """Flip every `step`th bit of each file of a store, from the bit `first` on."""
    flips = undetected = false_alarms = size_bytes = 0
    # Where a line of its index is damaged, a compacted file is short of a part, or of its end.
    codes = {"damaged", "gap", "truncated"} if kind == "compacted" else {"damaged"}
    with mounted(holding(sample.tree)) as memory:
        whole = partial(found_by_verify, sample)
        for path, read in readers(sample):
            content = content_of(memory, path)
            size_bytes += len(content)
            for bit in bits_of(content, first, step):
                expected = place_of(path, content, bit // 8)
                content[bit // 8] ^= 1 << bit % 8
                found = read()
                if flips % WHOLE_VERIFY_EVERY == 0:
                    assert found == whole(), (path, bit)
                content[bit // 8] ^= 1 << bit % 8
                flips += 1
                undetected += expected not in found
                false_alarms += any(at != path or code not in codes for code, at, _, _ in found)
        assert whole() == set()
    figures: dict[str, int | float | str] = {
        f"flips of {kind} files": flips,
        f"bytes of {kind} files": size_bytes if first == 0 else 0,
    }
    return Result(figures, undetected=undetected, false_alarms=false_alarms)


def bits_of(content: bytearray, first: int, step: int) -> list[int]:
    """Every `step`th bit, and those of the last line feed, which a torn write has not."""
    size = 8 * len(content)
    return sorted({*range(first, size, step), *range(size - 8 + first, size, min(step, 8))})


def content_of(memory: MemoryOs, path: str) -> bytearray:
    """The content of a file of the store, to be changed in its place."""
    inode = memory.entries[f"{STORE}/{path}"]
    assert inode is not None
    return memory.contents[inode]


def place_of(path: str, content: bytearray, offset: int) -> tuple[str, str, int, int]:
    """What has to be found when a byte is damaged; a line feed is of the line that it ends."""
    line = content.count(b"\n", 0, offset) + 1
    return "damaged", path, line, content.rfind(b"\n", 0, offset) + 1


def readers(sample: Sample) -> Iterator[tuple[str, Reader]]:
    """The files of a store, by path below it, and what finds the damage in each."""
    whole = partial(found_by_verify, sample)
    inventory = take_inventory(sample.folder, sample.run_id)
    yield STORE_FILE, whole
    for name in sample.content:
        path = f"{sample.folder}/{name}".removeprefix(f"{STORE}/")
        key = parse_attempt_file(name.removeprefix("jobs/"))
        yield path, whole if key is None else partial(found_in_attempt, inventory, key)


def found_by_verify(sample: Sample) -> Found:
    """The errors that verify finds in the whole store."""
    try:
        errors = RunStore(STORE).verify().errors
    except StoreFormatError as error:
        return {("damaged", error.path.removeprefix(f"{STORE}/"), 1, 0)}
    return {(error.code, error.path, error.line, error.offset) for error in errors}


def found_in_attempt(inventory: Inventory, key: AttemptKey) -> Found:
    """The errors that verify finds in one attempt's file."""
    path = f"{inventory.folder}/{attempt_file(*key)}"
    expected = inventory.expected.get(key)
    found = set()
    for line in Scan(path, expected.witness if expected else None):
        code = attempt_misfit(inventory.run_id, key, line) or line.code
        if code in ERROR_CODES:
            found.add((code, path.removeprefix(f"{STORE}/"), line.number, line.offset))
    return found
