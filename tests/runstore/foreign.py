"""Stores that another program wrote, or that were damaged, and every reader to try on them.

The lines here have the checksums that they should have, made with `zlib` alone: what is wrong with
them is what they say.
"""

from __future__ import annotations

import contextlib
import io
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson
import pytest

from lorchestra.cli.root import run as lorchestra
from runstore import RunStore, RunStoreError
from tests.runstore.samples import DEAD

RUN_ID = "01a20fd3-7953-774b-81e5-f3a9c07d2b48"
AT = "2026-11-24T23:10:47.123456Z"
PATIENCE_S = 60
# Succeeded, usage, store, and at work.
EXIT_CODES = {0, 2, 3, 75}

STORE_FILE = b'{"format":"runstore","version":1,"crc":"9020556d"}\n'
OWNER = f'"host":{json.dumps(DEAD.host)},"pid":{DEAD.pid},"token":"{DEAD.token}"'


class Raw(str):
    """JSON text that stands for itself, whether it is JSON or not."""


def text_of(value: Any) -> bytes:
    if isinstance(value, Raw):
        return value.encode("utf-8", "surrogateescape")
    return orjson.dumps(value)


def body(fields: Mapping[str, Any]) -> bytes:
    """What stands behind the event in a line, commas before each field."""
    return b"".join(b',"%b":%b' % (name.encode(), text_of(value)) for name, value in fields.items())


def sealed_line(content: bytes) -> bytes:
    return b'%b,"crc":"%08x"}\n' % (content, crc32(content))


def line(n: int, prev: str, event: str, rest: bytes = b"", at: str = AT) -> bytes:
    head = f'{{"n":{n},"prev":"{prev}","at":"{at}","event":"{event}"'.encode()
    return sealed_line(head + rest)


def crc_of(one: bytes) -> str:
    return one[-11:-3].decode()


@dataclass
class Chain:
    """A file of lines that follow each other, whatever they say."""

    lines: list[bytes] = field(default_factory=list)
    at: str = AT

    def add(self, event: str, fields: Mapping[str, Any] | None = None) -> Chain:
        prev = crc_of(self.lines[-1]) if self.lines else "00000000"
        self.lines.append(line(len(self.lines), prev, event, body(fields or {}), self.at))
        return self

    @property
    def content(self) -> bytes:
        return b"".join(self.lines)

    @property
    def witness(self) -> dict[str, Any]:
        return {"last_n": len(self.lines) - 1, "last_crc": crc_of(self.lines[-1])}


Fields = dict[str, Any]
Change = Callable[[str, Fields], Fields]


def owner_fields() -> Fields:
    return {"host": DEAD.host, "pid": DEAD.pid, "token": DEAD.token}


def run_begin(segment: int = 1) -> Fields:
    said = {"format": 1, "run": RUN_ID, "segment": segment, "pipeline": "nightly"}
    more = {"python": "3.13.1", "max_workers": 4, "params": {}, "versions": {}}
    return {**said, **owner_fields(), **more}


def attempt_begin(job_id: str = "ingest", attempt: int = 1) -> Fields:
    identity = {"format": 1, "run": RUN_ID, "job": job_id, "attempt": attempt, "stage": "s"}
    return {**identity, **owner_fields()}


def attempt_end() -> Fields:
    numbers = {"duration_s": 0.5, "exit_code": 1, "cpu_s": 0.1, "max_rss_kb": 4, "log_bytes": 9}
    return {"status": "failed", "error": "exit code 1", "signal": 9, **numbers}


def as_it_is(_event: str, fields: Fields) -> Fields:
    return fields


def attempt_file(change: Change = as_it_is) -> Chain:
    """The file of an attempt with every event that such a file has."""
    chain = Chain()
    for event, fields in (
        ("begin", attempt_begin()),
        ("process", {"pid": 4711, "token": "t"}),
        ("output", {"value": {"rows": 1}}),
        ("metric", {"rows": 978}),
        ("end", attempt_end()),
    ):
        chain.add(event, change(f"attempt.{event}", fields))
    return chain


