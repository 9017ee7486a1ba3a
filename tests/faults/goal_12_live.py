"""Verify and read beside writers at work: no false alarm, and no torn record."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections import Counter
from tempfile import TemporaryDirectory

from runstore import RunStore, StoreNotFoundError
from tests.faults.harness import Result
from tests.faults.sharing import DYING, needs_fork
from tests.runstore.samples import Record
from tests.scale import Scale

TITLE = "verify beside 8 writers raises no false alarm, and no torn record is read"
NEEDS = needs_fork

WRITERS = 8
# So many of the newest runs are read again and again: those at work, and some that have ended.
NEWEST = 12
OF_THE_RUN = frozenset({"start", "done"})
HARMLESS = frozenset({"open", "torn-tail"})


def run(scale: Scale) -> Result:
    """Read for so long, while processes write one run after the other."""
    seconds = scale.count(60, 3)
    with TemporaryDirectory() as folder:
        path = f"{folder}/store"
        command = [sys.executable, str(DYING), "alive", path, str(seconds)]
        writers = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(WRITERS)]
        try:
            result = watched(path, writers)
        finally:
            for writer in writers:
                writer.kill()
                writer.wait()
        assert [writer.returncode for writer in writers] == [0] * WRITERS
        return result


def watched(path: str, writers: list[subprocess.Popen[bytes]]) -> Result:
    """Read a store until all its writers have ended, and once more then."""
    watch = Watch(path)
    is_over = False
    for turn in itertools.count():
        if is_over:
            break
        is_over = all(writer.poll() is not None for writer in writers)
        try:
            watch.look(everything=is_over or turn % 50 == 49)
        except StoreNotFoundError:
            time.sleep(0.01)
    return watch.result()


class Watch:
    """What is seen of a store by looking at it again and again."""

    def __init__(self, path: str) -> None:
        self._store = RunStore(path)
        self._figures = dict.fromkeys(("verified", "runs read", "records read", "at work"), 0)
        self._false_alarms = self._torn = 0

    def look(self, *, everything: bool) -> None:
        """Verify the newest runs, or all, and read them."""
        newest = self._store.run_ids()[:NEWEST]
        report = self._store.verify(None if everything else newest)
        self._figures["verified"] += 1
        self._figures["at work"] += any(note.code == "open" for note in report.notes)
        self._false_alarms += len(report.errors)
        self._false_alarms += sum(note.code not in HARMLESS for note in report.notes)
        for run_id in newest:
            self._read(run_id)

    def _read(self, run_id: str) -> None:
        view = self._store.read(run_id)
        # It is at work, or has ended: its process lives. Before its first record it is nothing yet.
        self._false_alarms += view.status not in {"running", "succeeded"} and bool(view.begin)
        following: Counter[tuple[str, int] | None] = Counter()
        for record in view.records():
            is_own = "job" not in record or record["event"] in OF_THE_RUN
            file = None if is_own else (record["job"], record["attempt"])
            self._torn += record["n"] != following[file] or not is_whole(record)
            following[file] += 1
        self._figures["records read"] += following.total()
        self._figures["runs read"] += 1

    def result(self) -> Result:
        """What was seen."""
        return Result({**self._figures}, undetected=self._torn, false_alarms=self._false_alarms)


def is_whole(record: Record) -> bool:
    """Tell whether a record is as `dying.append` wrote it."""
    if record["event"] != "metric":
        return True
    return bool(record["text"] == "x" * record["size"])
