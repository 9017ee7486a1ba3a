"""`hooks:` what is done when a run begins and ends, which changes nothing about it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lorchestra import Hook, Hooks, Pipeline, Shell, Stage, run_pipeline
from lorchestra.progress import Event, HookFailed
from runstore import RunStore
from tests.lorchestra.cli.commands import Done, Project, ended
from tests.lorchestra.running import check_complete, eventually, is_running, shell

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")

NOTE = "echo $LORCHESTRA_HOOK {0} $LORCHESTRA_RUN_STATUS >> told"
EACH = {
    moment: [NOTE.format(1), NOTE.format(2)]
    for moment in ("on_start", "on_success", "on_failure", "on_finish")
}


def told(project: Project) -> list[str]:
    path = project.root / "told"
    return path.read_text().splitlines() if path.exists() else []


def hook_errors(done: Done) -> list[str]:
    return [line for line in done.errors if line.startswith("lorchestra: hook ")]


def has_ended(pid: int) -> bool:
    return not is_running(pid)


def checked(project: Project) -> None:
    """The record is in order, whatever the hooks did."""
    for run_id in project.store.run_ids():
        check_complete(project.store, run_id)


class TestMoments:
    def test_after_a_success(self, project: Project) -> None:
        project.pipeline({"a": "echo job >> told"}, hooks=EACH)
        assert project.run().code == 0
        assert told(project) == [
            *("on_start 1 running", "on_start 2 running", "job"),
            *("on_success 1 succeeded", "on_success 2 succeeded"),
            *("on_finish 1 succeeded", "on_finish 2 succeeded"),
        ]
        checked(project)

    def test_after_a_failure(self, project: Project) -> None:
        project.pipeline({"a": "exit 3"}, hooks=EACH)
        assert project.run().code == 1
        assert told(project)[2:] == [
            *("on_failure 1 failed", "on_failure 2 failed"),
            *("on_finish 1 failed", "on_finish 2 failed"),
        ]
        checked(project)

    def test_after_an_interrupt(self, project: Project) -> None:
        project.pipeline({"a": ": > began; sleep 600"}, hooks=EACH)
        with project.started("pipeline", "p") as running:
            eventually((project.root / "began").exists)
            running.send_signal(signal.SIGTERM)
            assert ended(running).code == 143
        assert told(project)[2:4] == ["on_failure 1 interrupted", "on_failure 2 interrupted"]
        assert len(told(project)) == 6
        checked(project)

    def test_each_time_a_run_is_gone_on_with(self, project: Project) -> None:
        project.pipeline({"a": "test -e there"}, hooks=EACH)
        assert project.run("--run-key", "k").code == 1
        project.write("there")
        assert project.run("--run-key", "k").code == 0
        assert told(project)[6:10] == [
            *("on_start 1 running", "on_start 2 running"),
            *("on_success 1 succeeded", "on_success 2 succeeded"),
        ]

    def test_never_when_nothing_is_run(self, project: Project) -> None:
        path = project.pipeline({"a": "true"}, hooks=EACH)
        assert project.run("--dry-run").code == 0
        assert project.run("--param", "x=1").code == 2
        with RunStore(project.store.path, "os", "filelock").create_run("p") as run:
            assert project.run("--guard", "fail").code == 75
            assert project.run("--guard", "skip").code == 0
            assert project.run(f"--resume={run.id}").code == 75
        with project.store.hold_key("p", "k"):
            assert project.run("--run-key", "k").code == 75
        assert told(project) == []
        assert project.run("--run-key", "k").code == 0
        before = told(project)
        assert project.run("--run-key", "k").code == 0
        assert project.run("--resume").code == 0
        assert told(project) == before
        path.write_text(path.read_text().replace("on_start", "on_strat"))
        assert project.run().code == 2
        assert told(project) == before

    def test_those_of_the_project_come_after_those_of_the_pipeline(self, project: Project) -> None:
        project.write(
            "lorchestra.toml",
            "[hooks]\n"
            "on_finish = ['echo project $LORCHESTRA_PIPELINE_ID >> told', "
            "{command = ['touch', 'touched'], timeout = '5s'}]\n",
        )
        project.pipeline({"a": "true"}, hooks={"on_finish": ["echo pipeline >> told"]})
        assert project.run().code == 0
        assert told(project) == ["pipeline", "project p"]
        assert (project.root / "touched").exists()


class TestGiven:
    def test_a_command_gets_its_variables_and_the_run_as_json(self, project: Project) -> None:
        tell = (
            "import json, os, sys; text = sys.stdin.read(); names = sorted(os.environ); "
            "mine = {n: os.environ[n] for n in names if n[:11] == 'LORCHESTRA_'}; "
            "print(json.dumps([text, mine]), file=open(os.environ['LORCHESTRA_HOOK'], 'w'))"
        )
        command = {"command": [sys.executable, "-c", tell]}
        moments = ("on_start", "on_failure", "on_finish")
        project.pipeline({"a": "exit 3"}, hooks={moment: [command] for moment in moments})
        done = project.run("--json")
        for moment, status in zip(moments, ("running", "failed", "failed"), strict=True):
            text, variables = json.loads((project.root / moment).read_text())
            assert text == ("" if moment == "on_start" else done.out.removesuffix("\n"))
            assert variables == {
                "LORCHESTRA_RUN_ID": done.json["run_id"],
                "LORCHESTRA_PIPELINE_ID": "p",
                "LORCHESTRA_HOOK": moment,
                "LORCHESTRA_RUN_STATUS": status,
                "LORCHESTRA_STORE": project.store.path,
            }

    def test_the_variables_of_a_job_that_started_us_are_not_the_hooks(
        self, project: Project
    ) -> None:
        names = [*("LORCHESTRA_JOB_ID", "LORCHESTRA_ATTEMPT"), "LORCHESTRA_OUTPUT"]
        shown = " ".join(f"[${name}]" for name in names)
        project.pipeline({"b": "true"}, name="q.yaml", hooks={"on_finish": [f"echo {shown} > q"]})
        project.pipeline({"a": f"{sys.executable} -m lorchestra pipeline q"})
        assert project.run().code == 0
        assert (project.root / "q").read_text() == "[] [] []\n"

    def test_values_stand_for_references_and_cannot_become_commands(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PLACE", "a 'b' $(touch hacked); touch hacked")
        project.write("key.txt", "sword fish\n")
        hooks = {
            "on_success": [
                "printf '%s\\n' ${params.day} ${payload.more} ${env.PLACE} ${env.KEY} > told",
                {"command": ["sh", "-c", 'echo "$1" >> told', "x", "${params.day}"]},
            ]
        }
        project.pipeline(
            {"a": "true"},
            params={"day": "today"},
            secrets=[{"KEY": {"file": "key.txt"}}],
            hooks=hooks,
        )
        evil = "`touch hacked`"
        assert project.run("--param", f"day={evil}", "--param", "more=\n;").code == 0
        place = os.environ["PLACE"]
        assert told(project) == [evil, "", ";", place, "sword fish", evil]
        assert not (project.root / "hacked").exists()

    def test_a_run_that_had_its_parameters_recorded_gives_them_again(
        self, project: Project
    ) -> None:
        project.pipeline(
            {"a": "test -e there"},
            params={"n": 1},
            hooks={"on_finish": ["echo ${params.n} >>told"]},
        )
        assert project.run("--param", "n=7").code == 1
        project.write("there")
        assert project.run("--resume").code == 0
        assert told(project) == ["7", "7"]


FAILING = ["echo one; echo two >&2; exit 3", "kill -9 $$", {"command": ["no-such-program"]}]


class TestFailing:
    @pytest.mark.parametrize(("line", "code"), [("true", 0), ("exit 3", 1)])
    @pytest.mark.parametrize("progress", ["plain", "none"])
    def test_each_is_one_line_and_changes_nothing(
        self, project: Project, line: str, code: int, progress: str
    ) -> None:
        moment = "on_failure" if code else "on_success"
        project.pipeline(
            {"a": line}, hooks={moment: FAILING, "on_start": ["exit 5"], "on_finish": [NOTE]}
        )
        done = project.run("--json", "--progress", progress)
        assert done.code == code
        assert done.json["status"] == ("failed" if code else "succeeded")
        first, second, third, fourth = hook_errors(done)
        assert first == "lorchestra: hook on_start 1 failed: exit code 5"
        assert second == f"lorchestra: hook {moment} 1 failed: exit code 3: two"
        assert third == f"lorchestra: hook {moment} 2 failed: signal 9 (SIGKILL)"
        assert fourth.startswith(f"lorchestra: hook {moment} 3 failed: cannot start 'no-such-")
        assert len(told(project)) == 1
        assert done.stdout == project("runs", "show", "--json").stdout
        checked(project)

    def test_secrets_are_masked_in_that_line(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TOKEN", "swordfish")
        project.pipeline(
            {"a": "true"},
            secrets=["TOKEN"],
            hooks={
                "on_finish": [
                    "echo got $TOKEN; exit 1",
                    {"command": ["${env.TOKEN}"]},
                    "head -c 20000 /dev/zero | tr '\\0' x; echo $TOKEN; exit 1",
                ]
            },
        )
        done = project.run()
        assert "swordfish" not in done.err
        first, second, third = hook_errors(done)
        assert first.endswith("exit code 1: got ***")
        assert "cannot start '***'" in second
        assert len(third) < 700

    def test_one_that_hangs_is_stopped_with_all_that_it_started(self, project: Project) -> None:
        hang = "sleep 600 & echo $! > child; setsid sleep 601 & echo $! > away; trap '' TERM; wait"
        project.pipeline(
            {"a": "true"},
            grace="200ms",
            hooks={"on_success": [{"run": f"{hang}; wait", "timeout": "300ms"}, NOTE]},
        )
        done = project.run()
        (error,) = hook_errors(done)
        assert (done.code, "timed out: it may take 300ms" in error) == (0, True)
        for name in ("child", "away"):
            pid = int((project.root / name).read_text())
            eventually(partial(has_ended, pid))
        assert len(told(project)) == 1
        checked(project)

    def test_one_that_prints_a_lot_costs_neither_memory_nor_lines(self, project: Project) -> None:
        project.pipeline(
            {"a": "true"}, hooks={"on_finish": ["head -c 50000000 /dev/zero; echo end; exit 1"]}
        )
        done = project.run()
        (error,) = hook_errors(done)
        assert done.code == 0
        assert len(error) < 3000
        assert project.store.stats().size_bytes < 100_000

    def test_what_one_leaves_in_the_background_is_not_waited_for(self, project: Project) -> None:
        project.pipeline(
            {"a": "true"},
            hooks={"on_finish": ["yes & echo $! > pid", "sleep 600 & echo $! > pid2", NOTE]},
        )
        done = project.run()
        assert (done.code, hook_errors(done)) == (0, [])
        for name in ("pid", "pid2"):
            pid = int((project.root / name).read_text())
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)
            eventually(partial(has_ended, pid))
        assert len(told(project)) == 1

    def test_one_that_does_not_read_a_long_summary_is_not_waited_for(
        self, project: Project
    ) -> None:
        jobs = {f"job{number:04}-{'x' * 400}": "true" for number in range(200)}
        project.pipeline(jobs, hooks={"on_finish": ["true", "cat > summary"]})
        done = project.run("--json", "--max-workers", "2")
        assert (done.code, hook_errors(done)) == (0, [])
        assert (project.root / "summary").read_bytes() == done.stdout.removesuffix(b"\n")
        assert len(done.stdout) > 1 << 17

    def test_a_second_interrupt_ends_them(self, project: Project) -> None:
        hooks = {"on_failure": [": > hooked; exec sleep 600", NOTE], "on_finish": [NOTE]}
        project.pipeline({"a": ": > began; exec sleep 600"}, hooks=hooks)
        with project.started("pipeline", "p") as running:
            eventually((project.root / "began").exists)
            running.send_signal(signal.SIGINT)
            eventually((project.root / "hooked").exists)
            running.send_signal(signal.SIGINT)
            done = ended(running)
        assert done.code == 130
        first, second, third = hook_errors(done)
        assert first.startswith("lorchestra: hook on_failure 1 failed: stopped with the run")
        assert second == "lorchestra: hook on_failure 2 failed: not run: stopped"
        assert third == "lorchestra: hook on_finish 1 failed: not run: stopped"
        assert told(project) == []
        checked(project)

    def test_an_interrupt_during_the_hooks_alone_leaves_the_exit_code(
        self, project: Project
    ) -> None:
        project.pipeline({"a": "true"}, hooks={"on_success": [": > hooked; exec sleep 600"]})
        with project.started("pipeline", "p", "--json") as running:
            eventually((project.root / "hooked").exists)
            running.send_signal(signal.SIGINT)
            done = ended(running)
        assert (done.code, done.json["status"]) == (0, "succeeded")
        checked(project)

    def test_an_interrupt_at_the_start_interrupts_the_run(self, project: Project) -> None:
        project.pipeline({"a": ": > ran"}, hooks={"on_start": [": > hooked; exec sleep 600", NOTE]})
        with project.started("pipeline", "p") as running:
            eventually((project.root / "hooked").exists)
            running.send_signal(signal.SIGINT)
            done = ended(running)
        assert (done.code, (project.root / "ran").exists()) == (130, False)
        assert len(hook_errors(done)) == 2
        checked(project)

    def test_a_function_of_a_job_does_not_catch_what_they_say(self, project: Project) -> None:
        project.write("work.py", "def work(): print('out')")
        project.pipeline({"a": {"call": "work:work"}}, hooks={"on_finish": ["exit 1"]})
        assert len(hook_errors(project.run())) == 1


class TestNotWritten:
    def test_a_run_whose_record_cannot_be_written_has_failed(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project.pipeline({"a": "true"}, {"b": "true"}, hooks=EACH)

        def full(*_arguments: object, **_fields: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("runstore.writing.run.AttemptLog.end", full)
        assert project.run().code == 3
        assert told(project)[2:] == [
            *("on_failure 1 crashed", "on_failure 2 crashed"),
            *("on_finish 1 crashed", "on_finish 2 crashed"),
        ]

    def test_one_that_cannot_even_be_begun_too(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hooks = {
            "on_start": [NOTE],
            "on_failure": ["cat > summary; echo [$LORCHESTRA_RUN_ID] ${params.n} >> told"],
        }
        project.pipeline({"a": "true"}, params={"n": 1}, hooks=hooks)

        def full(*_arguments: object, **_fields: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("runstore.store.RunStore.create_run", full)
        assert project.run("--param", "n=2").code == 3
        assert told(project) == ["[] 2"]
        assert json.loads((project.root / "summary").read_text()) == {
            "run_id": None,
            "pipeline_id": "p",
            "status": "failed",
            "success": False,
        }


class Server(ThreadingHTTPServer):
    """Answers every POST with one code, and keeps what came."""

    def __init__(self, code: int = 200, location: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.code, self.location = code, location
        self.got: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(("POST", self.path, dict(self.headers.items()), body))
        self.send_response(self.server.code)
        if self.server.location is not None:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.server.got.append(("GET", self.path, {}, b""))

    def log_message(self, *_arguments: Any) -> None:
        pass


@contextmanager
def serving(code: int = 200, location: str | None = None) -> Iterator[Server]:
    with Server(code, location) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class TestWebhooks:
    @pytest.fixture(autouse=True)
    def directly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Through no proxy of the machine."""
        monkeypatch.setenv("no_proxy", "*")

    def test_the_run_is_sent_as_json(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TOKEN", "swordfish")
        with serving() as server:
            hook = {
                "url": f"{server.url}/${{params.day}}",
                "headers": {"Authorization": "Bearer ${env.TOKEN}", "X-Number": 5},
            }
            project.pipeline(
                {"a": "exit 1"},
                params={"day": "mon"},
                secrets=["TOKEN"],
                hooks={"on_start": [hook], "on_failure": [hook]},
            )
            done = project.run("--json")
        assert hook_errors(done) == []
        (_, path, headers, body), (_, _, _, after) = server.got
        assert (path, headers["Authorization"]) == ("/mon", "Bearer swordfish")
        assert (headers["X-Number"], headers["Content-Type"]) == ("5", "application/json")
        assert json.loads(body)["status"] == "running"
        assert json.loads(after) == done.json

    @pytest.mark.parametrize("code", [404, 500])
    def test_an_error_of_the_server_is_one_line(self, project: Project, code: int) -> None:
        with serving(code) as server:
            project.pipeline({"a": "true"}, hooks={"on_finish": [{"url": server.url}]})
            done = project.run()
        (error,) = hook_errors(done)
        assert error.startswith(f"lorchestra: hook on_finish 1 failed: HTTP {code} ")
        assert done.code == 0

    def test_no_redirect_is_followed(self, project: Project) -> None:
        with serving() as other, serving(302, other.url) as server:
            project.pipeline({"a": "true"}, hooks={"on_finish": [{"url": server.url}]})
            (error,) = hook_errors(project.run())
        assert "HTTP 302" in error
        assert (len(server.got), other.got) == (1, [])

    def test_one_that_does_not_answer_is_stopped(self, project: Project) -> None:
        import socket

        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            project.pipeline(
                {"a": "true"}, hooks={"on_finish": [{"url": url, "timeout": "1s"}, NOTE]}
            )
            (error,) = hook_errors(project.run())
        assert "timed out" in error
        assert len(told(project)) == 1

    def test_nobody_there_and_no_address_are_one_line_each(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FILE", "file:///etc/passwd")
        monkeypatch.setenv("BAD", "http://127.0.0.1:1/a b\r\nX: y")
        monkeypatch.setenv("LINES", "a\r\nX: y")
        nobody = "http://127.0.0.1:1/"
        urls = [{"url": nobody}, {"url": "${env.FILE}"}, {"url": "${env.BAD}"}]
        split = {"url": nobody, "headers": {"A": "${env.LINES}"}}
        project.pipeline({"a": "true"}, hooks={"on_finish": [*urls, split]})
        done = project.run()
        assert done.code == 0
        errors = hook_errors(done)
        assert len(errors) == 4
        assert "refused" in errors[0]
        assert errors[1].endswith("a webhook is an http:// or https:// address")


class TestMistakes:
    @pytest.mark.parametrize(
        ("hooks", "told"),
        [
            ([], "hooks must be a mapping, not a list"),
            ({"on_sucess": []}, "unknown key 'on_sucess' (did you mean on_success?)"),
            ({"on_start": "true"}, "on_start must be a list, not 'true'"),
            ({"on_start": [""]}, "a hook must not be empty"),
            ({"on_start": [{}]}, "a hook needs one of run, command or url"),
            (
                {"on_start": [{"run": "a", "url": "http://a"}]},
                "one of run, command or url, not run and",
            ),
            ({"on_start": [{"run": "a", "headers": {}}]}, "headers may only stand beside url"),
            ({"on_start": [{"url": "ftp://a"}]}, "url must be an http:// or https:// address"),
            (
                {"on_start": [{"url": "http://a", "headers": {"a b": ""}}]},
                "'a b' in headers cannot",
            ),
            ({"on_start": [{"run": "a", "timeout": 0}]}, "timeout must be longer than nothing"),
            ({"on_start": ["echo ${params.dya}"]}, "unknown parameter 'dya' (did you mean day?)"),
            ({"on_start": ["echo ${run.a.x}"]}, "can refer to params, payload and env alone"),
            ({"on_start": [{"url": "http://a/${item.x}"}]}, "can refer to params, payload and env"),
            ({"on_start": ["cat <<'E'\n${params.day}\nE\n"]}, "params.day"),
        ],
    )
    def test_they_are_told_with_their_place(self, project: Project, hooks: Any, told: str) -> None:
        project.pipeline({"a": ": > ran"}, params={"day": 1}, hooks=hooks)
        done = project("validate", "p.yaml")
        assert done.code == 2
        assert told in done.out + done.err
        assert "p.yaml:1:" in done.out + done.err
        assert project.run().code == 2
        assert not (project.root / "ran").exists()

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ("hooks = 1", "hooks must be a mapping, not 1"),
            ("hooks = {on_strat = []}", "unknown key 'on_strat' (did you mean on_start?)"),
            ("hooks = {on_start = [{url = 'x'}]}", "url must be an http:// or https:// address"),
            ("hooks = {on_start = ['echo ${params.day}']}", "unknown parameter 'day'"),
        ],
    )
    def test_in_the_configuration_too(self, project: Project, line: str, told: str) -> None:
        project.pipeline({"a": ": > ran"}, params={"day": 1})
        project.write("lorchestra.toml", line)
        done = project.run()
        assert (done.code, len(done.errors)) == (2, 1)
        assert done.err.startswith("lorchestra: lorchestra.toml: hooks: ")
        assert told in done.err
        assert not (project.root / "ran").exists()

    def test_a_variable_that_is_not_set_is_told_before_anything_runs(
        self, project: Project
    ) -> None:
        project.pipeline({"a": ": > ran"}, hooks={"on_failure": ["echo ${env.NO_SUCH_TOKEN}"]})
        for arguments in ((), ("--dry-run",)):
            done = project.run(*arguments)
            assert done.code == 2
            assert "a hook: '${env.NO_SUCH_TOKEN}': the environment variable" in done.err
        assert not (project.root / "ran").exists()


def test_from_python_a_failure_is_an_event(tmp_path: Path) -> None:
    store, events = RunStore(tmp_path / "store", "os"), list[Event]()
    hooks = Hooks(on_start=(Hook(Shell("true")),), on_finish=(Hook(Shell("exit 4"), 5.0),))
    stages = (Stage("s", (shell("a", "true"),)),)
    pipeline = Pipeline("p", stages, tmp_path, hooks=hooks)
    result = run_pipeline(pipeline, store, handlers=[events.append])
    assert result.succeeded
    assert events[-1] == HookFailed("on_finish", 1, "exit code 4")
    assert store.read(result.run_id).status == "succeeded"


def test_they_work_in_another_thread(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "store", "os")
    line = f"echo $LORCHESTRA_RUN_STATUS > {shlex.quote(str(tmp_path / 'told'))}"
    stages = (Stage("s", (shell("a", "true"),)),)
    pipeline = Pipeline("p", stages, tmp_path, hooks=Hooks(on_finish=(Hook(Shell(line)),)))
    thread = threading.Thread(target=run_pipeline, args=(pipeline, store))
    thread.start()
    thread.join()
    assert (tmp_path / "told").read_text() == "succeeded\n"