def run_file(attempt: Chain, change: Change = as_it_is, *, ends: bool = True) -> Chain:
    """The run's own file with every event that such a file has."""
    chain = Chain()
    planned = [{"id": "ingest", "stage": "s"}, {"id": "Report EU", "stage": "s"}]
    done = {"job": "ingest", "attempt": 1, "status": "failed", **attempt.witness}
    events: list[tuple[str, Fields]] = [
        ("begin", run_begin()),
        ("planned", {"jobs": planned}),
        ("stage_begin", {"stage": "s", "workers": 1}),
        ("start", {"job": "ingest", "attempt": 1}),
        ("done", done),
        ("stage_end", {"stage": "s", "counts": {"failed": 1}}),
        ("not_run", {"job": "Report EU", "status": "skipped", "reason": "no"}),
        ("end", {"status": "failed", "counts": {"failed": 1}, "duration_s": 2.0}),
    ]
    for event, fields in events if ends else events[:-1]:
        chain.add(event, change(f"run.{event}", fields))
    return chain


def resumed_file(before: Chain, change: Change = as_it_is) -> Chain:
    """The file of a resume."""
    fields = change("resume.begin", {**run_begin(2), **before.witness})
    return Chain().add("begin", fields).add("end", {"status": "failed"})


def write(folder: Path, content: Mapping[str, bytes]) -> Path:
    """Make a store of one run of these files; gives the run's folder."""
    run = folder / "runs" / RUN_ID
    for name in ("jobs", "logs"):
        (run / name).mkdir(parents=True, exist_ok=True)
    (folder / "store.json").write_bytes(STORE_FILE)
    (folder / ".gitignore").write_bytes(b"*\n")
    for name, data in content.items():
        (run / name).write_bytes(data)
    return run


def whole() -> dict[str, bytes]:
    """The files of a run in which nothing is wrong."""
    attempt = attempt_file()
    return {
        "run.jsonl": run_file(attempt).content,
        "jobs/ingest.a1.jsonl": attempt.content,
        "logs/ingest.a1.log": b"printed\n",
    }


def seal(files: Mapping[str, bytes], change: Change = as_it_is) -> bytes:
    """A sealed file of these, with what its own lines say changed."""
    data, entries = b"", []
    for number, (name, content) in enumerate(files.items(), start=1):
        lines = content.splitlines()
        last = json.loads(lines[-1])
        entry = {"path": name, "offset": 0, "bytes": len(content), "lines": len(lines)}
        entry |= {"crc32": f"{crc32(content):08x}", "last_n": last["n"], "last_crc": last["crc"]}
        while True:
            header = mark("part", number, change("part", dict(entry)))
            if entry["offset"] == len(data) + len(header):
                break
            entry["offset"] = len(data) + len(header)
        data += header + content
        entries.append(entry)
    end = {"parts": len(entries), "index": len(data)}
    for number, entry in enumerate(entries, start=1):
        data += mark("index", number, change("index", dict(entry)))
    return data + mark("sealed", 1, change("sealed", end))


def mark(kind: str, number: Any, fields: Fields) -> bytes:
    number = fields.pop(kind, number)
    return sealed_line(b'{"%b":%b' % (kind.encode(), text_of(number)) + body(fields))


class StoppedError(Exception):
    """Following goes on, and was stopped."""


@contextmanager
def fast_clock(rounds: int = 12) -> Iterator[None]:
    """Let sleep take no time, while the clock goes on as if it had; stop who sleeps for ever."""
    slept, now = [0.0], time.monotonic

    def sleep(seconds: float) -> None:
        slept.append(slept[-1] + max(seconds, 0.2))
        if len(slept) > rounds:
            raise StoppedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", sleep)
        patch.setattr(time, "monotonic", lambda: now() + slept[-1])
        yield


@contextmanager
def patience(seconds: float = PATIENCE_S) -> Iterator[None]:
    """Raise in the body when it takes too long, where the system can do that."""
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(*_: object) -> None:
        raise TimeoutError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def drain(records: Iterable[dict[str, Any]]) -> None:
    """Take all records as a caller would who writes each of them elsewhere."""
    for record in records:
        assert type(record["n"]) is int, record
        assert isinstance(record["at"], str)
        assert isinstance(record["event"], str)
        json.dumps(record)


def follow(store: RunStore, run_id: str) -> None:
    with fast_clock(), contextlib.suppress(StoppedError):
        drain(store.follow(run_id, poll_s=(0.001, 0.001)))


def read(store: RunStore, run_id: str) -> None:
    view = store.read(run_id)
    assert isinstance(view.pipeline, str | None), view
    for job in view.jobs.values():
        assert isinstance(job.id, str)
        assert isinstance(job.stage, str | None)
        assert isinstance(job.reason, str | None)
        view.log_path(job.id)
    json.dumps([view.begin, view.end])
    drain(view.records())


