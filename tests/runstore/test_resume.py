"""A run goes on where it was left: numbers, statuses and plans, and who may do that."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runstore import (
    GuardTimeoutError,
    RecordError,
    RunDamagedError,
    RunIsAliveError,
    RunNotBegunError,
    RunNotFoundError,
    RunResumedError,
    RunStore,
    RunStoreError,
    SegmentPoisonedError,
    StoreFormatError,
    files,
)
from runstore.layout import Claim, attempt_file, claim_file, job_name
from runstore.lines.record import encode
from runstore.writing import claim as claims
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
    last_position,
    open_run,
    parsed,
    statuses,
    write_segment,
)

SECOND_FILE = "run.2.jsonl"
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


@pytest.fixture
def killed(tmp_path: Path) -> SampleRun:
    """One attempt is done, one was at work, one job had not begun."""
    return open_run(tmp_path / "store")


def finish(sample: SampleRun, **arguments: Any) -> None:
    """Resume a run, and run what has not succeeded."""
    with sample.store.resume_run(sample.id, **arguments) as run:
        for job_id, status in statuses(sample.store.read(sample.id)).items():
            if status != "succeeded":
                with run.job(job_id):
                    pass


def records(sample: SampleRun, name: str) -> list[dict[str, Any]]:
    return parsed(sample.path(name).read_bytes())


def events(sample: SampleRun, name: str) -> list[str]:
    return [record["event"] for record in records(sample, name)]


class TestWhatItWrites:
    def test_a_new_file_vouches_for_the_one_before_and_settles_what_was_open(
        self, killed: SampleRun
    ) -> None:
        before = {name: killed.path(name).read_bytes() for name in killed.names()}
        finish(killed, params={"day": 24})
        begin, done, *_ = records(killed, SECOND_FILE)
        last = last_position(before[RUN_FILE])
        assert (begin["last_n"], begin["last_crc"]) == last
        assert (begin["run"], begin["segment"], begin["pipeline"]) == (killed.id, 2, "nightly")
        assert (begin["pid"], begin["params"]) == (os.getpid(), {"day": 24})
        assert (done["event"], done["job"], done["attempt"]) == ("done", SLUGGED, 1)
        assert done["status"] == "crashed"
        assert (done["last_n"], done["last_crc"]) == last_position(before[THIRD])
        assert {name: killed.path(name).read_bytes() for name in before} == before

    def test_afterwards_the_run_is_whole_and_has_succeeded(self, killed: SampleRun) -> None:
        finish(killed)
        view = killed.store.read(killed.id)
        assert (view.status, view.segment) == ("succeeded", 2)
        assert [a.status for a in view.jobs[SLUGGED].attempts] == ["crashed", "succeeded"]
        assert [a.number for a in view.jobs[SLUGGED].attempts] == [1, 2]
        assert len(view.jobs[PLAIN].attempts) == 1
        report = killed.verify(view.receipt)
        assert (report.errors, report.notes) == ([], [])

    def test_it_can_be_resumed_again_and_again(self, killed: SampleRun) -> None:
        for segment in range(2, 5):
            with killed.store.resume_run(killed.id) as run, run.job("later") as log:
                assert log.attempt == segment - 1
                log.end("failed")
        assert killed.store.read(killed.id).segment == 4
        assert killed.verify().errors == []

    def test_an_attempt_that_had_ended_keeps_how_it_ended(self, killed: SampleRun) -> None:
        """Killed between its `end` and its `done`."""
        last = parsed(killed.content[THIRD])[-1]
        line, position = encode(last["n"] + 1, last["crc"], "end", {"status": "succeeded"})
        killed.write(THIRD, killed.content[THIRD] + line)
        with killed.store.resume_run(killed.id) as run:
            run.end("failed")
        done = records(killed, SECOND_FILE)[1]
        assert (done["status"], done["last_n"], done["last_crc"]) == ("succeeded", *position)
        assert statuses(killed.store.read(killed.id))[SLUGGED] == "succeeded"
        assert killed.verify().errors == []

    def test_one_that_never_made_its_file_is_no_missing_file(self, killed: SampleRun) -> None:
        killed.path(THIRD).unlink()
        finish(killed)
        done = records(killed, SECOND_FILE)[1]
        assert (done["status"], "last_n" in done) == ("crashed", False)
        assert (killed.verify().errors, killed.verify().notes) == ([], [])
        assert [a.number for a in killed.store.read(killed.id).jobs[SLUGGED].attempts] == [1, 2]
        assert killed.store.repair(killed.id).mended == []

    @pytest.mark.parametrize("content", [b"", b'{"n":0,"prev":"0000', b"\0" * 40])
    def test_nor_is_one_whose_file_is_empty_an_unexpected_one(
        self, killed: SampleRun, content: bytes
    ) -> None:
        """A power cut took the `start` and left the file."""
        killed.write(RUN_FILE, b"".join(killed.lines(RUN_FILE)[:2]))
        killed.write(THIRD, content)
        finish(killed)
        assert killed.verify().errors == []
        view = killed.store.read(killed.id)
        assert [a.status for a in view.jobs[SLUGGED].attempts] == ["crashed", "succeeded"]

    def test_an_attempt_without_its_start_is_settled(self, killed: SampleRun) -> None:
        killed.write(RUN_FILE, b"".join(killed.lines(RUN_FILE)[:2]))
        finish(killed)
        assert killed.verify().errors == []
        view = killed.store.read(killed.id)
        assert statuses(view) == dict.fromkeys([PLAIN, SLUGGED, "later"], "succeeded")
        assert len(view.jobs[PLAIN].attempts) == 1

    def test_the_number_of_an_attempt_of_which_only_the_log_is_left_is_not_used_again(
        self, killed: SampleRun
    ) -> None:
        killed.path("logs/later.a7.log").write_bytes(b"printed\n")
        with killed.store.resume_run(killed.id) as run, run.job("later") as log:
            assert log.attempt == 8
            os.close(log.create_log())

    def test_a_sealed_run_that_failed_is_resumed_and_sealed_again(self, killed: SampleRun) -> None:
        with killed.store.resume_run(killed.id) as run:
            run.end("failed")
        killed.store.compact(killed.id)
        assert killed.names() == ["sealed.jsonl"]
        finish(killed)
        assert events(killed, "run.3.jsonl")[0] == "begin"
        assert killed.verify().errors == []
        assert killed.store.read(killed.id).status == "succeeded"
        killed.store.compact(killed.id)
        assert killed.verify().errors == []
        assert len(killed.store.read(killed.id).jobs[SLUGGED].attempts) == 2


class TestThePlan:
    def test_it_is_not_written_again_when_it_is_the_same(self, killed: SampleRun) -> None:
        finish(killed, jobs=[PLAIN, SLUGGED, "later"])
        assert "planned" not in events(killed, SECOND_FILE)

    def test_a_new_one_takes_the_place_of_the_old_one(self, killed: SampleRun) -> None:
        plan: list[str | dict[str, str]] = ["new", {"id": PLAIN, "stage": "s"}]
        with killed.store.resume_run(killed.id, plan) as run, run.job("new"):
            pass
        view = killed.store.read(killed.id)
        assert statuses(view) == {"new": "succeeded", PLAIN: "succeeded"}
        assert list(view.jobs) == ["new", PLAIN]
        assert (view.status, view.jobs[PLAIN].stage) == ("succeeded", "s")
        assert killed.verify().errors == []
        assert {r["job"] for r in view.records() if r["event"] == "end" and "job" in r} == {
            PLAIN,
            "new",
        }

    def test_a_job_that_is_started_all_the_same_is_the_run_s_again(self, killed: SampleRun) -> None:
        with killed.store.resume_run(killed.id, ["later"]) as run:
            for job_id in ("later", SLUGGED):
                with run.job(job_id) as log:
                    assert log.attempt == (2 if job_id == SLUGGED else 1)
        assert statuses(killed.store.read(killed.id)) == {
            SLUGGED: "succeeded",
            "later": "succeeded",
        }

    def test_an_attempt_knows_the_definition_that_it_ran(self, tmp_path: Path) -> None:
        """Also when the plan has changed since, and the job has not run again."""
        store = RunStore(tmp_path, "os")
        with store.create_run("p", [{"id": "a", "sha256": "1"}, {"id": "b"}]) as run, run.job("a"):
            pass
        for _ in range(2):
            with store.resume_run(run.id, [{"id": "a", "sha256": "2"}, "b"]):
                pass
        job = store.read(run.id).jobs["a"]
        assert (job.planned["sha256"], job.attempts[0].sha256) == ("2", "1")
        with store.resume_run(run.id) as run, run.job("a"):
            pass
        assert [a.sha256 for a in store.read(run.id).jobs["a"].attempts] == ["1", "2"]

    def test_a_job_that_does_not_run_again_keeps_the_status_of_its_last_attempt(
        self, killed: SampleRun
    ) -> None:
        with killed.store.resume_run(killed.id) as run:
            run.not_run(SLUGGED, "cancelled", "no time")
            run.not_run("later", "skipped", "no time")
        view = killed.store.read(killed.id)
        assert statuses(view) == {PLAIN: "succeeded", SLUGGED: "crashed", "later": "skipped"}
        assert view.end["counts"] == {"succeeded": 1, "crashed": 1, "skipped": 1}


class TestWhoMay:
    def test_a_run_at_work_is_refused(self, tmp_path: Path) -> None:
        store = RunStore(tmp_path)
        with store.create_run("p", ["a"]) as run:
            with pytest.raises(RunIsAliveError):
                store.resume_run(run.id)
            with run.job("a"):
                pass
        assert os.listdir(f"{run.path}") == os.listdir(run.path)
        with store.resume_run(run.id), pytest.raises(RunIsAliveError):
            store.resume_run(run.id)

    def test_one_of_another_host_too(self, tmp_path: Path) -> None:
        sample = open_run(tmp_path / "store", ELSEWHERE)
        with pytest.raises(RunIsAliveError):
            sample.store.resume_run(sample.id)
        assert sample.names() == sorted(sample.content)

    def test_of_many_threads_one_is_first(self, killed: SampleRun) -> None:
        together = threading.Barrier(8)
        won: list[Any] = []
        lost: list[BaseException] = []

        def resume() -> None:
            together.wait()
            try:
                won.append(killed.store.resume_run(killed.id))
            except RunStoreError as error:
                lost.append(error)

        threads = [threading.Thread(target=resume) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(won), len(lost)) == (1, 7)
        assert {type(error) for error in lost} <= {RunResumedError, RunIsAliveError}
        won[0].__exit__(None, None, None)
        assert killed.store.read(killed.id).segment == 2
        assert not [name for name in os.listdir(killed.folder) if name.endswith(".tmp")]

    def test_of_many_processes_one_is_first(self, killed: SampleRun) -> None:
        source = (
            "import sys, runstore\n"
            "sys.stdin.readline()\n"
            "try:\n"
            "    run = runstore.RunStore(sys.argv[1]).resume_run(sys.argv[2])\n"
            "except (runstore.RunResumedError, runstore.RunIsAliveError) as error:\n"
            "    print(type(error).__name__, flush=True)\n"
            "else:\n"
            "    print('first', flush=True)\n"
            "    sys.stdin.readline()\n"
        )
        command = [sys.executable, "-c", source, killed.store.path, killed.id]
        pipe = subprocess.PIPE
        tried = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(6)]
        for process in tried:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.stdout.readline().strip() for process in tried if process.stdout]
        for process in tried:
            process.communicate("")
        assert said.count("first") == 1
        assert set(said) <= {"first", "RunResumedError", "RunIsAliveError"}
        assert killed.verify().errors == []
        assert killed.store.read(killed.id).segment == 2

    def test_who_has_seen_it_before_another_resume_is_refused(self, killed: SampleRun) -> None:
        seen = killed.store.read(killed.id)
        with killed.store.resume_run(killed.id, seen=seen):
            pass
        with pytest.raises(RunResumedError):
            killed.store.resume_run(killed.id, seen=seen)
        with killed.store.resume_run(killed.id, seen=killed.store.read(killed.id)):
            pass

    @pytest.mark.parametrize("content", [b"", b'{"n":0,"prev":"0000'])
    def test_a_file_without_a_begin_is_that_of_whoever_claims_the_run(
        self, killed: SampleRun, content: bytes
    ) -> None:
        """Its process can be about to write the `begin`."""
        killed.write(SECOND_FILE, content)
        with claims.claimed(str(killed.folder)), pytest.raises(RunIsAliveError) as refused:
            killed.store.resume_run(killed.id)
        assert refused.value.pid == os.getpid()
        assert SECOND_FILE in killed.names()
        finish(killed)
        assert killed.store.read(killed.id).segment == 3
        assert killed.verify().errors == []

    def test_a_claim_of_a_process_that_is_gone_says_nothing(self, killed: SampleRun) -> None:
        killed.write(SECOND_FILE, b"")
        host_hash = claims._hash(DEAD.host)
        left = killed.path(claim_file(Claim(DEAD.pid, DEAD.token, host_hash, 1)))
        left.touch()
        finish(killed)
        assert not left.exists()

    def test_a_claim_of_another_host_is_respected(self, killed: SampleRun) -> None:
        killed.write(SECOND_FILE, b"")
        killed.path(claim_file(Claim(1, "t", "0" * 16, 1))).touch()
        with pytest.raises(RunIsAliveError, match="another host"):
            killed.store.resume_run(killed.id)

    def test_who_wrote_the_begin_meanwhile_is_at_work(
        self, killed: SampleRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It gave its claim back between the look at the file and that at the claims."""
        killed.write(SECOND_FILE, b"")
        last = last_position(killed.content[RUN_FILE])

        def no_claim(*_: object) -> None:
            killed.path(SECOND_FILE).unlink()
            fields = {"format": 1, "run": killed.id, "segment": 2, "pipeline": "nightly"}
            witness = {"last_n": last.n, "last_crc": last.crc}
            write_segment(
                killed.path(SECOND_FILE), [("begin", {**fields, **witness, **ELSEWHERE.fields()})]
            )

        monkeypatch.setattr("runstore.writing.resume.other_claim", no_claim)
        with pytest.raises(RunIsAliveError):
            killed.store.resume_run(killed.id)

    def test_the_guard_is_held_and_let_go(self, killed: SampleRun) -> None:
        guarded = RunStore(killed.store.path, guard="filelock")
        with guarded.resume_run(killed.id) as run:
            assert len(run.guard_descriptors) == 1
            with pytest.raises(GuardTimeoutError) as refused:
                guarded.create_run("nightly")
            assert refused.value.holder["run"] == killed.id
        with guarded.create_run("nightly"), pytest.raises(GuardTimeoutError):
            guarded.resume_run(killed.id)
        assert killed.store.read(killed.id).segment == 2

    def test_a_resume_that_fails_lets_the_guard_go(
        self, killed: SampleRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        guarded = RunStore(killed.store.path, guard="filelock")
        with monkeypatch.context() as patch:
            patch.setattr(files, "append", failing)
            with pytest.raises(OSError, match="full"):
                guarded.resume_run(killed.id)
        with guarded.resume_run(killed.id) as run:
            assert run.path == str(killed.folder)
        assert killed.verify().errors == []

    @needs_fork
    def test_a_child_made_by_fork_cannot_write(self, killed: SampleRun) -> None:
        with killed.store.resume_run(killed.id) as run:
            child = os.fork()
            if child == 0:
                try:
                    run.append("event")
                except SegmentPoisonedError:
                    os._exit(0)
                os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def failing(*_: object) -> None:
    raise OSError(28, "full")


class TestWhatItCannot:
    def test_an_unknown_run(self, killed: SampleRun) -> None:
        with pytest.raises(RunNotFoundError):
            killed.store.resume_run("nothing")

    @pytest.mark.parametrize("content", [None, b"", b"\0" * 30, b'{"n":0,"prev":"00'])
    def test_one_that_had_not_begun(self, killed: SampleRun, content: bytes | None) -> None:
        for name in killed.names():
            killed.path(name).unlink()
        if content is not None:
            killed.write(RUN_FILE, content)
        with pytest.raises(RunNotBegunError):
            killed.store.resume_run(killed.id)

    def test_one_whose_own_file_is_gone(self, killed: SampleRun) -> None:
        killed.path(RUN_FILE).unlink()
        with pytest.raises(RunDamagedError, match="repair it first"):
            killed.store.resume_run(killed.id)
        killed.store.repair(killed.id)
        with pytest.raises(RunDamagedError, match="of which pipeline"):
            killed.store.resume_run(killed.id)
        with killed.store.resume_run(killed.id, pipeline="nightly") as run:
            run.end("failed")
        assert killed.verify().errors == []
        assert killed.store.read(killed.id).pipeline == "nightly"

    def test_one_of_another_pipeline_than_given(self, killed: SampleRun) -> None:
        with pytest.raises(RecordError, match="of pipeline 'nightly', not 'daily'"):
            killed.store.resume_run(killed.id, pipeline="daily")

    def test_one_of_a_newer_format(self, killed: SampleRun) -> None:
        killed.path(RUN_FILE).unlink()
        write_segment(killed.path(RUN_FILE), [("begin", {"format": 2, "run": killed.id})])
        with pytest.raises(StoreFormatError):
            killed.store.resume_run(killed.id)

    @pytest.mark.parametrize("arguments", [{"jobs": ["a", "a"]}, {"jobs": [""]}, {"segment": 1}])
    def test_what_no_record_takes(self, killed: SampleRun, arguments: dict[str, Any]) -> None:
        with pytest.raises(RecordError):
            killed.store.resume_run(killed.id, **arguments)
        assert killed.names() == sorted(killed.content)


def edit_lines(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    return lambda data: b"".join(change(data.splitlines(keepends=True)))


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a flipped byte in the first line": lambda data: data[:60] + b"~" + data[61:],
    "a flipped byte in the last line": lambda data: data[:-40] + b"~" + data[-39:],
    "the first line is gone": edit_lines(lambda lines: lines[1:]),
    "a line is gone": edit_lines(lambda lines: lines[:1] + lines[2:]),
    "a line is doubled": edit_lines(lambda lines: [lines[0], *lines]),
    "cut at a line": edit_lines(lambda lines: lines[:-1]),
    "cut in a line": lambda data: data[:-10],
    "empty": lambda _: b"",
    "garbage at the end": lambda data: data + b"xyz",
    "nothing but garbage": lambda _: b"xyz\n" * 3,
}


@pytest.mark.parametrize("name", [RUN_FILE, FIRST, THIRD])
@pytest.mark.parametrize("damage", DAMAGE)
def test_of_a_damaged_run_what_can_be_read_goes_on(
    killed: SampleRun, name: str, damage: str
) -> None:
    """And `verify` finds no error that it has not found before."""
    killed.write(name, DAMAGE[damage](killed.content[name]))
    before = killed.verify()
    kept = [
        job
        for job, status in statuses(killed.store.read(killed.id)).items()
        if status == "succeeded"
    ]
    finish(killed, pipeline="nightly", jobs=[PLAIN, SLUGGED, "later"])
    after = killed.verify()
    assert set(codes(after.errors)) <= set(codes(before.errors)), after.errors
    assert {e.path for e in after.errors} <= {e.path for e in before.errors}
    view = killed.store.read(killed.id)
    assert view.status == "succeeded"
    assert statuses(view) == dict.fromkeys([PLAIN, SLUGGED, "later"], "succeeded")
    for job_id in kept:
        assert len(view.jobs[job_id].attempts) == 1
    killed.store.repair(killed.id)
    assert killed.verify().errors == []
    assert killed.store.read(killed.id).status == "succeeded"


def test_a_name_that_no_id_is_known_for_is_left_alone(killed: SampleRun) -> None:
    killed.write(RUN_FILE, b"".join(killed.lines(RUN_FILE)[:1]))
    name = attempt_file(job_name("Unknown"), 1)
    killed.write(name, b"")
    with killed.store.resume_run(killed.id) as run:
        assert [r["job"] for r in records(killed, SECOND_FILE)[1:]] == [SLUGGED, PLAIN]
        run.end("failed")
