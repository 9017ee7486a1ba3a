"""Reading a run back: its facts, its records in one stream, and what that costs."""

from __future__ import annotations

import os
import sys
import tracemalloc
from collections import defaultdict
from pathlib import Path

import pytest

from runstore import RunStore
from runstore.layout import attempt_file, job_name
from runstore.lines.record import encode
from tests.runstore.samples import (
    FIRST,
    PLAIN,
    RUN_FILE,
    RUN_FILES,
    SECOND,
    SLUGGED,
    THIRD,
    SampleRun,
    finished_run,
    frozen,
    last_position,
    open_run,
    statuses,
)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "store", durability="os")


@pytest.fixture
def finished(tmp_path: Path) -> SampleRun:
    return finished_run(tmp_path / "store")


def test_a_view_has_what_the_contract_promises(finished: SampleRun) -> None:
    view = finished.store.read(finished.id)
    assert (view.id, view.status, view.pipeline) == (finished.id, "succeeded", "nightly")
    assert view.path == str(finished.folder)
    assert list(view.jobs) == [PLAIN, SLUGGED]
    assert view.jobs[PLAIN].stage == "s"
    first, second = view.jobs[PLAIN].attempts
    assert (first.number, first.status, first.error) == (1, "failed", "no")
    assert (second.number, second.status, second.error) == (2, "succeeded", None)
    assert first.duration_s is not None
    assert first.duration_s >= 0
    assert "" < str(view.started) < str(first.started) < str(first.ended) < str(view.ended)
    assert view.note is None
    assert view.receipt == finished.receipt
    assert view.begin["run"] == finished.id
    assert view.end["counts"] == {"succeeded": 2}


def test_the_output_of_a_job_is_that_of_its_last_attempt(store: RunStore) -> None:
    with store.create_run(pipeline="p", jobs=["a", "b"]) as run:
        for value in ({"rows": 1}, {"rows": 2}):
            with run.job("a") as log:
                log.append("output", value=value)
        with run.job("b"):
            pass
    view = store.read(run.id)
    assert view.jobs["a"].output == {"rows": 2}
    assert view.jobs["a"].attempts[0].output == {"rows": 1}
    assert view.jobs["b"].output is None


def test_records_have_every_field_of_their_line_and_their_job_and_attempt(
    finished: SampleRun,
) -> None:
    read = finished.records()
    assert sorted(map(frozen, read)) == sorted(finished.written)
    for record in read:
        assert list(record)[:4] == ["n", "prev", "at", "event"]
        assert "crc" in record
    of_attempts = [(r["job"], r["attempt"]) for r in read if r["event"] == "metric"]
    assert of_attempts == [(PLAIN, 1), (PLAIN, 2), (SLUGGED, 1)]


def test_records_come_by_time_and_each_files_own_in_order(finished: SampleRun) -> None:
    events = [record["event"] for record in finished.records()]
    attempt = ["start", "begin", "metric", "end", "done"]
    assert events == ["begin", "planned", *attempt * 3, "end"]