def list_runs(store: RunStore, _run_id: str) -> None:
    for summary in store.runs():
        assert isinstance(summary.pipeline, str | None), summary
        assert isinstance(summary.started, str | None)
        assert isinstance(summary.ended, str | None)


def verify(store: RunStore, run_id: str) -> None:
    store.verify()
    store.verify(run_id, strict=True)
    store.verify(run_id, receipt="7:b944dbb5")


def repair(store: RunStore, run_id: str) -> None:
    """Mend the run: no error is left but in what a newer version is left alone for."""
    store.repair_store_file()
    # Lies with the right checksums can contradict each other: what one pass has mended shows the
    # next one what else does not fit. Damage never takes a second one: see test_repair.
    for _ in range(4):
        report = store.repair(run_id)
        if not report.mended:
            break
    errors = store.verify(run_id).errors
    left = [error for error in errors if error.path not in report.left]
    # A file that is left alone can say that others are missing before it.
    assert not left or (report.left and {error.code for error in left} <= {"missing-file"}), left
    again = store.repair(run_id).mended
    assert again == [], (again, report)


Reader = Callable[[RunStore, str], object]
LOOKING: dict[str, Reader] = {
    "runs": list_runs,
    "read": read,
    "follow": follow,
    "verify": verify,
    "stats": lambda store, _: store.stats(),
    "dry repair": lambda store, run_id: store.repair(run_id, dry_run=True),
    "dry prune": lambda store, _: store.prune(keep=1, older_than=timedelta(1), dry_run=True),
}
CHANGING: dict[str, Reader] = {
    "repair": repair,
    "compact": lambda store, run_id: store.compact(run_id),
    "prune": lambda store, _: store.prune(older_than=timedelta(0), max_bytes=0),
}
COMMANDS = (
    ("runs", "list"),
    ("runs", "list", "--json"),
    ("runs", "show", RUN_ID),
    ("runs", "show", "--json", RUN_ID),
    ("runstore", "verify", "--strict"),
    ("runstore", "verify", "--json", RUN_ID),
    ("runstore", "cat", RUN_ID),
    ("runstore", "stats"),
    ("runstore", "stats", "--json"),
    ("runstore", "prune", "--keep", "1", "--dry-run"),
    ("runstore", "repair", "--dry-run"),
)
CHANGING_COMMANDS = (
    ("runstore", "repair", "--json"),
    ("runstore", "compact", "--older-than", "1d"),
    ("runstore", "compact", RUN_ID),
    ("runstore", "prune", "--older-than", "0s", "--json"),
)


class Outcomes(dict[str, str]):
    """What each reader said: the name of the error that it raised, or nothing."""


def call(path: Path, name: str, reader: Reader, allowed: tuple[type[Exception], ...]) -> str:
    """Try one reader; any error but those of the store is the reader's fault."""
    with patience():
        try:
            reader(RunStore(path), RUN_ID)
        except allowed as error:
            return f"{type(error).__name__}: {error}"
        except BaseException as error:
            error.add_note(f"the reader: {name}")
            raise
    return ""


def command(path: Path, arguments: tuple[str, ...]) -> str:
    """Try one command; a traceback is the command's fault, and so is another exit code."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with (
        patience(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = lorchestra([*arguments, "--store", str(path)])
        except BaseException as error:
            error.add_note(f"the command: {' '.join(arguments)}")
            raise
    assert code in EXIT_CODES, (arguments, code)
    assert err.getvalue().count("\n") <= 1, (arguments, err.getvalue())
    return str(code)


def try_all(
    path: Path,
    *,
    commands: bool = True,
    changing: bool = True,
    allowed: tuple[type[Exception], ...] = (RunStoreError,),
) -> Outcomes:
    """Try every reader on a store, those that change it last."""
    said = Outcomes()
    readers = {**LOOKING, **CHANGING} if changing and not commands else LOOKING
    for name, reader in readers.items():
        said[name] = call(path, name, reader, allowed)
    if commands:
        for arguments in COMMANDS + (CHANGING_COMMANDS if changing else ()):
            said[" ".join(arguments)] = command(path, arguments)
    return said


def try_changing(path: Path, allowed: tuple[type[Exception], ...] = (RunStoreError,)) -> Outcomes:
    """Try the readers that change a store."""
    return Outcomes((name, call(path, name, each, allowed)) for name, each in CHANGING.items())
