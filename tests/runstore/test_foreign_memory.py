"""How much memory readers take, of a process of its own: that of a piece, whatever is in a store.

The figures are peaks of the resident set, as the system counts them, above those of the same
reader on an ordinary store. `pytest -s` prints them; with RUNSTORE_FULL=1 the lines have 1 GB.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.runstore.foreign import (
    RUN_ID,
    Chain,
    attempt_begin,
    run_begin,
    run_file,
    seal,
    whole,
    write,
)
from tests.scale import count

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts the peak in other units")

MB = 1 << 20
LINE_BYTES = count(1 << 30, 1 << 28)
OTHER_BYTES = count(1 << 30, 1 << 25)
CHILD = """
import contextlib, io, sys
from lorchestra.cli.root import run as lorchestra
from runstore import RunStore, RunStoreError

path, run_id, reader = sys.argv[1:]


def drain(records):
    for record in records:
        pass


class Nowhere(io.RawIOBase):
    def writable(self):
        return True

    def write(self, data):
        return len(data)


def command(*arguments):
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(Nowhere()), "utf-8")
    code = lorchestra([*arguments, "--store", path])
    sys.stdout = sys.__stdout__
    assert code in (0, 3), code


store = RunStore(path)
readers = {
    "runs": lambda: drain(store.runs()),
    "read": lambda: drain(store.read(run_id).records()),
    "follow": lambda: drain(store.follow(run_id)),
    "verify": lambda: store.verify(),
    "verify --strict": lambda: store.verify(run_id, strict=True),
    "stats": lambda: store.stats(),
    "dry repair": lambda: store.repair(run_id, dry_run=True),
    "repair": lambda: store.repair(run_id),
    "compact": lambda: store.compact(run_id),
    "cat": lambda: command("runstore", "cat", run_id),
    "verify --json": lambda: command("runstore", "verify", "--json"),
    "list": lambda: command("runs", "list"),
}
for each in reader.split(", "):
    with contextlib.suppress(RunStoreError):
        readers[each]()
# Not ru_maxrss, which begins with that of the process that started this one.
with open("/proc/self/status") as file:
    print(next(line.split()[1] for line in file if line.startswith("VmHWM")))
"""
LOOKING = ("runs", "read", "follow", "verify --strict", "stats", "dry repair", "cat", "list")


def peak_bytes(store: Path, reader: str) -> int:
    """The peak of a process that reads a store once."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(store), RUN_ID, reader],
        capture_output=True,
        check=False,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout) * 1024
    print(f"{store.name}: {reader}: {peak / MB:.1f} MB, {time.monotonic() - begun:.2f} s")
    return peak


@cache
def ordinary_bytes(reader: str, folder: Path) -> int:
    write(folder / "ordinary", whole())
    return peak_bytes(folder / "ordinary", reader)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("memory")


def above(store: Path, reader: str, folder: Path) -> float:
    """By how many MB a reader needs more than for an ordinary store."""
    return (peak_bytes(store, reader) - ordinary_bytes(reader, folder)) / MB


def pieces(pattern: bytes, size: int) -> Iterator[bytes]:
    block = pattern * (MB // len(pattern))
    for _ in range(size // len(block)):
        yield block


PATTERNS = {"zeros": b"", "digits": b"9", "brackets": b"[", "quotes": b'"\\', "bytes": b"\xff\xc0"}
FILES = ("run.jsonl", "jobs/ingest.a1.jsonl", "sealed.jsonl", "store.json")


@pytest.fixture(scope="module", params=FILES)
def file(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_line_of_any_length_takes_no_memory(file: str, pattern: str, folder: Path) -> None:
    """At the end of a file, without a line feed, as the beginning of a record."""
    run = write(store := folder / f"{pattern}-{file.replace('/', '-')}", whole())
    path = store / file if file == "store.json" else run / file
    readers: tuple[str, ...] = LOOKING
    size = LINE_BYTES if file == "run.jsonl" and pattern in {"zeros", "digits"} else OTHER_BYTES
    if pattern not in {"zeros", "digits"}:  # those are read by all
        readers = ("read", "verify --strict")
    try:
        with path.open("ab") as out:
            out.write(b'{"n":8,"prev":"')
            if pattern == "zeros":
                os.truncate(path, path.stat().st_size + size)
            else:
                out.writelines(pieces(PATTERNS[pattern], size))
        assert above(store, ", ".join(readers), folder) < 60
    finally:
        path.unlink()


@pytest.mark.parametrize("line", [b"\n", b"x\n", b"{}\n", b"\r\n", b"\0\n"])
@pytest.mark.parametrize("name", ["run.jsonl", "jobs/ingest.a1.jsonl", "sealed.jsonl"])
def test_very_many_tiny_lines_take_no_memory_of_readers(
    name: str, line: bytes, folder: Path
) -> None:
    content = whole()
    store = folder / f"lines-{line.hex()}-{name.replace('/', '-')}"
    run = write(store, content)
    with (run / name).open("ab") as out:
        out.write(line * count(1_000_000, 50_000))
    readers = "runs, read, follow, stats, cat, list" if line == b"x\n" else "read, follow"
    assert above(store, readers, folder) < 60


def long_run(store: Path, records: int) -> Path:
    attempt = Chain().add("begin", attempt_begin())
    for number in range(records):
        attempt.add("metric", {"rows": number})
    attempt.add("end", {"status": "succeeded"})
    write(store, {"run.jsonl": run_file(attempt).content, "jobs/ingest.a1.jsonl": attempt.content})
    return store


@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="orjson 3.11 leaks what it parses on a CPython without the global lock",
)
def test_the_number_of_records_in_a_file_makes_no_difference(folder: Path) -> None:
    # More than is read at once.
    short = long_run(folder / "short", 10_000)
    long = long_run(folder / "long", count(1_000_000, 30_000))
    for reader in ("verify, verify --strict", "read", "follow, cat", "repair, compact"):
        assert peak_bytes(long, reader) - peak_bytes(short, reader) < 8 * MB, reader


def whole_run(run_id: str) -> bytes:
    return Chain().add("begin", {**run_begin(), "run": run_id}).add("end", {}).content


def test_the_number_of_runs_makes_little_difference(folder: Path) -> None:
    few, many = folder / "few", folder / "many"
    number = count(10_000, 1_000)
    for store, runs in ((few, 100), (many, number)):
        for each in range(runs):
            run = write(store, {}).parent / f"{RUN_ID[:-6]}{each:06x}"
            run.mkdir(exist_ok=True)
            (run / "run.jsonl").write_bytes(whole_run(run.name))
    for reader in ("verify", "runs, stats, list"):
        more = peak_bytes(many, reader) - peak_bytes(few, reader)
        assert more < 4 * MB + 1_000 * number, reader


def test_findings_take_a_few_hundred_bytes_each(folder: Path) -> None:
    run = write(store := folder / "findings", whole())
    number = count(1_000_000, 200_000)
    with (run / "jobs/ingest.a1.jsonl").open("ab") as out:
        out.write(b"x\n" * number)
    for reader, each in (("verify", 250), ("verify --json", 700)):
        assert above(store, reader, folder) * MB < 16 * MB + number * each, reader


def test_a_sealed_file_of_garbage_costs_a_list_of_runs_nothing(folder: Path) -> None:
    content = whole()
    content.popitem()
    data = seal(content)
    run = write(
        store := folder / "garbage",
        {"sealed.jsonl": data[:-40] + b"x\n" * count(10_000_000, 1_000_000)},
    )
    (run / "sealed").mkdir()
    assert above(store, "runs, stats, read", folder) < 60
