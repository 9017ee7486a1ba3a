"""`--guard`: of processes that want the same pipeline one works, and the others are told which."""

from __future__ import annotations

import errno
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from runstore import Run, RunStore, start_token
from tests.lorchestra.cli.commands import Project, ended
from tests.lorchestra.running import check_complete, eventually

WITHOUT_NOISE = ("--durability", "os", "--progress", "none")

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs the signals of POSIX")


@contextmanager
def held(project: Project, pipeline: str = "p") -> Iterator[Run]:
    """Another run of the pipeline at work: of this process."""
    store = RunStore(project.store.path, "os", "filelock")
    with store.create_run(pipeline) as run:
        yield run


def command(guard: str, *options: str) -> list[str]:
    return ["pipeline", "p", "--guard", guard, *WITHOUT_NOISE, *options]


def until(project: Project, name: str) -> str:
    """A shell line that makes the file NAME.began, and works until there is a file NAME.go."""
    began, go = (shlex.quote(str(project.root / f"{name}.{end}")) for end in ("began", "go"))
    return f": > {began}; while [ ! -e {go} ]; do sleep 0.02; done"


def said(process: subprocess.Popen[bytes]) -> str:
    """The next line of its error output."""
    assert process.stderr is not None
    return process.stderr.readline().decode()


class TestHeld:
    def test_fail_exits_75_names_the_run_and_changes_nothing(self, project: Project) -> None:
        project.pipeline({"a": ": > ran"})
        with held(project) as run:
            before = project.files()
            done = project.process(*command("fail", "--json"))
            assert project.files() == before
        lock = re.escape((project.root / ".lorchestra/locks/p.lock").as_posix())
        assert (done.code, done.stdout) == (75, b"")
        assert re.fullmatch(
            rf"lorchestra: the guard is held by run {run.id} "
            rf"\(host {re.escape(socket.gethostname())}, pid {os.getpid()}, "
            rf"since \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{6}}Z\); its lock is {lock}\n",
            done.err,
        )

    @pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
    def test_skip_exits_0_and_creates_no_run(self, project: Project, options: list[str]) -> None:
        project.pipeline({"a": ": > ran"})
        with held(project) as run:
            before = project.files()
            done = project.process(*command("skip", *options))
            assert project.files() == before
        assert done.code == 0
        assert f"is held by run {run.id} (" in done.err
        assert done.errors[0].endswith("; this run is skipped")
        assert len(done.errors) == 1
        if not options:
            assert done.stdout == b""
            return
        skipped = done.json
        assert re.match(r"20\d\d-", skipped["held_by"].pop("since"))
        assert skipped == {
            "run_id": None,
            "pipeline_id": "p",
            "status": "skipped",
            "success": True,
            "held_by": {
                "run": run.id,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "token": start_token(os.getpid()),
            },
        }

    def test_wait_waits_and_then_runs(self, project: Project) -> None:
        project.pipeline({"a": ": > ran"})
        with held(project) as run:
            before = project.files()
            with project.started(*command("wait", "--json")) as waiting:
                assert re.match(
                    rf".* is held by run {run.id} \(.*; waiting for it\n", said(waiting)
                )
                time.sleep(0.2)
                assert waiting.poll() is None
                assert project.files() == before
                run.__exit__(None, None, None)
                done = ended(waiting)
        assert (done.code, done.err) == (0, "")
        assert project.store.run_ids() == [done.json["run_id"], run.id]
        assert (project.root / "ran").exists()
        check_complete(project.store, done.json["run_id"])

    @needs_posix
    @pytest.mark.parametrize(
        ("number", "codes"), [(signal.SIGINT, {130}), (signal.SIGTERM, {143, -signal.SIGTERM})]
    )
    def test_a_signal_ends_the_wait_at_once_and_nothing_is_written(
        self, project: Project, number: signal.Signals, codes: set[int]
    ) -> None:
        """Between two tries for the guard SIGTERM ends the process itself; a shell shows 143."""
        project.pipeline({"a": ": > ran"})
        with held(project):
            before = project.files()
            with project.started(*command("wait", "--json")) as waiting:
                assert "waiting for it" in said(waiting)
                waiting.send_signal(number)
                done = ended(waiting)
            assert project.files() == before
        assert done.code in codes
        assert done.stdout == b""
        assert done.err.strip() in {"", "lorchestra: interrupted"}

    def test_without_the_option_it_runs_beside(self, project: Project) -> None:
        project.pipeline({"a": "true"})
        with held(project):
            assert project.run().code == 0

    @pytest.mark.parametrize("guard", ["fail", "wait", "skip"])
    def test_another_pipeline_runs_beside(self, project: Project, guard: str) -> None:
        project.pipeline({"a": "true"}, name="q.yaml")
        with held(project):
            assert project.run("--guard", guard, name="q").code == 0

    def test_a_dry_run_asks_nobody_and_makes_nothing(self, project: Project) -> None:
        project.pipeline({"a": "true"})
        before = project.files()
        assert project.run("--guard", "fail", "--dry-run").code == 0
        assert project.files() == before
        with held(project):
            assert project.run("--guard", "fail", "--dry-run").code == 0


