"""Ctrl-C and SIGTERM: the exit code, the object, the record, and what is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.lorchestra.cli.commands import PROGRAM, Done, Project, ended, run_object, statuses
from tests.lorchestra.running import PATIENCE_S, eventually, module

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")

GRACE_S = 10.0
SLOW = "touch {}; exec sleep 60"
STUBBORN = "trap 'touch asked' TERM; touch {}; while :; do sleep 0.05; done"


def wait_for(project: Project, *names: str) -> None:
    eventually(lambda: all((project.root / name).exists() for name in names))


def interrupted(project: Project, number: int, *options: str) -> Done:
    """Run a pipeline in a process of its own, and send it a signal once the job `a` is at work."""
    with project.started("pipeline", "p", *options) as process:
        wait_for(project, "a")
        process.send_signal(number)
        done = ended(process)
    assert "Traceback" not in done.err
    return done


def two_stages(project: Project, job: str = SLOW) -> None:
    project.pipeline({"a": job.format("a"), "b": "true"}, {"c": "true"})


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_interrupt_ends_running_jobs_and_leaves_a_complete_record(
    project: Project, number: int, code: int, workers: str
) -> None:
    first = {name: SLOW.format(name) for name in "ab"}
    project.pipeline({**first, "c": "true"}, {"d": "true"})
    with project.started("pipeline", "p", "--json", "--max-workers", workers) as process:
        wait_for(project, *"ab"[: int(workers)])
        process.send_signal(number)
        done = ended(process)
    assert done.code == code
    found = run_object(project, done)
    assert (found["status"], found["success"], found["stopped_early"]) == (
        "interrupted",
        False,
        True,
    )
    assert statuses(found) == {
        "a": "interrupted",
        "b": "interrupted" if workers == "2" else "cancelled",
        "c": "cancelled",
        "d": "skipped",
    }
    assert (found["failed"], found["failures"]) == (int(workers), [])
    assert " run interrupted in " in done.err
    assert f"receipt {found['receipt']}" in done.err
    assert "---" not in done.err
    assert "Traceback" not in done.err


def test_a_second_ctrl_c_kills_at_once_what_does_not_end(project: Project) -> None:
    two_stages(project, STUBBORN)
    with project.started("pipeline", "p", "--json") as process:
        wait_for(project, "a")
        process.send_signal(signal.SIGINT)
        wait_for(project, "asked")
        process.send_signal(signal.SIGINT)
        done = ended(process)
    found = run_object(project, done)
    assert done.code == 130
    assert "SIGKILL" in project.store.read(found["run_id"]).jobs["a"].attempts[0].end["error"]
    assert found["duration_ms"] < GRACE_S * 1000


def test_an_interrupt_is_told_even_without_progress(project: Project) -> None:
    two_stages(project)
    done = interrupted(project, signal.SIGTERM, "--progress", "none")
    (run_id,) = project.store.run_ids()
    assert (done.code, done.stdout) == (143, b"")
    assert done.errors == [f"lorchestra: run {run_id} was interrupted; its record is complete"]


def test_a_failure_before_the_interrupt_is_shown_and_what_was_stopped_is_not(
    project: Project,
) -> None:
    project.pipeline({"bad": "echo why; exit 3", "a": SLOW.format("a")})
    done = interrupted(project, signal.SIGINT, "--json", "--progress", "none")
    assert done.code == 130
    assert done.json["failures"] == [{"job_id": "bad", "error": "exit code 3"}]
    assert [line for line in done.errors if line.startswith("---")] == [
        "--- bad failed: exit code 3"
    ]


def test_a_job_that_ends_well_when_it_is_asked_to_end_is_interrupted_all_the_same(
    project: Project,
) -> None:
    project.pipeline({"a": "trap 'exit 0' TERM; touch a; while :; do sleep 0.05; done"})
    done = interrupted(project, signal.SIGTERM, "--json")
    found = run_object(project, done)
    assert (done.code, found["status"]) == (143, "interrupted")
    assert (found["jobs"][0]["status"], found["jobs"][0]["exit_code"]) == ("interrupted", 0)


HUNG = """
    import time
    from pathlib import Path
    def hang(name):
        Path(name).touch()
        while True:
            print("still here", flush=True)
            time.sleep(0.001)
