"""Killed, forked, at work beside readers: nothing acknowledged is lost, and nobody is alarmed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runstore import Owner, RunStore, start_token
from runstore.lines.record import encode
from tests.runstore.crashing import THREADS
from tests.runstore.samples import (
    DEAD,
    ELSEWHERE,
    FIRST,
    PLAIN,
    RUN_FILE,
    SLUGGED,
    THIRD,
    SampleRun,
    codes,
    found,
    last_position,
    open_run,
    resume,
    resume_begin,
    statuses,
    write_segment,
)

PROGRAM = Path(__file__).with_name("crashing.py")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(PROGRAM), *map(str, arguments)]


def output_of(*arguments: object) -> list[Any]:
    done = subprocess.run(command(*arguments), check=True, capture_output=True, timeout=120)
    assert done.stderr == b""
    return [json.loads(line) for line in done.stdout.splitlines()]


@needs_fork
@pytest.mark.parametrize("durability", ["os", "disk"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_process_loses_nothing_that_it_acknowledged(
    tmp_path: Path, durability: str, seed: int
) -> None:
    acknowledged = output_of("killed", tmp_path / "store", durability, 15, seed)
    assert len(acknowledged) == 15
    store = RunStore(tmp_path / "store")
    report = store.verify()
    assert report.ok, report.errors
    written = read_back(store)
    said = [line for lines in acknowledged for line in lines]
    assert len(said) > 15 * 20
    for line in said:
        run_id, where, n = line.removesuffix(" end").split(" ", 1)[0], *where_and_n(line)
        assert n in written[run_id, where], line
    for run in store.runs():
        assert run.status in {"crashed", "failed"}
        assert_statuses(store, run.id, {line for line in said if line.startswith(run.id)})


def where_and_n(line: str) -> tuple[str, int]:
    _, rest = line.removesuffix(" end").split(" ", 1)
    where, n = rest.rsplit(" ", 1)
    return where, int(n)


def read_back(store: RunStore) -> dict[tuple[str, str], list[int]]:
    """The numbers of the records that are read back, by run and file."""
    written: dict[tuple[str, str], list[int]] = defaultdict(list)
    for run_id in store.run_ids():
        for record in store.read(run_id).records():
            is_own = record["event"] in {"start", "done"} or "job" not in record
            where = RUN_FILE if is_own else f"{record['job']}/{record['attempt']}"
            written[run_id, where].append(record["n"])
    for numbers in written.values():
        assert numbers == list(range(len(numbers)))
    return written


def assert_statuses(store: RunStore, run_id: str, said: set[str]) -> None:
    view = store.read(run_id)
    if view.status == "failed":
        assert set(view.jobs) == {f"job {n}" for n in range(THREADS)} | {"never"}
        return
    assert view.status == "crashed"
    if "never" in view.jobs:  # its plan was written
        assert view.jobs["never"].status == "planned"
    for job in view.jobs.values():
        for attempt in job.attempts:
            ended = any(f"{job.id}/{attempt.number} " in line and " end" in line for line in said)
            assert attempt.status in ({"failed"} if ended else {"failed", "crashed"})
            assert attempt.status == ("failed" if attempt.ended else "crashed")
        if not job.attempts:
            assert job.status == "planned"


@needs_fork
def test_a_child_made_by_fork_cannot_write(tmp_path: Path) -> None:
    refused = output_of("forked", tmp_path / "store")
    assert refused == [["SegmentPoisonedError"] * 6, ["SegmentPoisonedError"] * 2]
    store = RunStore(tmp_path / "store")
    (run,) = store.runs()
    assert run.status == "succeeded"
    assert store.verify().ok
    assert [r["by"] for r in store.read(run.id).records() if "by" in r] == ["parent"] * 2


@needs_fork
def test_many_processes_make_a_store_at_the_same_moment(tmp_path: Path) -> None:
    exits = output_of("created", tmp_path, 12, 8)
    assert exits == [[0] * 8] * 12
    for number in range(12):
        store = RunStore(tmp_path / str(number) / "store")
        assert store.verify().ok
        assert len(list(store.runs())) == 8
        assert sorted(os.listdir(store.path)) == [".gitignore", "runs", "store.json"]


def test_verify_and_read_beside_writers_raise_no_false_alarm(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "store")
    writers = [subprocess.Popen(command("alive", store.path, 2)) for _ in range(4)]
    try:
        checks = verify_until_ended(store, writers)
    finally:
        for writer in writers:
            writer.kill() if writer.poll() is None else None
            writer.wait()
    assert [writer.returncode for writer in writers] == [0] * 4
    assert checks > 1
    report = store.verify()
    assert report.ok
    assert codes(report.notes) == []
    assert {run.status for run in store.runs()} == {"failed"}


def verify_until_ended(store: RunStore, writers: list[subprocess.Popen[bytes]]) -> int:
    checks = 0
    while any(writer.poll() is None for writer in writers):
        if not os.path.exists(f"{store.path}/store.json"):
            time.sleep(0.01)
            continue
        newest = store.run_ids()[:6]
        report = store.verify(newest) if checks % 10 else store.verify()
        assert report.ok, report.errors
        assert set(codes(report.notes)) <= {"open", "torn-tail"}
        for run_id in newest:
            view = store.read(run_id)
            if view.begin:
                assert view.status in {"running", "failed"}
            list(view.records())
        assert {run.status for run in store.runs()} <= {"running", "failed"}
        checks += 1
    return checks


def test_threads_that_write_to_their_own_logs_lose_double_and_mix_nothing(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "store", durability="os")
    names = [f"job {n}" for n in range(32)]
    failures: list[BaseException] = []
    with store.create_run(pipeline="p", jobs=names) as run:

        def work(job_id: str) -> None:
            try:
                barrier.wait()
                with run.job(job_id) as log:
                    for count in range(200):
                        assert log.append("metric", count=count).n == count + 1
            except BaseException as error:
                failures.append(error)

        barrier = threading.Barrier(len(names))
        threads = [threading.Thread(target=work, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    report = store.verify()
    assert (report.ok, report.notes) == (True, [])
    view = store.read(run.id)
    assert (view.status, set(statuses(view).values())) == ("succeeded", {"succeeded"})
    assert list(view.jobs) == names
    counts = defaultdict(list)
    for record in view.records():
        if record["event"] == "metric":
            counts[record["job"]].append(record["count"])
    assert counts == {name: list(range(200)) for name in names}


def test_a_run_at_work_is_running(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "store", durability="os")
    with store.create_run(pipeline="p", jobs=["a", "b"]) as run:
        with run.job("a") as log:
            view = store.read(run.id)
            assert (view.status, view.note) == ("running", None)
            assert statuses(view) == {"a": "running", "b": "planned"}
            assert [summary.status for summary in store.runs()] == ["running"]
            log.end("failed")
        assert statuses(store.read(run.id)) == {"a": "failed", "b": "planned"}
        report = store.verify()
        assert report.ok
        assert f"its process {os.getpid()} is at work" in report.notes[0].detail
    assert store.read(run.id).status == "failed"


def test_a_run_whose_process_is_gone_has_crashed(tmp_path: Path) -> None:
    sample = open_run(tmp_path / "store")
    view = sample.store.read(sample.id)
    assert (view.status, view.note, view.receipt, view.ended) == ("crashed", None, None, None)
    assert statuses(view) == {PLAIN: "succeeded", SLUGGED: "crashed", "later": "planned"}
    assert [summary.status for summary in sample.store.runs()] == ["crashed"]
    report = sample.verify()
    assert report.ok
    assert found(report.notes) == {("open", RUN_FILE), ("open", THIRD)}
    assert f"its process {DEAD.pid} is gone" in report.notes[0].detail


def test_a_run_of_another_host_is_running_with_a_note(tmp_path: Path) -> None:
    sample = open_run(tmp_path / "store", owner=ELSEWHERE)
    view = sample.store.read(sample.id)
    assert view.status == "running"
    assert view.note == "its process is on elsewhere.example and cannot be seen from here"
    assert statuses(view)[SLUGGED] == "running"
    assert [summary.status for summary in sample.store.runs()] == ["running"]
    report = sample.verify()
    assert report.ok
    assert "elsewhere.example" in report.notes[0].detail


def test_a_run_killed_before_an_attempt_made_its_file_has_only_notes(tmp_path: Path) -> None:
    sample = open_run(tmp_path / "store")
    sample.path(THIRD).unlink()
    report = sample.verify()
    assert report.ok
    assert ("open", THIRD) in found(report.notes)
    assert statuses(sample.store.read(sample.id))[SLUGGED] == "crashed"


def test_a_run_killed_before_its_first_record_is_no_run_yet(tmp_path: Path) -> None:
    sample = open_run(tmp_path / "store")
    for name in sample.names():
        sample.path(name).unlink()
    for content in (None, b"", b'{"n":0,"prev":"0000'):
        if content is not None:
            sample.write(RUN_FILE, content)
        assert list(sample.store.runs()) == []
        report = sample.verify()
        assert report.ok
        assert ("open", RUN_FILE) in found(report.notes)
        view = sample.store.read(sample.id)
        assert (view.status, view.pipeline, view.jobs) == ("crashed", None, {})


def test_after_a_power_cut_attempts_count_without_the_runs_own_records(tmp_path: Path) -> None:
    sample = open_run(tmp_path / "store")
    sample.write(RUN_FILE, b"")
    view = sample.store.read(sample.id)
    assert view.status == "crashed"
    assert statuses(view) == {PLAIN: "succeeded", SLUGGED: "crashed"}
    assert sample.verify().ok


def test_a_resumed_run_has_the_status_of_its_resume(tmp_path: Path) -> None:
    sample = open_run(tmp_path / "store")
    last = resume(sample)
    report = sample.verify(receipt=str(last))
    assert (report.ok, report.notes, report.segments) == (True, [], 6)
    view = sample.store.read(sample.id)
    assert (view.status, view.receipt) == ("succeeded", str(last))
    assert statuses(view) == {PLAIN: "succeeded", SLUGGED: "succeeded", "later": "succeeded"}
    attempts = [(attempt.number, attempt.status) for attempt in view.jobs[SLUGGED].attempts]
    assert attempts == [(1, "crashed"), (2, "succeeded")]
    assert len(list(view.records())) == report.records
    (summary,) = sample.store.runs()
    assert (summary.status, summary.started) == ("succeeded", view.started)
    assert view.started is not None
    assert view.begin["segment"] == 2


@pytest.mark.parametrize("torn", [b"", b'{"n":', b'{"n":5,"prev":"', b"\0\0\0"])
@pytest.mark.parametrize("name", [RUN_FILE, THIRD])
def test_a_torn_tail_before_a_resume_stays_a_note(tmp_path: Path, name: str, torn: bytes) -> None:
    sample = open_run(tmp_path / "store")
    with sample.path(name).open("ab") as file:
        n = sample.content[name].count(b"\n")
        file.write(torn.replace(b"5", str(n).encode()))
    resume(sample)
    report = sample.verify()
    assert report.ok, report.errors
    assert found(report.notes) == ({("torn-tail", name)} if torn else set())
    assert sample.store.read(sample.id).status == "succeeded"


def test_what_a_resume_vouches_for_is_checked(tmp_path: Path) -> None:
    sample = open_run(tmp_path / "store")
    resume(sample)
    for name in (RUN_FILE, FIRST, THIRD):
        data = sample.content[name]
        sample.write(name, data[: data.rindex(b"\n", 0, -1) + 1])
        assert ("truncated", name) in found(sample.verify().errors)
        sample.write(name, data)
    assert sample.verify().ok


def test_what_the_killed_process_still_wrote_after_a_resume_does_not_count(tmp_path: Path) -> None:
    sample = open_run(tmp_path / "store")
    last = last_position(sample.content[RUN_FILE])
    resume(sample)
    before = len(sample.records())
    late, _ = encode(last.n + 1, last.crc, "not_run", {"job": "later", "status": "skipped"})
    with sample.path(RUN_FILE).open("ab") as file:
        file.write(late)
    assert found(sample.verify().errors) == {("chain", RUN_FILE)}
    assert len(sample.records()) == before
    assert statuses(sample.store.read(sample.id))["later"] == "succeeded"


def test_a_resume_without_the_file_before_it_is_named(tmp_path: Path) -> None:
    sample = open_run(tmp_path / "store")
    last = resume(sample)
    sample.path(RUN_FILE).unlink()
    report = sample.verify(receipt=str(last))
    assert found(report.errors) == {("missing-file", RUN_FILE)}
    view = sample.store.read(sample.id)
    assert view.status == "succeeded"
    assert statuses(view)[PLAIN] == "succeeded"
    assert len([r for r in view.records() if r["event"] == "begin"]) == 5
    assert [summary.status for summary in sample.store.runs()] == ["succeeded"]


def test_a_resume_without_its_own_file_needs_the_receipt(tmp_path: Path) -> None:
    sample = open_run(tmp_path / "store")
    last = resume(sample)
    sample.path("run.2.jsonl").unlink()
    assert sample.verify().ok
    assert codes(sample.verify(receipt=str(last)).errors) == ["receipt-mismatch"]


def test_a_resume_at_work_is_running_and_plans_again_what_was_left_undone(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "store", durability="os")
    with store.create_run(pipeline="p", jobs=["a", "b"]) as run:
        run.not_run("a", "cancelled", "b failed")
        run.end("interrupted")
    assert statuses(store.read(run.id)) == {"a": "cancelled", "b": "planned"}
    sample = SampleRun(store, run)
    last = last_position(sample.content[RUN_FILE])
    with another_process() as owner:
        begin = resume_begin(sample, 2, last, owner)
        write_segment(sample.path("run.2.jsonl"), [("begin", begin)])
        view = store.read(run.id)
        assert (view.status, view.receipt, view.end) == ("running", None, {})
        assert statuses(view) == {"a": "planned", "b": "planned"}
        assert view.jobs["a"].reason is None
        assert [summary.status for summary in store.runs()] == ["running"]
        assert sample.verify().ok
    assert store.read(run.id).status == "crashed"


@contextmanager
def another_process() -> Iterator[Owner]:
    """A process that does nothing and is alive, and is gone afterwards."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        token = start_token(process.pid)
        assert token is not None
        yield Owner(DEAD.host, process.pid, token)
        process.kill()
