"""Writing a run: what each call leaves on disk, and what is refused."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from runstore import (
    Position,
    RecordError,
    Run,
    RunStore,
    RunStoreError,
    RunView,
    SegmentClosedError,
)
from runstore.lines.record import RESERVED_FIELDS
from runstore.reading.merge import ATTEMPT_STATUSES
from tests.runstore.samples import Record, statuses

BEGIN_NAMES = ["format", "run", "segment", "python", "host", "pid", "token"]


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "store", durability="os")


def lines(path: str | Path) -> list[Record]:
    return [json.loads(line) for line in Path(path).read_bytes().splitlines()]


def own_records(run: Run) -> list[Record]:
    return lines(f"{run.path}/run.jsonl")


def test_the_example_of_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "store"

    store = RunStore(path, durability="disk")
    with store.create_run(pipeline="p", jobs=["ingest"]) as run:
        with run.job("ingest") as log:
            position = log.append("metric", rows=978)
            end = log.end("succeeded", exit_code=0)
        run.end("succeeded")
    (summary,) = store.runs()
    view = store.read(run.id)
    report = store.verify(run_id=None)

    attempt = lines(path / "runs" / run.id / "jobs" / "ingest.a1.jsonl")
    assert [(r["n"], r["event"]) for r in attempt] == [(0, "begin"), (1, "metric"), (2, "end")]
    assert isinstance(position, Position)
    assert (position.n, position.crc) == (1, attempt[1]["crc"])
    assert end == Position(2, attempt[2]["crc"])
    assert attempt[1]["rows"] == 978
    assert (summary.id, summary.pipeline, summary.status) == (run.id, "p", "succeeded")
    assert summary.started == view.started
    assert (view.status, view.jobs["ingest"].status) == ("succeeded", "succeeded")
    assert view.jobs["ingest"].attempts[0].exit_code == 0
    assert len(list(view.records())) == report.records
    assert (report.ok, report.errors, report.notes) == (True, [], [])


def test_a_run_is_laid_out_as_the_contract_says(store: RunStore) -> None:
    with store.create_run(pipeline="p", jobs=["a", "B"]) as run:
        for job_id in ("a", "B"):
            with run.job(job_id):
                pass
    root = Path(store.path)
    files = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
    (slug,) = [name for name in files if "~" in name]
    assert files == [
        ".gitignore",
        f"runs/{run.id}/jobs/a.a1.jsonl",
        slug,
        f"runs/{run.id}/run.jsonl",
        "store.json",
    ]
    assert (root / ".gitignore").read_bytes() == b"*\n"
    assert (root / "runs" / run.id / "logs").is_dir()


@pytest.mark.skipif(os.name != "posix", reason="the system has no permissions of this kind")
def test_folders_and_files_are_for_their_owner_alone(store: RunStore) -> None:
    with store.create_run(pipeline="p", jobs=["a"]) as run, run.job("a") as log:
        os.close(log.create_log())
    for path in [Path(store.path), *Path(store.path).rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_the_runs_own_file_tells_its_story(store: RunStore) -> None:
    jobs: list[str | dict[str, Any]] = [{"id": "a", "stage": "s", "sha256": "0f"}, "b"]
    with store.create_run(pipeline="p", jobs=jobs, params={"x": 1}, max_workers=4) as run:
        run.append("stage_begin", stage="s")
        with run.job("a") as log:
            end = log.end("failed", exit_code=2)
        run.not_run("b", "skipped", "a failed")
        position = run.end("failed", duration_s=1.5)
    begin, planned, stage, start, done, not_run, last = own_records(run)
    assert (begin["event"], begin["format"], begin["segment"]) == ("begin", 1, 1)
    assert (begin["run"], begin["pipeline"]) == (run.id, "p")
    assert (begin["params"], begin["max_workers"], begin["pid"]) == ({"x": 1}, 4, os.getpid())
    assert {"host", "token", "python"} <= begin.keys()
    assert planned["jobs"] == [{"id": "a", "stage": "s", "sha256": "0f"}, {"id": "b"}]
    assert (stage["event"], stage["stage"]) == ("stage_begin", "s")
    assert (start["event"], start["job"], start["attempt"]) == ("start", "a", 1)
    assert (done["event"], done["job"], done["attempt"], done["status"]) == (
        ("done", "a", 1, "failed")
    )
    assert (done["last_n"], done["last_crc"]) == end
    assert (not_run["job"], not_run["status"], not_run["reason"]) == ("b", "skipped", "a failed")
    assert (last["event"], last["status"], last["duration_s"]) == ("end", "failed", 1.5)
    assert last["counts"] == {"failed": 1, "skipped": 1}
    assert run.receipt == f"{position.n}:{position.crc}" == f"6:{last['crc']}"


def test_an_attempts_file_names_what_it_is_of(store: RunStore) -> None:
    with store.create_run(pipeline="p", jobs=[{"id": "a", "stage": "s"}]) as run:
        with run.job("a") as first:
            first.end("failed", error="no", log_bytes=0)
        with run.job("a", stage="other") as second:
            second.end("succeeded", duration_s=7)
    begin, end = lines(f"{run.path}/jobs/a.a1.jsonl")
    assert (begin["format"], begin["run"], begin["job"], begin["attempt"]) == (1, run.id, "a", 1)
    assert (begin["stage"], begin["pid"]) == ("s", os.getpid())
    assert (end["status"], end["error"], end["log_bytes"]) == ("failed", "no", 0)
    assert end["duration_s"] >= 0
    begin, end = lines(f"{run.path}/jobs/a.a2.jsonl")
    assert (begin["attempt"], begin["stage"], end["duration_s"]) == (2, "other", 7)


def test_a_job_that_was_not_planned_is_added(store: RunStore) -> None:
    with store.create_run(pipeline="p", jobs=["a"]) as run:
        for job_id in ("new", "a"):
            with run.job(job_id):
                pass
    view = store.read(run.id)
    assert list(view.jobs) == ["a", "new"]
    assert view.status == "succeeded"


@pytest.mark.parametrize("status", sorted(ATTEMPT_STATUSES))
def test_an_attempt_ends_with_each_of_its_statuses(store: RunStore, status: str) -> None:
    with store.create_run(pipeline="p", jobs=["a"]) as run, run.job("a") as log:
        log.end(status)
    view = store.read(run.id)
    assert (view.jobs["a"].status, view.jobs["a"].attempts[0].status) == (status, status)
    assert view.status == ("succeeded" if status == "succeeded" else "failed")


@pytest.mark.parametrize("status", ["planned", "running", "skipped", "done", "", "Failed"])
def test_an_attempt_ends_with_no_other_word(store: RunStore, status: str) -> None:
    with store.create_run(pipeline="p", jobs=["a"]) as run, run.job("a") as log:
        with pytest.raises(RecordError):
            log.end(status)
        log.end("failed")
    assert [r["event"] for r in lines(f"{run.path}/jobs/a.a1.jsonl")] == ["begin", "end"]


@pytest.mark.parametrize("status", ["succeeded", "failed", "interrupted"])
def test_a_run_ends_with_each_of_its_statuses(store: RunStore, status: str) -> None:
    with store.create_run(pipeline="p") as run:
        run.end(status)
    assert store.read(run.id).status == status
    assert [summary.status for summary in store.runs()] == [status]


@pytest.mark.parametrize("status", ["running", "crashed", "skipped", "cancelled"])
def test_a_run_ends_with_no_other_word(store: RunStore, status: str) -> None:
    with store.create_run(pipeline="p") as run:
        with pytest.raises(RecordError):
            run.end(status)
        run.end("failed")


@pytest.mark.parametrize("status", ["failed", "planned", "succeeded", ""])
def test_a_job_that_does_not_run_is_cancelled_or_skipped(store: RunStore, status: str) -> None:
    with store.create_run(pipeline="p", jobs=["a", "b"]) as run:
        with pytest.raises(RecordError):
            run.not_run("a", status, "why")
        run.not_run("a", "cancelled", "interrupted")
        run.not_run("b", "skipped", "a was cancelled")
    view = store.read(run.id)
    assert statuses(view) == {"a": "cancelled", "b": "skipped"}
    assert view.jobs["b"].reason == "a was cancelled"
    assert view.end["counts"] == {"cancelled": 1, "skipped": 1}


class TestContexts:
    def test_left_without_an_end_both_succeeded(self, store: RunStore) -> None:
        with store.create_run(pipeline="p", jobs=["a"]) as run, run.job("a") as log:
            log.append("metric", rows=1)
        assert log.status == "succeeded"
        assert run.receipt is not None
        assert store.read(run.id).status == "succeeded"

    def test_left_with_jobs_that_did_not_run_the_run_failed(self, store: RunStore) -> None:
        with store.create_run(pipeline="p", jobs=["a", "b"]) as run, run.job("a"):
            pass
        view = store.read(run.id)
        assert (view.status, statuses(view)) == ("failed", {"a": "succeeded", "b": "planned"})

    # A job's own error of the system says nothing of the store.
    @pytest.mark.parametrize(
        ("error", "status", "text"),
        [
            (ValueError("no rows"), "failed", "ValueError: no rows"),
            (ValueError(), "failed", "ValueError"),
            (FileNotFoundError(2, "none", "x.csv"), "failed", "FileNotFoundError: [Errno 2] none"),
            (RecordError("a row"), "failed", "RecordError: a row"),
            (OSError("name \udcff"), "failed", r"OSError: name \udcff"),
            (SystemExit(3), "failed", "SystemExit: 3"),
            (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
        ],
    )
    def test_left_by_an_error_both_end_with_it(
        self, store: RunStore, error: BaseException, status: str, text: str
    ) -> None:
        with (
            pytest.raises(type(error)) as raised,
            store.create_run(pipeline="p", jobs=["a"]) as run,
            run.job("a"),
        ):
            raise error
        assert raised.value is error
        view = store.read(run.id)
        assert (view.status, view.jobs["a"].status) == (status, status)
        assert (view.jobs["a"].attempts[0].error or "").startswith(text)
        assert store.verify().ok

    def test_a_long_error_is_cut_so_that_it_can_be_recorded(self, store: RunStore) -> None:
        with (
            pytest.raises(ValueError, match="xxx"),
            store.create_run(pipeline="p", jobs=["a"]) as run,
            run.job("a"),
        ):
            raise ValueError("x" * 2_000_000)
        error = store.read(run.id).jobs["a"].attempts[0].error
        assert error is not None
        assert 1000 < len(error) <= 10_000

    def test_ended_before_nothing_more_is_written(self, store: RunStore) -> None:
        run = store.create_run(pipeline="p", jobs=["a"])
        log = run.job("a")
        log.end("succeeded")
        run.end("succeeded")
        with pytest.raises(ValueError, match="late"), run, log:
            raise ValueError("late")
        assert store.read(run.id).status == "succeeded"
        assert store.verify().notes == []

    def test_an_error_in_one_job_leaves_the_others_alone(self, store: RunStore) -> None:
        with store.create_run(pipeline="p", jobs=["a", "b"]) as run:
            with pytest.raises(ValueError, match="a"), run.job("a"):
                raise ValueError("a")
            with run.job("b"):
                pass
        assert statuses(store.read(run.id)) == {"a": "failed", "b": "succeeded"}

    def test_left_with_an_open_attempt_a_run_has_no_end(self, store: RunStore) -> None:
        with store.create_run(pipeline="p", jobs=["a"]) as run:
            log = run.job("a")
        assert run.receipt is None
        assert [r["event"] for r in own_records(run)] == ["begin", "planned", "start"]
        with pytest.raises(SegmentClosedError), log:
            pass


def test_a_run_does_not_end_while_attempts_are_open(store: RunStore) -> None:
    with store.create_run(pipeline="p", jobs=["a", "b"]) as run:
        refused = pytest.raises(RunStoreError, match=f"2 attempts of run {run.id} have not ended")
        with run.job("a"), run.job("b"), refused:
            run.end("succeeded")
        run.end("succeeded")
    assert [r["event"] for r in own_records(run)].count("end") == 1


def test_nothing_follows_an_end(store: RunStore) -> None:
    with store.create_run(pipeline="p", jobs=["a"]) as run:
        with run.job("a") as log:
            log.end("succeeded")
            with pytest.raises(SegmentClosedError):
                log.append("metric")
            with pytest.raises(SegmentClosedError):
                log.end("failed")
        run.end("succeeded")
        for call in (
            lambda: run.end("failed"),
            lambda: run.append("stage_begin"),
            lambda: run.job("a"),
            lambda: run.not_run("a", "skipped", "why"),
        ):
            with pytest.raises(SegmentClosedError):
                call()
    assert store.verify().notes == []
    assert store.read(run.id).status == "succeeded"


@pytest.mark.parametrize("name", sorted(RESERVED_FIELDS))
def test_reserved_names_are_refused_and_nothing_is_written(store: RunStore, name: str) -> None:
    fields: dict[str, Any] = {name: 1}
    with pytest.raises(RecordError, match=name):
        store.create_run("p", (), **fields)
    assert store.run_ids() == []
    with store.create_run(pipeline="p", jobs=["a"]) as run:
        with run.job("a") as log:
            for refused in (log.append, run.append):
                with pytest.raises(RecordError, match=name):
                    refused("metric", **fields)
            with pytest.raises(RecordError, match=name):
                log.end("succeeded", **fields)
        with pytest.raises(RecordError, match=name):
            run.end("succeeded", **fields)
    assert [r["n"] for r in lines(f"{run.path}/jobs/a.a1.jsonl")] == [0, 1]
    assert store.read(run.id).status == "succeeded"


@pytest.mark.parametrize("name", BEGIN_NAMES)
def test_what_a_run_says_of_itself_is_not_the_callers(store: RunStore, name: str) -> None:
    fields: dict[str, Any] = {name: 1}
    with pytest.raises(RecordError, match=name):
        store.create_run("p", **fields)
    assert store.run_ids() == []


@pytest.mark.parametrize("event", ["begin", "end", "lost", ""])
def test_events_of_the_store_are_refused(store: RunStore, event: str) -> None:
    with store.create_run(pipeline="p", jobs=["a"]) as run, run.job("a") as log:
        for refused in (log.append, run.append):
            with pytest.raises(RecordError):
                refused(event)
    assert store.verify().ok


@pytest.mark.parametrize("event", ["planned", "start", "done", "not_run"])
def test_events_of_runs_are_refused_in_a_run_and_free_in_an_attempt(
    store: RunStore, event: str
) -> None:
    with store.create_run(pipeline="p", jobs=["a"]) as run, run.job("a") as log:
        with pytest.raises(RecordError):
            run.append(event)
        log.append(event)
    assert store.read(run.id).status == "succeeded"


REFUSED_VALUES = [float("nan"), float("-inf"), 2**64, -(2**63) - 1, "\ud800", b"", object(), {1: 2}]


@pytest.mark.parametrize("value", [*REFUSED_VALUES, "x" * (1 << 20)], ids=lambda v: repr(v)[:20])
def test_values_that_cannot_be_stored_are_refused_and_cost_nothing(
    store: RunStore, value: Any
) -> None:
    for fields in ({"params": value}, {"jobs": [{"id": "a", "stage": value}]}):
        with pytest.raises(RecordError):
            store.create_run("p", **fields)
    assert store.run_ids() == []
    with store.create_run(pipeline="p", jobs=["a"]) as run:
        for call in (
            lambda: run.append("x", value=value),
            lambda: run.not_run("a", "skipped", value),
            lambda: run.job("a", stage=value),
            lambda: run.end("failed", value=value),
        ):
            with pytest.raises(RecordError):
                call()
        with run.job("a") as log:
            assert log.attempt == 1
            with pytest.raises(RecordError):
                log.append("x", value=value)
            with pytest.raises(RecordError):
                log.end("failed", value=value)
            assert log.append("metric").n == 1
    assert (store.verify().ok, store.verify().notes) == (True, [])
    assert store.read(run.id).status == "succeeded"


@pytest.mark.parametrize("job_id", ["", "\ud800", "x" * 10_001, "ü" * 5_001])
def test_ids_that_no_job_has_are_refused_and_cost_nothing(store: RunStore, job_id: str) -> None:
    for planned in (job_id, {"id": job_id}):
        with pytest.raises(RecordError):
            store.create_run("p", ["a", planned])
    assert store.run_ids() == []
    with store.create_run(pipeline="p") as run:
        with pytest.raises(RecordError):
            run.job(job_id)
        with pytest.raises(RecordError):
            run.not_run(job_id, "skipped", "why")
    assert len(own_records(run)) == 2


@pytest.mark.parametrize("planned", [{}, {"stage": "s"}, {"id": 5}, {"id": None}])
def test_a_job_without_an_id_is_refused(store: RunStore, planned: Any) -> None:
    with pytest.raises(RecordError):
        store.create_run("p", [planned])


def test_a_job_planned_twice_is_refused(store: RunStore) -> None:
    with pytest.raises(RecordError, match="'a' is planned twice"):
        store.create_run("p", ["a", "b", {"id": "a", "stage": "s"}])
    assert store.run_ids() == []


def test_a_plan_of_any_length_is_written_in_pieces(store: RunStore) -> None:
    names = [f"{n:05d}" + "é" * 4_997 for n in range(100)]
    names += [f"job-{n}" for n in range(2_000)]
    names += [chr(1) * 9_990 + str(n) for n in range(20)]
    with store.create_run(pipeline="p", jobs=names) as run, run.job(names[0]) as log:
        log.append("metric")
    records = own_records(run)
    chunks = [r["jobs"] for r in records if r["event"] == "planned"]
    assert [job["id"] for chunk in chunks for job in chunk] == names
    assert max(map(len, chunks)) <= 500
    assert list(store.read(run.id).jobs) == names
    assert store.read(run.id).jobs[names[0]].status == "succeeded"
    assert store.verify().ok


def test_a_log_file_is_made_once_and_appended_to(store: RunStore) -> None:
    with store.create_run(pipeline="p", jobs=["a"]) as run, run.job("a") as log:
        assert store.read(run.id).log_path("a") is None
        descriptor = log.create_log()
        os.write(descriptor, b"one\n")
        os.write(descriptor, b"two\n")
        os.close(descriptor)
        with pytest.raises(FileExistsError):
            log.create_log()
        assert log.log_path == f"{run.path}/logs/a.a1.log"
        assert log.output_path == f"{run.path}/logs/a.a1.output"
    view: RunView = store.read(run.id)
    assert view.log_path("a") == view.log_path("a", 1) == log.log_path
    assert view.log_path("a", 2) is None
    assert view.log_path("b") is None
    assert Path(log.log_path).read_bytes() == b"one\ntwo\n"
    assert store.verify().ok


def test_an_attempts_file_that_is_there_already_is_not_touched(store: RunStore) -> None:
    run = store.create_run(pipeline="p", jobs=["a"])
    taken = Path(run.path, "jobs", "a.a1.jsonl")
    taken.write_bytes(b"of somebody else")
    with pytest.raises(FileExistsError), run:
        run.job("a")
    assert taken.read_bytes() == b"of somebody else"
    assert [r["event"] for r in own_records(run)] == ["begin", "planned", "start"]


@pytest.mark.parametrize("pipeline", ["", None, 5, ["p"]])
def test_a_pipeline_without_a_name_is_refused_and_leaves_no_run(
    store: RunStore, pipeline: Any
) -> None:
    with pytest.raises(RecordError, match="named by a text"):
        store.create_run(pipeline)
    assert store.run_ids() == []