"""


def test_a_function_that_does_not_react_is_left_behind_and_the_object_printed(
    project: Project,
) -> None:
    target = f"{module(project.root, HUNG)}:hang"
    jobs = {name: {"call": target, "with": {"name": name}} for name in ("a", "b")}
    project.pipeline(jobs)
    options = ["--json", "--max-workers", "2"]
    with project.started("pipeline", "p", *options) as process:
        wait_for(project, "a", "b")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        done = ended(process)
    assert done.code in {130, 143}  # which of the two comes first is for the system to say
    assert set(statuses(run_object(project, done)).values()) == {"interrupted"}


@pytest.mark.parametrize(("progress", "is_said"), [("plain", True), ("none", False)])
def test_it_is_said_at_once_that_the_run_is_being_stopped(
    project: Project, progress: str, is_said: bool
) -> None:
    project.pipeline({"a": STUBBORN.format("a")})
    with project.started("pipeline", "p", "--grace", "1m", "--progress", progress) as process:
        wait_for(project, "a")
        process.send_signal(signal.SIGINT)
        wait_for(project, "asked")
        assert process.stderr is not None
        lines = [process.stderr.readline().decode() for _ in range(4 if is_said else 0)]
        process.send_signal(signal.SIGINT)
        done = ended(process)
    said = "stopping: jobs at work are asked to end, and killed after 1m or at a second Ctrl-C"
    assert any(said in line for line in lines) == is_said
    assert said not in done.err
    assert done.code == 130


def test_ctrl_c_interrupts_a_function_in_the_main_thread(project: Project) -> None:
    target = f"{module(project.root, HUNG)}:hang"
    project.pipeline({"a": {"call": target, "with": {"name": "a"}}, "b": "true"})
    done = interrupted(project, signal.SIGINT, "--json")
    assert done.code == 130
    assert statuses(run_object(project, done)) == {"a": "interrupted", "b": "cancelled"}


# Before there is a run


def at_fifo(project: Project, number: int) -> Done:
    """Interrupt the program while it waits for the text of the pipeline."""
    fifo = project.root / "p.yaml"
    os.mkfifo(fifo)
    with project.started("pipeline", "./p.yaml", "--json") as process:
        writer = eventually_open(fifo)
        # A signal between Python's last look for one and the call that waits would wait, too.
        eventually(lambda: is_asleep(process.pid))
        process.send_signal(number)
        done = ended(process)
    os.close(writer)
    return done


def is_asleep(pid: int) -> bool:
    """Tell whether a process does nothing for a while."""
    before = psutil.Process(pid).cpu_times()
    time.sleep(0.1)
    return psutil.Process(pid).cpu_times() == before


def eventually_open(fifo: Path) -> int:
    """Open a pipe for writing, once somebody reads."""
    opened: list[int] = []

    def is_open() -> bool:
        with suppress(OSError):
            opened.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        return bool(opened)

    eventually(is_open)
    return opened[0]


def test_ctrl_c_while_the_pipeline_is_read_runs_nothing(project: Project) -> None:
    done = at_fifo(project, signal.SIGINT)
    assert (done.code, done.stdout) == (130, b"")
    assert done.err.strip() == "lorchestra: interrupted"
    assert project.files() == {"p.yaml"}


def test_sigterm_while_the_pipeline_is_read_runs_nothing(project: Project) -> None:
    done = at_fifo(project, signal.SIGTERM)
    assert (done.code, done.stdout, done.stderr) == (-signal.SIGTERM, b"", b"")
    assert project.files() == {"p.yaml"}


# At a terminal

CONTROLLED = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, sys.argv[1:])
"""


class Terminal:
    """A command at a terminal of its own, as a shell starts it in the foreground."""

    def __init__(self, project: Project, *arguments: str) -> None:
        self._master, slave = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", CONTROLLED, *PROGRAM, *arguments],
            cwd=project.root,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: Any) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def read(self) -> str:
        """Everything that is shown until the command ends."""
        shown = b""
        while True:
            try:
                more = os.read(self._master, 1 << 16)
            except OSError:  # Linux says so when nobody has the other end any more
                break
            if not more:
                break
            shown += more
        return shown.decode().replace("\r\n", "\n")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs terminals")
class TestTerminal:
    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_ctrl_c_reaches_the_program_and_not_the_jobs(
        self, project: Project, workers: str
    ) -> None:
        job = "trap 'touch by-key' INT; touch a; while :; do sleep 0.05; done"
        project.pipeline({"a": job, "b": SLOW.format("b")})
        with Terminal(project, "pipeline", "p", "--max-workers", workers) as terminal:
            wait_for(project, *"ab"[: int(workers)])
            terminal.press(b"\x03")
            shown = terminal.read()
            assert terminal.process.wait(PATIENCE_S) == 130
        assert " run interrupted in " in shown
        assert not (project.root / "by-key").exists()
        assert project.store.read(project.store.run_ids()[0]).status == "interrupted"

    def test_ctrl_c_twice_kills(self, project: Project) -> None:
        two_stages(project, STUBBORN)
        with Terminal(project, "pipeline", "p") as terminal:
            wait_for(project, "a")
            terminal.press(b"\x03")
            wait_for(project, "asked")
            terminal.press(b"\x03")
            shown = terminal.read()
            assert terminal.process.wait(PATIENCE_S) == 130
        assert "SIGKILL" in shown

    def test_verify_that_takes_no_second_shows_only_its_verdict(self, project: Project) -> None:
        project.pipeline({"a": "true"})
        project.run()
        with Terminal(project, "runstore", "verify") as terminal:
            shown = terminal.read()
            assert terminal.process.wait(PATIENCE_S) == 0
        assert "\x1b" not in shown
        assert ": whole: 1 run, 2 files, " in shown


def test_what_is_to_outlive_its_terminal_does(project: Project) -> None:
    project.pipeline({"a": "touch at-work; while [ ! -e go-on ]; do sleep 0.02; done"})
    command = [sys.executable, "-m", "lorchestra", "pipeline", "p"]
    with subprocess.Popen(["nohup", *command], stderr=subprocess.PIPE) as process:
        eventually((project.root / "at-work").exists)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        project.write("go-on")
        process.communicate()
    assert process.returncode == 0