class TestFree:
    @pytest.mark.parametrize("guard", ["fail", "wait", "skip"])
    @pytest.mark.parametrize(("line", "code"), [("true", 0), ("false", 1)])
    def test_it_runs_as_without_and_lets_the_guard_go(
        self, project: Project, guard: str, line: str, code: int
    ) -> None:
        project.pipeline({"a": line})
        for _ in range(2):
            assert project.run("--guard", guard).code == code
        assert [path.name for path in (project.root / ".lorchestra/locks").iterdir()] == ["p.lock"]
        with held(project):
            pass

    @needs_posix
    def test_an_interrupted_run_lets_it_go(self, project: Project) -> None:
        project.pipeline({"a": until(project, "a")})
        with project.started(*command("fail")) as running:
            eventually((project.root / "a.began").exists)
            running.send_signal(signal.SIGINT)
            assert ended(running).code == 130
        with held(project):
            pass

    def test_a_file_system_without_locks_is_one_clear_line(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fcntl = pytest.importorskip("fcntl")

        def flock(_descriptor: int, _operation: int) -> None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

        project.pipeline({"a": ": > ran"})
        monkeypatch.setattr(fcntl, "flock", flock)
        for guard in ("fail", "wait", "skip"):
            done = project.run("--guard", guard, "--json")
            assert (done.code, done.stdout) == (3, b"")
            assert re.fullmatch(
                r"lorchestra: .*/p\.lock: the guard's file cannot be locked: .*\n", done.err
            )
        assert not (project.root / "ran").exists()
        assert project.store.run_ids() == []


@needs_posix
class TestKilled:
    JOBS = ("shell", "call")

    @pytest.mark.parametrize("kind", JOBS)
    def test_a_job_that_outlives_its_run_keeps_the_guard_and_the_run_is_named(
        self, project: Project, kind: str
    ) -> None:
        line = until(project, "a")
        project.write(
            "work.py", f"import subprocess\ndef work(): subprocess.run({line!r}, shell=1)"
        )
        apart = {"call": "work:work", "env": {"APART": "1"}}  # in a process of its own
        project.pipeline({"a": apart if kind == "call" else line})
        with project.started(*command("fail")) as running:
            eventually((project.root / "a.began").exists)
            running.kill()
            running.wait()
        (run_id,) = project.store.run_ids()
        try:
            for _ in range(2):
                done = project.run("--guard", "fail")
                assert done.code == 75
                assert f"is held by run {run_id} (" in done.err
                assert f"pid {running.pid}" in done.err
            assert project.store.run_ids() == [run_id]
            assert project.store.read(run_id).status == "crashed"
        finally:
            (project.root / "a.go").touch()
        assert project.run("--guard", "wait").code == 0
        assert len(project.store.run_ids()) == 2
        assert project.store.verify().ok

    def test_one_without_a_job_at_work_frees_it(self, project: Project) -> None:
        """A function in a thread of the killed process has ended with it."""
        project.write("work.py", "import time\ndef work(): open('a.began', 'w'); time.sleep(3600)")
        project.pipeline({"a": {"call": "work:work"}})
        with project.started(*command("fail")) as running:
            eventually((project.root / "a.began").exists)
            assert project.run("--guard", "fail").code == 75
            running.kill()
            running.wait()
        project.pipeline({"a": "true"})
        assert project.run("--guard", "fail").code == 0


class TestResume:
    """A run at work keeps its resume from starting, as another run of the pipeline does."""

    LINE = "echo a >> ran; while [ ! -e go-on ]; do sleep 0.02; done; test -e ok"

    @pytest.fixture
    def failed(self, project: Project) -> Project:
        project.pipeline({"a": self.LINE})
        project.write("go-on")
        assert project.run().code == 1
        (project.root / "go-on").unlink()
        (project.root / "ran").unlink()
        return project

    def test_skip_leaves_it_to_the_other(self, failed: Project) -> None:
        with failed.started("pipeline", "p", "--resume", "--guard", "skip") as running:
            eventually((failed.root / "ran").exists)
            done = failed.process("pipeline", "p", "--resume", "--guard", "skip", "--json")
            assert done.code == 0
            assert done.json["status"] == "skipped"
            assert done.json["held_by"]["pid"] == running.pid
            assert "this run is skipped" in done.err
            failed.write("ok")
            failed.write("go-on")
            assert ended(running).code == 0

    def test_wait_goes_on_when_the_other_is_over(self, failed: Project) -> None:
        with failed.started("pipeline", "p", "--resume", "--guard", "wait") as running:
            eventually((failed.root / "ran").exists)
            with failed.started("pipeline", "p", "--resume", "--guard", "wait") as waiting:
                assert waiting.stderr is not None
                assert b"; waiting for it" in waiting.stderr.readline()
                failed.write("go-on")
                assert ended(running).code == 1
                failed.write("ok")
                done = ended(waiting)
        assert done.code in {0, 1}  # it may have begun before `ok` was there
        assert (failed.root / "ran").read_text().split() == ["a", "a"]

    def test_fail_is_75(self, failed: Project) -> None:
        with failed.started("pipeline", "p", "--resume", "--guard", "fail") as running:
            eventually((failed.root / "ran").exists)
            assert failed.process("pipeline", "p", "--resume", "--guard", "fail").code == 75
            failed.write("go-on")
            ended(running)
