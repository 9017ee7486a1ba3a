"""One attempt as a process: what it is given, where its output goes, how its end is told."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from lorchestra.model import Outcome
from lorchestra.process import ChildProcess, Program, run_process, shell_command
from lorchestra.stop import INTERRUPTED, Stop
from runstore import start_token
from tests.leaks import nothing_left_behind
from tests.lorchestra.running import (
    PYTHON,
    Runner,
    call,
    command,
    driver,
    eventually,
    is_running,
    module,
    python,
    shell,
)

_NAMELESS = getattr(signal, "SIGRTMIN", signal.SIGUSR1) + 1


class TestEnvironment:
    def test_a_job_finds_who_it_is(self, run: Runner) -> None:
        names = ("RUN_ID", "JOB_ID", "ATTEMPT", "IDEMPOTENCY_KEY", "OUTPUT")
        line = "; ".join(f'echo "$LORCHESTRA_{name}"' for name in names)
        ran = run(shell("who", line), shell("other", line))
        run_id, job_id, attempt, key, output = ran.log("who").decode().splitlines()
        assert (run_id, job_id, attempt) == (ran.result.run_id, "who", "1")
        assert output == f"{ran.view.path}/logs/who.a1.output"
        assert len(key) == 32
        assert key != ran.log("other").decode().splitlines()[3]

    def test_it_has_what_lorchestra_has_and_its_own_over_that(
        self, run: Runner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SHARED", "all")
        monkeypatch.setenv("CHANGED", "before")
        line = "echo $SHARED $CHANGED $OWN $LORCHESTRA_JOB_ID"
        env = {"CHANGED": "after", "OWN": "a b=c", "LORCHESTRA_JOB_ID": "forged"}
        ran = run(shell("a", line, env=env), shell("b", line))
        assert ran.log("a") == b"all after a b=c a\n"
        assert ran.log("b") == b"all before b\n"

    def test_its_path_decides_where_its_program_is_found(self, run: Runner) -> None:
        program = run.root / "bin" / "here-only"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\necho found\n")
        program.chmod(0o755)
        path = f"{program.parent}:{os.environ['PATH']}"
        ran = run(command("a", "here-only", env={"PATH": path}), command("b", "here-only"))
        assert ran.log("a") == b"found\n"
        assert ran.statuses() == {"a": "succeeded", "b": "failed"}

    def test_it_runs_in_the_project_folder_or_in_one_relative_to_that(self, run: Runner) -> None:
        (run.root / "sub").mkdir()
        (run.root / "sub" / "tool").write_text("#!/bin/sh\npwd -P\n")
        (run.root / "sub" / "tool").chmod(0o755)
        elsewhere = str(Path("/"))
        ran = run(
            shell("root", "pwd -P"),
            shell("sub", "pwd -P", cwd="sub"),
            shell("absolute", "pwd -P", cwd=elsewhere),
            command("program", "./tool", cwd="sub"),
        )
        root = run.root.resolve()
        assert ran.log("root").decode() == f"{root}\n"
        assert ran.log("sub").decode() == ran.log("program").decode() == f"{root / 'sub'}\n"
        assert ran.log("absolute") == b"/\n"

    @pytest.mark.parametrize("job", [command("a", "cat"), shell("a", "cat; read x || echo end")])
    def test_its_standard_input_is_empty(self, run: Runner, job: Any) -> None:
        ran = run(job)
        assert ran.result.succeeded
        assert ran.log("a") in {b"", b"end\n"}

    def test_it_leads_a_session_and_a_process_group_of_its_own(self, run: Runner) -> None:
        ran = run(python("a", "import os; print(os.getpid(), os.getpgid(0), os.getsid(0))"))
        pid, group, session = ran.log("a").split()
        assert pid == group == session

    def test_it_inherits_no_descriptor(self, run: Runner) -> None:
        ran = run(*(python(n, "import os; print(os.listdir('/proc/self/fd'))") for n in "abc"))
        # 3 is the folder that is listed.
        assert ran.log("c") == b"['0', '1', '2', '3']\n"


class TestOutputOfAProcess:
    def test_both_streams_stand_in_one_log_as_they_came(self, run: Runner) -> None:
        line = "for n in 1 2 3; do echo out $n; echo err $n >&2; done"
        ran = run(shell("a", line))
        assert ran.log("a") == b"out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n"

    def test_any_bytes_stand_there_as_they_are(self, run: Runner) -> None:
        data = bytes(range(256)) + b"\xff\xfe\x00\n\r\n" * 3
        (run.root / "data").write_bytes(data)
        ran = run(command("a", "cat", "data"))
        assert ran.log("a") == data
        assert ran.attempt("a").end["log_bytes"] == len(data)

    def test_twenty_megabytes_do_not_pass_through_lorchestra(self, run: Runner) -> None:
        size = 20_000_000
        run(shell("warm", "true"))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ran = run(command("a", "head", "-c", str(size), "/dev/zero"))
        growth_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert ran.attempt("a").end["log_bytes"] == size
        path = ran.view.log_path("a")
        assert path is not None
        assert os.path.getsize(path) == size
        assert growth_kb < 8_000

    def test_the_log_is_its_owners_alone(self, run: Runner) -> None:
        path = run(shell("a", "echo secret")).view.log_path("a")
        assert path is not None
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600

    def test_what_a_process_left_in_the_background_is_not_waited_for(self, run: Runner) -> None:
        ran = run(shell("a", "sleep 600 & echo $! > background; echo done"))
        pid = int((run.root / "background").read_text())
        try:
            assert ran.log("a") == b"done\n"
            assert ran.result.succeeded
            assert is_running(pid)
        finally:
            os.kill(pid, signal.SIGKILL)


class TestHowItEnded:
    def test_with_an_exit_code(self, run: Runner) -> None:
        ran = run(shell("a", "exit 77"), shell("b", "exit 0"))
        a, b = ran.attempt("a"), ran.attempt("b")
        assert (a.status, a.exit_code, a.signal, a.error) == ("failed", 77, None, "exit code 77")
        assert (b.status, b.exit_code, b.signal, b.error) == ("succeeded", 0, None, None)

    @pytest.mark.parametrize(
        ("number", "name"),
        [
            (signal.SIGTERM, "signal 15 (SIGTERM)"),
            (signal.SIGKILL, "signal 9 (SIGKILL)"),
            # One without a name; macOS has none of these.
            (_NAMELESS, f"signal {_NAMELESS}"),
        ],
    )
    def test_by_a_signal(self, run: Runner, number: int, name: str) -> None:
        attempt = run(python("a", f"import os; os.kill(os.getpid(), {int(number)})")).attempt("a")
        assert attempt.status == "failed"
        assert (attempt.exit_code, attempt.signal, attempt.error) == (None, number, name)

    def test_what_it_cost(self, tmp_path: Path) -> None:
        source = "x = b'x' * 300_000_000\nimport time\nwhile time.process_time() < 0.3: pass"
        name = module(tmp_path, "def grow(): return len(b'x' * 300_000_000)")
        stages = [[python("big", source)], [call("grow", f"{name}:grow")], [shell("small", ":")]]
        # In a process of its own, whose largest size is known.
        with driver(tmp_path, *stages) as running:
            running.wait()
            ran = running.ran()
        end = ran.attempt("big").end
        assert 290_000 < end["max_rss_kb"] < 600_000
        assert 0.25 < end["cpu_s"] < 30
        assert end["duration_s"] >= 0.25
        small = ran.attempt("small").end
        # Between fork and exec it was as large as lorchestra, which says nothing of the job.
        assert small.get("max_rss_kb") is None or small["max_rss_kb"] < 100_000
        assert small["cpu_s"] < 0.25
        assert small["log_bytes"] == 0

    def test_its_process_is_in_the_record_while_it_runs(self, run: Runner) -> None:
        ran = run(
            python(
                "a",
                f"""
                import os, sys, time
                sys.path[:0] = {sys.path!r}
                from runstore import start_token
                print(os.getpid(), start_token(os.getpid()))
                """,
            )
        )
        (process,) = ran.records("process", "a")
        pid, token = ran.log("a").decode().split()
        assert (str(process["pid"]), process["token"]) == (pid, token)

    def test_times_of_the_record_fit_together(self, run: Runner) -> None:
        ran = run(shell("a", "sleep 0.1"))
        attempt = ran.attempt("a")
        assert attempt.started is not None
        assert attempt.ended is not None
        assert attempt.started < attempt.ended
        assert attempt.duration_s is not None
        assert 0.1 <= attempt.duration_s < 20


class TestCannotStart:
    def check(self, run: Runner, job: Any, reason: str, *, also_after: bool = True) -> None:
        after = shell("after", "true")
        with nothing_left_behind(grace_s=0):
            ran = run(job, after)
        attempt = ran.attempt(job.id)
        assert attempt.status == "failed"
        assert (attempt.exit_code, attempt.signal, attempt.error) == (None, None, reason)
        assert ran.log(job.id).decode() == f"lorchestra: {reason}\n"
        assert ran.records("process", job.id) == []
        assert ran.statuses()["after"] == ("succeeded" if also_after else "failed")

    def test_a_program_that_is_not_there(self, run: Runner) -> None:
        reason = "cannot start 'no-such-program': No such file or directory"
        self.check(run, command("a", "no-such-program", "x"), reason)

    def test_a_file_that_is_no_program(self, run: Runner) -> None:
        (run.root / "text").write_text("hello")
        self.check(run, command("a", "./text"), "cannot start './text': Permission denied")

    def test_a_program_of_no_known_format(self, run: Runner) -> None:
        (run.root / "text").write_text("hello")
        (run.root / "text").chmod(0o755)
        self.check(run, command("a", "./text"), "cannot start './text': Exec format error")

    def test_a_folder_that_is_not_there(self, run: Runner) -> None:
        folder = str(run.root / "no" / "such")
        reason = f"cannot start in the folder {folder!r}: No such file or directory"
        self.check(run, shell("a", ":", cwd="no/such"), reason)

    def test_a_file_in_the_place_of_the_folder(self, run: Runner) -> None:
        (run.root / "file").write_text("")
        folder = str(run.root / "file")
        reason = f"cannot start in the folder {folder!r}: Not a directory"
        self.check(run, shell("a", ":", cwd="file"), reason)

    def test_a_folder_whose_name_is_too_long(self, run: Runner) -> None:
        folder = str(run.root / ("x" * 300))
        reason = f"cannot start in the folder {folder!r}: File name too long"
        self.check(run, shell("a", ":", cwd="x" * 300), reason)

    def test_a_folder_whose_name_is_no_text(self, run: Runner) -> None:
        run.root = run.root / "gr\udcfcn"
        folder = str(run.root / "sub")
        reason = f"cannot start in the folder {folder!r}: No such file or directory"
        self.check(run, shell("a", ":", cwd="sub"), reason, also_after=False)

    def test_a_nul_byte_among_the_arguments(self, run: Runner) -> None:
        self.check(run, command("a", "echo", "a\0b"), "cannot start 'echo': embedded null byte")

    def test_a_nul_byte_among_the_variables(self, run: Runner) -> None:
        job = command("a", "echo", env={"A": "\0"})
        self.check(run, job, "cannot start 'echo': embedded null byte")

    def test_a_variable_with_no_name_for_one(self, run: Runner) -> None:
        job = command("a", "echo", env={"A=B": ""})
        self.check(run, job, "cannot start 'echo': illegal environment variable name")

    def test_an_argument_longer_than_the_system_takes(self, run: Runner) -> None:
        job = command("a", "echo", "x" * 200_000)
        self.check(run, job, "cannot start 'echo': Argument list too long")

    def test_a_name_longer_than_a_record(self, run: Runner) -> None:
        reason = f"cannot start '{'x' * 997}...': File name too long"
        self.check(run, command("a", "x" * 2_000_000), reason)


def test_two_hundred_kilobytes_of_arguments_arrive(run: Runner) -> None:
    long = "z" * 100_000
    ran = run(command("a", PYTHON, "-c", "import sys; print(list(map(len, sys.argv)))", long, long))
    assert ran.log("a") == b"[2, 100000, 100000]\n"


def test_a_line_for_the_shell_is_one_argument() -> None:
    assert shell_command("echo 'a b' | cat") == ("/bin/sh", "-c", "echo 'a b' | cat")


class Started:
    """One process at work in a thread, without a run around it."""

    def __init__(self, folder: Path, line: str, **fields: Any) -> None:
        self.folder = folder
        self.stop = Stop()
        self.outcome = Outcome("not yet")
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(line,), kwargs=fields)
        self._thread.start()

    def _run(self, line: str, **fields: Any) -> None:
        on_start = fields.pop("on_start", lambda _pid: None)
        limit = fields.pop("limit", None)
        argv = ("/bin/sh", "-c", line)
        with open(self.folder / "log", "wb") as log:
            env = {**os.environ, **fields.pop("env", {})}
            program = Program(argv, log.fileno(), env, self.folder, **fields)
            try:
                self.outcome = run_process(program, self.stop, on_start, limit)
            except BaseException as error:
                self.error = error

    def wait_for(self, name: str) -> None:
        eventually((self.folder / name).exists)

    def end(self) -> Outcome:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.outcome


class TestStopping:
    def test_a_process_that_is_asked_to_end_was_stopped(self, tmp_path: Path) -> None:
        started = Started(tmp_path, ": > ready; exec sleep 600")
        started.wait_for("ready")
        started.stop.request(signal.SIGTERM)
        outcome = started.end()
        assert (outcome.status, outcome.signal, outcome.exit_code) == ("interrupted", 15, None)
        assert outcome.error == "stopped with the run (signal 15 (SIGTERM))"

    def test_so_was_one_that_then_ends_as_if_nothing_had_been(self, tmp_path: Path) -> None:
        line = "trap 'exit 0' TERM; : > ready; while :; do sleep 0.01; done"
        started = Started(tmp_path, line)
        started.wait_for("ready")
        started.stop.request(signal.SIGTERM)
        outcome = started.end()
        assert (outcome.status, outcome.exit_code) == ("interrupted", 0)
        assert outcome.error == "stopped with the run (exit code 0)"

    def test_one_that_had_ended_before_was_not(self, tmp_path: Path) -> None:
        started = Started(tmp_path, "exit 0")
        assert started.end().status == "succeeded"
        started.stop.request(signal.SIGTERM)
        started.stop.force()
        assert started.outcome.status == "succeeded"

    def test_what_it_started_may_clean_up_although_it_has_ended_itself(
        self, tmp_path: Path
    ) -> None:
        cleaning = "trap 'sleep 0.3; echo done > clean; exit' TERM; : > {0}; {1}"
        forever = "while :; do sleep 0.01; done"
        child = cleaning.format("ready", forever)
        started = Started(tmp_path, f"({child}) | cat")
        started.wait_for("ready")
        started.stop.request(signal.SIGTERM)
        assert started.end().status == "interrupted"
        assert (tmp_path / "clean").read_text() == "done\n"

    def test_one_that_will_not_end_is_killed_with_all_that_it_started(self, tmp_path: Path) -> None:
        line = "trap '' TERM; (trap '' TERM; echo $$ > child; sleep 600) & : > ready; sleep 600"
        started = Started(tmp_path, line)
        started.wait_for("ready")
        started.wait_for("child")
        started.stop.request(signal.SIGTERM)
        time.sleep(0.1)
        assert started.outcome.status == "not yet"
        started.stop.force()
        outcome = started.end()
        assert (outcome.status, outcome.signal) == ("interrupted", signal.SIGKILL)
        child = int((tmp_path / "child").read_text())
        eventually(lambda: not is_running(child))

    def test_what_outlives_its_stopped_parent_is_killed_too(self, tmp_path: Path) -> None:
        line = "(trap '' TERM; : > ready; while :; do sleep 0.01; done) & wait"
        started = Started(tmp_path, line)
        started.wait_for("ready")
        started.stop.request(signal.SIGTERM)
        time.sleep(0.2)
        assert started.outcome.status == "not yet"
        started.stop.force()
        assert started.end().status == "interrupted"

    def test_after_the_stop_a_process_is_stopped_as_it_starts(self, tmp_path: Path) -> None:
        stop = Stop()
        stop.request(signal.SIGTERM)
        program = Program(("/bin/sh", "-c", "sleep 600"), 2, {}, tmp_path)
        outcome = run_process(program, stop, lambda _pid: None)
        assert (outcome.status, outcome.signal) == ("interrupted", signal.SIGTERM)

    def test_one_that_had_ended_before_its_thread_noticed_was_not(self, tmp_path: Path) -> None:
        with open(tmp_path / "log", "wb") as log:
            process = ChildProcess(("true",), log=log.fileno(), env=dict(os.environ), cwd=tmp_path)
        eventually(lambda: start_token(process.pid) is None)
        process.ask_to_end(INTERRUPTED)
        process.wait()
        assert (process.stopped_by, process.returncode) == (None, 0)

    def test_nor_was_one_that_somebody_else_waited_for(self, tmp_path: Path) -> None:
        with open(tmp_path / "log", "wb") as log:
            process = ChildProcess(("true",), log=log.fileno(), env=dict(os.environ), cwd=tmp_path)
        os.waitpid(process.pid, 0)
        process.ask_to_end(INTERRUPTED)
        process.wait()
        assert (process.stopped_by, process.returncode) == (None, None)

    def test_where_the_system_cannot_look_ahead_it_is_told_all_the_same(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(os, "waitid")
        started = Started(tmp_path, ": > ready; exec sleep 600")
        started.wait_for("ready")
        started.stop.request(signal.SIGTERM)
        assert started.end().status == "interrupted"


class TestInput:
    def test_it_reads_what_it_is_given(self, tmp_path: Path) -> None:
        text = b"x" * 300_000
        assert Started(tmp_path, "wc -c > size", stdin_text=text).end().succeeded
        assert (tmp_path / "size").read_text().strip() == "300000"

    def test_one_that_does_not_read_it_loses_nothing(self, tmp_path: Path) -> None:
        assert Started(tmp_path, "exit 0", stdin_text=b"x" * 300_000).end().succeeded

    def test_one_whose_start_cannot_be_recorded_does_not_wait_for_it_for_ever(
        self, tmp_path: Path
    ) -> None:
        def fail(_pid: int) -> None:
            raise OSError(28, "No space left on device")

        started = Started(tmp_path, "cat; : > ended", stdin_text=b"x", on_start=fail)
        started.end()
        assert isinstance(started.error, OSError)
        assert (tmp_path / "ended").exists()


class TestLostExitCode:
    def test_a_job_whose_exit_code_somebody_else_took_has_failed(self, tmp_path: Path) -> None:
        def steal(pid: int) -> None:
            os.waitpid(pid, 0)

        outcome = Started(tmp_path, "exit 0", on_start=steal).end()
        assert outcome == Outcome(
            "failed", error="its exit code is lost: something else waited for it"
        )


@pytest.mark.filterwarnings("error")
def test_a_process_that_was_waited_for_is_thrown_away_without_a_warning(tmp_path: Path) -> None:
    with open(tmp_path / "log", "wb") as log:
        process = ChildProcess(("true",), log=log.fileno(), env=dict(os.environ), cwd=tmp_path)
    assert start_token(process.pid) is None or process.returncode is None
    process.wait()
    assert process.returncode == 0
    process.kill()
    process.ask_to_end(INTERRUPTED)
    assert process.stopped_by is None
    active: list[subprocess.Popen[bytes]] = subprocess._active  # type: ignore[attr-defined]
    del process
    assert active == []