def test_a_clock_that_stepped_back_changes_no_files_own_order(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter(range(10**6))
    steps = [0, 50, -40, 3, 90, -90, 7]
    monkeypatch.setattr(
        "runstore.lines.record.now_ns",
        lambda: (2_000_000_000 + (i := next(moments)) + steps[i % len(steps)]) * 10**9,
    )
    with store.create_run(pipeline="p", jobs=["a", "b", "c"]) as run:
        logs = [run.job(name) for name in "abc"]
        for count in range(40):
            logs[count % 3].append("metric", count=count)
        for log in logs:
            log.end("succeeded")
    monkeypatch.undo()
    numbers: dict[object, list[int]] = defaultdict(list)
    records = list(store.read(run.id).records())
    for record in records:
        is_own = record["event"] in {"start", "done"} or "job" not in record
        numbers[None if is_own else record["job"]].append(record["n"])
    assert all(found == list(range(len(found))) for found in numbers.values())
    assert len(records) == store.verify().records
    moments_read = [record["at"] for record in records]
    assert moments_read != sorted(moments_read)


def test_a_view_does_not_change_when_the_run_goes_on_but_its_records_do(store: RunStore) -> None:
    with store.create_run(pipeline="p", jobs=["a"]) as run:
        view = store.read(run.id)
        before = len(list(view.records()))
        with run.job("a"):
            pass
    assert (view.status, statuses(view)) == ("running", {"a": "planned"})
    assert before == 2
    assert len(list(view.records())) == 7


def test_a_run_that_ends_while_its_process_is_looked_at_is_read_once_more(
    finished: SampleRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends_now(_owner: object, _run_id: str) -> bool:
        finished.restore()
        return False

    monkeypatch.setattr("runstore.reading.view.is_at_work", ends_now)
    for read in (lambda: finished.store.read(finished.id), lambda: next(finished.store.runs())):
        for name in RUN_FILES[1:]:
            finished.path(name).unlink()
        finished.write(RUN_FILE, finished.lines(RUN_FILE)[0])
        assert read().status == "succeeded"
    assert finished.store.read(finished.id).receipt == finished.receipt


@pytest.mark.parametrize("event", [b'"start"', b'"done"'])
def test_an_attempt_is_read_whichever_record_that_names_it_is_lost(
    finished: SampleRun, event: bytes
) -> None:
    lines = finished.lines(RUN_FILE)
    for index, line in enumerate(lines):
        if event in line:
            kept = [*lines[:index], b"damaged\n", *lines[index + 1 :]]
            finished.write(RUN_FILE, b"".join(kept))
            assert len(finished.records()) == len(finished.written) - 1
            view = finished.store.read(finished.id)
            assert statuses(view) == {PLAIN: "succeeded", SLUGGED: "succeeded"}


def test_without_both_names_and_an_end_the_exact_id_is_that_of_the_first_record(
    tmp_path: Path,
) -> None:
    sample = open_run(tmp_path / "store")
    sample.path(RUN_FILE).unlink()
    assert set(sample.store.read(sample.id).jobs) == {PLAIN, SLUGGED}
    lines = sample.lines(THIRD)
    sample.write(THIRD, b"".join([b"damaged\n", *lines[1:]]))
    view = sample.store.read(sample.id)
    assert set(view.jobs) == {PLAIN, job_name(SLUGGED)}
    assert view.jobs[job_name(SLUGGED)].status == "crashed"


def test_the_log_of_the_last_attempt_is_given(store: RunStore) -> None:
    with store.create_run(pipeline="p", jobs=[SLUGGED]) as run:
        for _ in range(2):
            with run.job(SLUGGED) as log:
                os.close(log.create_log())
    view = store.read(run.id)
    assert view.log_path(SLUGGED) == f"{run.path}/logs/{job_name(SLUGGED)}.a2.log"
    assert view.log_path(SLUGGED, 1) == f"{run.path}/logs/{job_name(SLUGGED)}.a1.log"
    assert view.log_path(SLUGGED, 3) is None
    assert view.log_path("other") is None


def test_a_job_without_attempts_has_no_log(store: RunStore) -> None:
    with store.create_run(pipeline="p", jobs=["a"]) as run:
        pass
    assert store.read(run.id).log_path("a") is None


class TestSummaries:
    def test_a_long_first_and_a_long_last_record_are_read(self, store: RunStore) -> None:
        with store.create_run(pipeline="p", params={"x": "y" * 300_000}) as run:
            run.end("failed", note="z" * 300_000)
        (summary,) = store.runs()
        assert (summary.status, summary.pipeline) == ("failed", "p")
        assert summary.ended == store.read(run.id).ended

    def test_a_run_without_its_own_file_is_listed(self, finished: SampleRun) -> None:
        finished.path(RUN_FILE).unlink()
        (summary,) = finished.store.runs()
        assert (summary.id, summary.status, summary.pipeline) == (finished.id, "crashed", None)
        assert (summary.started, summary.ended) == (None, None)

    def test_a_run_whose_first_record_is_damaged_is_listed(self, finished: SampleRun) -> None:
        damaged = finished.content[RUN_FILE].replace(b'"begin"', b'"BEGIN"')
        finished.write(RUN_FILE, damaged)
        (summary,) = finished.store.runs()
        assert (summary.status, summary.pipeline, summary.started) == ("succeeded", None, None)

    def test_a_run_whose_end_is_damaged_has_none(self, finished: SampleRun) -> None:
        damaged = finished.content[RUN_FILE].replace(b'"counts"', b'"COUNTS"')
        finished.write(RUN_FILE, damaged)
        (summary,) = finished.store.runs()
        assert (summary.status, summary.ended) == ("crashed", None)

    @pytest.mark.parametrize("status", ["exploded", "crashed", "running", ["x"], None, {}])
    def test_a_status_that_is_no_word_counts_as_bad(
        self, finished: SampleRun, status: object
    ) -> None:
        lines = finished.lines(RUN_FILE)
        before = last_position(b"".join(lines[:-1]))
        end, _ = encode(before.n + 1, before.crc, "end", {"status": status})
        finished.write(RUN_FILE, b"".join([*lines[:-1], end]))
        (summary,) = finished.store.runs()
        assert (summary.status, finished.store.read(finished.id).status) == ("failed", "failed")


def test_reading_takes_memory_by_files_not_by_records(store: RunStore) -> None:
    with store.create_run(pipeline="p", jobs=["a", "b"]) as run:
        logs = [run.job("a"), run.job("b")]
        for count in range(8_000):
            logs[count % 2].append("metric", count=count, text="x" * 2_000)
        for log in logs:
            log.end("succeeded")
    view = store.read(run.id)
    size = sum(Path(run.path, attempt_file(name, 1)).stat().st_size for name in "ab")
    tracemalloc.start()
    try:
        count = sum(1 for _ in view.records())
        report = store.verify(run.id)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == report.records == 8_000 + 4 + 7
    assert peak < size / 3


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no such limit")
def test_reading_many_attempts_opens_few_files(store: RunStore) -> None:
    import resource

    with store.create_run(pipeline="p", jobs=["a"]) as run:
        for _ in range(3_000):
            with run.job("a"):
                pass
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = max(map(int, os.listdir("/proc/self/fd"))) + 6 if os.path.isdir("/proc/self") else 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
    try:
        view = store.read(run.id)
        records = sum(1 for _ in view.records())
        report = store.verify(run.id)
        Path(run.path, RUN_FILE).unlink()
        unannounced = sum(1 for _ in store.read(run.id).records())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert report.ok
    assert (report.segments, len(view.jobs["a"].attempts)) == (3_001, 3_000)
    assert records == report.records == 3 + 4 * 3_000
    assert unannounced == 2 * 3_000


def test_nothing_stays_open_when_reading_stops_in_the_middle(store: RunStore) -> None:
    with store.create_run(pipeline="p", jobs=["a"]) as run, run.job("a") as log:
        for _ in range(600):
            log.append("metric", text="x" * 1_000)
    records = store.read(run.id).records()
    for _ in range(300):
        next(records)
    del records  # what stays open fails the test


def test_files_of_no_size_are_read(tmp_path: Path) -> None:
    sample = open_run(tmp_path / "store")
    for name in (FIRST, THIRD):
        sample.write(name, b"")
    view = sample.store.read(sample.id)
    assert statuses(view) == {PLAIN: "succeeded", SLUGGED: "crashed", "later": "planned"}
    assert not sample.path(SECOND).exists()
