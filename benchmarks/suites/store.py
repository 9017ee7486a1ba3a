"""What the store costs: appending, ending, reading and verifying, beside a loop at the limit.

The limit is what Python needs to make a line, its checksum and one write, by hand and without any
care. SQLite is what one would take otherwise; a JSON file that is written anew is what many take.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import orjson

from benchmarks.bench import Bench
from benchmarks.places import Place
from benchmarks.result import Comparison, Goal, compared
from benchmarks.rounds import Contestant
from runstore import RunStore

OURS, LIMIT = "runstore", "by hand, at the limit"
FIELDS = {"rows": 978, "source": "mail/account-1", "took_s": 0.25, "text": "x" * 80}
Append = Callable[[], object]


def run(bench: Bench) -> Iterator[Comparison]:
    """Compare appends, ends that reach the disk, reading, verifying."""
    for threads in (1, 4, 16) if not bench.is_short else (1,):
        yield _appends(bench, threads)
    yield _ends(bench)
    yield from _readers(bench)


# Appending ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _runstore(folder: Path) -> Iterator[Append]:
    numbers = itertools.count()
    with RunStore(folder, "os").create_run("bench", ["a"]) as one:
        logs = threading.local()

        def append() -> object:
            if not hasattr(logs, "log"):
                logs.log = one.job(f"job{next(numbers)}")
            return logs.log.append("metric", **FIELDS)

        yield append


@contextlib.contextmanager
def _by_hand(folder: Path) -> Iterator[Append]:
    numbers, files, opened = itertools.count(), threading.local(), []

    def append() -> object:
        if not hasattr(files, "descriptor"):
            files.descriptor = os.open(
                folder / f"{next(numbers)}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
            )
            opened.append(files.descriptor)
        line = orjson.dumps({"n": 1, "event": "metric", **FIELDS})
        return os.write(files.descriptor, b'%b,"crc":"%08x"}\n' % (line[:-1], zlib.crc32(line)))

    yield append
    for descriptor in opened:
        os.close(descriptor)


def _sqlite(synchronous: str) -> Callable[[Path], contextlib.AbstractContextManager[Append]]:
    @contextlib.contextmanager
    def opened(folder: Path) -> Iterator[Append]:
        connections = threading.local()

        def connection() -> sqlite3.Connection:
            if not hasattr(connections, "one"):
                made = sqlite3.connect(folder / "records.db", isolation_level=None, timeout=60)
                made.execute("PRAGMA journal_mode=WAL")
                made.execute(f"PRAGMA synchronous={synchronous}")
                made.execute("CREATE TABLE IF NOT EXISTS records (event TEXT, fields BLOB)")
                connections.one = made
            one: sqlite3.Connection = connections.one
            return one

        yield lambda: connection().execute(
            "INSERT INTO records VALUES (?, ?)", ("metric", orjson.dumps(FIELDS))
        )

    return opened


@contextlib.contextmanager
def _one_file_under_filelock(folder: Path) -> Iterator[Append]:
    path = folder / "records.jsonl"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append() -> object:
        with filelock.FileLock(f"{path}.lock", thread_local=False, fallback_to_soft=False):
            return os.write(descriptor, orjson.dumps(FIELDS, option=orjson.OPT_APPEND_NEWLINE))

    yield append
    os.close(descriptor)


@contextlib.contextmanager
def _rewritten_json(folder: Path) -> Iterator[Append]:
    records: list[object] = []
    lock = threading.Lock()

    def append() -> object:
        with lock:
            records.append(FIELDS)
            (folder / "new.json").write_text(json.dumps(records))
            (folder / "new.json").replace(folder / "records.json")
            return None

    yield append


APPENDERS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Append]]] = {
    OURS: _runstore,
    LIMIT: _by_hand,
    "SQLite WAL, synchronous OFF": _sqlite("OFF"),
    "SQLite WAL, synchronous NORMAL": _sqlite("NORMAL"),
    "one file under filelock": _one_file_under_filelock,
    "a JSON file, written anew": _rewritten_json,
}
# Its cost grows with what is in it: a full count would measure nothing else.
FEW = {"a JSON file, written anew": 20}


def _appends(bench: Bench, threads: int) -> Comparison:
    count = bench.count(20_000, 4_000) // threads

    def contestant(name: str) -> Contestant:
        mine = max(1, count // FEW.get(name, 1))

        def once() -> float:
            with APPENDERS[name](bench.memory.fresh()) as append:
                return _in_threads(append, mine, threads) * count / mine

        return Contestant(name, once)

    title = f"appending {count * threads:,} records, {threads} thread{'s' * (threads > 1)}"
    times = bench.in_turn(title, [contestant(name) for name in APPENDERS], bench.count(9, 5))
    goals = [
        Goal(OURS, LIMIT, at_most=1.5),
        Goal(OURS, "SQLite WAL, synchronous NORMAL", at_least=3.0),
    ]
    return compared(
        title, _where(bench.memory), times, OURS, goals if threads == 1 else [], per=count * threads
    )


def _in_threads(append: Append, count: int, threads: int) -> float:
    def some() -> None:
        for _ in range(count):
            append()

    append()
    workers = [threading.Thread(target=some) for _ in range(threads - 1)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    some()
    for worker in workers:
        worker.join()
    return time.perf_counter() - began


# Ending ------------------------------------------------------------------------------------------


def _ends(bench: Bench) -> Comparison:
    """An attempt of two records, on disk before it is acknowledged; a commit that is."""
    count = bench.count(400, 50)

    def ours() -> float:
        with RunStore(bench.disk.fresh(), "disk").create_run("bench", ["a"]) as one:
            began = time.perf_counter()
            for number in range(count):
                with one.job(f"job{number}") as log:
                    log.end("succeeded")
            return time.perf_counter() - began

    def by_hand() -> float:
        folder = bench.disk.fresh()
        began = time.perf_counter()
        for number in range(count):
            descriptor = os.open(folder / f"{number}.jsonl", os.O_WRONLY | os.O_CREAT, 0o600)
            os.write(descriptor, orjson.dumps(FIELDS))
            os.write(descriptor, orjson.dumps(FIELDS))
            os.fdatasync(descriptor)
            os.close(descriptor)
            parent = os.open(folder, os.O_RDONLY)
            os.fsync(parent)
            os.close(parent)
        return time.perf_counter() - began

    def sqlite() -> float:
        with _sqlite("FULL")(bench.disk.fresh()) as append:
            append()
            began = time.perf_counter()
            for _ in range(count):
                append()
            return time.perf_counter() - began

    title = f"ending {count:,} attempts, each on disk"
    contestants = [
        Contestant(OURS, ours),
        Contestant("a file and two syncs by hand", by_hand),
        Contestant("SQLite WAL, synchronous FULL", sqlite),
    ]
    times = bench.in_turn(title, contestants, bench.count(9, 5))
    return compared(title, _where(bench.disk), times, OURS, per=count)


# Reading -----------------------------------------------------------------------------------------


def _readers(bench: Bench) -> Iterator[Comparison]:
    for size, target in ((240, 350), (1_000, 800)):
        store, run_id, path = _large_run(bench, size)
        megabytes = path.stat().st_size / 1e6
        data = path.read_bytes()

        def ours(store: RunStore = store, run_id: str = run_id) -> float:
            began = time.perf_counter()
            report = store.verify(run_id)
            took = time.perf_counter() - began
            assert report.ok
            return took

        def strict(store: RunStore = store, run_id: str = run_id) -> float:
            began = time.perf_counter()
            store.verify(run_id, strict=True)
            return time.perf_counter() - began

        def merged(store: RunStore = store, run_id: str = run_id) -> float:
            began = time.perf_counter()
            for _ in store.read(run_id).records():
                pass
            return time.perf_counter() - began

        def checksums(data: bytes = data) -> float:
            began = time.perf_counter()
            for line in data.splitlines():
                zlib.crc32(line)
            return time.perf_counter() - began

        def parsed(data: bytes = data) -> float:
            began = time.perf_counter()
            for line in data.splitlines():
                orjson.loads(line)
            return time.perf_counter() - began

        title = f"reading {megabytes:.0f} MB of records of {size} bytes"
        contestants = [
            Contestant("verify", ours),
            Contestant("verify --strict", strict),
            Contestant("merged reading", merged),
            Contestant("splitlines and crc32", checksums),
            Contestant("splitlines and orjson.loads", parsed),
        ]
        times = bench.in_turn(title, contestants, bench.count(7, 3))
        speed = megabytes / sorted(times.by_name["verify"])[len(times.by_name["verify"]) // 2]
        yield compared(
            title,
            _where(bench.memory),
            times,
            "verify",
            [Goal("merged reading", "splitlines and orjson.loads", at_most=2.0)],
            facts={"verify, MB/s": f"{speed:.0f} (to reach: {target})"},
        )


def _large_run(bench: Bench, size: int) -> tuple[RunStore, str, Path]:
    """A run of one large file of records of about so many bytes."""
    store = RunStore(bench.memory.fresh(), "os")
    count = bench.count(60_000_000, 4_000_000) // size
    with store.create_run("bench", ["a"]) as one:
        with one.job("a") as log:
            for number in range(count):
                log.append("metric", number=number, text="x" * (size - 126))
            log.end("succeeded")
        one.end("succeeded")
    path = Path(store.path) / "runs" / one.id / "jobs" / "a.a1.jsonl"
    return store, one.id, path


def _where(place: Place) -> str:
    return f"{place.name} ({place.file_system})"
