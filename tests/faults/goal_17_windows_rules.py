"""Under the rules of Windows the store works, and what they forbid is refused without a loss.

Simulated (see `windows`): files that are open cannot be replaced, renamed or removed; folders
cannot be synced; names ignore case, and some are refused. Not measured on a Windows machine.
"""

from __future__ import annotations

import errno

from runstore import RunStore
from tests.faults.harness import Result
from tests.faults.memory import ROOT
from tests.faults.windows import WindowsOs, windows
from tests.scale import Scale

TITLE = "under the rules of Windows (simulated) nothing is lost, and nothing half done"

STORE = f"{ROOT}/store"
_READ = 0


def run(scale: Scale) -> Result:
    """Write, read, mend and remove runs while somebody has their files open."""
    ids = hostile_ids()[: scale.count(5000, 200)]
    with windows() as memory:
        lost = _write_and_read(ids)
        refused, damage_left = _mend_while_open(memory)
    figures: dict[str, int | float | str] = {"hostile job ids": len(ids), "refusals": refused}
    return Result(figures=figures, lost=lost, undetected=damage_left)


def hostile_ids() -> list[str]:
    """Ids that are no names on Windows, or the same name as another."""
    devices = ["con", "nul", "aux.txt", "COM1", "lpt9.log", "prn", "conin$"]
    shapes = ["{}", "{}.", "{} ", "{}:stream", "{}/x", "{}\\x", "{}?", '"{}"', "{}|{}", "<{}>"]
    words = [*devices, "job", "Job", "JOB", "é", "É", "e\u0301", "ﬁ", "日本", "\x01", "a" * 200]
    ids = [shape.format(word, word) for word in words for shape in shapes]
    ids += [f"Job {number}" for number in range(5000)]
    return list(dict.fromkeys(ids))


def _write_and_read(ids: list[str]) -> int:
    store = RunStore(STORE)
    with store.create_run("nightly", jobs=ids) as run:
        for job_id in ids:
            with run.job(job_id) as log:
                log.append("metric", job_number=ids.index(job_id))
    view = store.read(run.id)
    succeeded = [job_id for job_id, job in view.jobs.items() if job.status == "succeeded"]
    assert store.verify().ok, store.verify().errors[0]
    return len(ids) - len(set(ids) & set(succeeded))


def _mend_while_open(memory: WindowsOs) -> tuple[int, int]:
    """Damage a run; mend it while a reader has the file open, and again when it has not."""
    store = RunStore(STORE)
    with store.create_run("other", jobs=["a"]) as run, run.job("a") as log:
        log.append("metric", rows=1)
    path = f"{run.path}/jobs/a.a1.jsonl"
    inode = memory.entries[path]
    assert inode is not None
    memory.contents[inode][100] ^= 4
    assert not store.verify(run.id).ok
    reader = memory.open(path, _READ)
    refused = 0
    try:
        store.repair(run.id)
    except PermissionError as error:
        refused += error.errno == errno.EACCES
    before = bytes(memory.contents[inode])
    assert memory.entries[path] == inode, "the file that is open was replaced"
    memory.close(reader)
    store.repair(run.id)
    kept = memory.entries[f"{path}.damaged"]
    assert kept is not None
    assert bytes(memory.contents[kept]) == before
    return refused, len(store.verify(run.id).errors)
