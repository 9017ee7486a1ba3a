"""What functions print goes to their own logs, however they print it."""

from __future__ import annotations

import io
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from lorchestra.capture import LogStream, captured, printing_to
from tests.lorchestra.running import Runner, call, driver, module


class TestFunctions:
    def test_what_several_print_at_once_never_mixes(self, run: Runner) -> None:
        name = module(
            run.root,
            """
            import lorchestra, sys, threading
            everybody = threading.Barrier(4)
            def talk():
                me = lorchestra.current_job().job_id
                everybody.wait(20)
                for n in range(300):
                    print(me, n)
                    print(me, n, file=sys.stderr)
            """,
        )
        ran = run(*(call(job, f"{name}:talk") for job in "abcd"), workers=4)
        for job in "abcd":
            lines = "".join(f"{job} {n}\n{job} {n}\n" for n in range(300))
            assert ran.log(job).decode() == lines

    def test_what_one_leaves_in_place_of_the_streams_is_gone_for_the_next(
        self, run: Runner
    ) -> None:
        name = module(
            run.root,
            """
            import io, sys
            def spoil():
                sys.stdout = sys.stderr = io.StringIO()
                sys.stdin = None
            def talk():
                print("out", repr(sys.stdin.read()))
                print("err", file=sys.stderr)
            """,
        )
        ran = run(call("a", f"{name}:spoil"), call("b", f"{name}:talk"))
        assert ran.statuses() == {"a": "succeeded", "b": "succeeded"}
        assert ran.log("b") == b"out ''\nerr\n"

    def test_every_way_to_print_leads_there(
        self, run: Runner, capfd: pytest.CaptureFixture[str]
    ) -> None:
        name = module(
            run.root,
            """
            import logging, subprocess, sys
            handler = logging.StreamHandler()
            logger = logging.getLogger(__name__)
            logger.propagate = False
            logger.addHandler(handler)
            def talk(word):
                print(word, "print")
                print(word, "stderr", file=sys.stderr, flush=True)
                sys.stdout.write(f"{word} write\\n")
                sys.stdout.writelines([f"{word} writelines\\n"])
                sys.stdout.buffer.write(f"{word} bytes \\xff\\n".encode("latin-1"))
                logger.warning("%s logging", word)
                subprocess.run(["echo", word, "subprocess"], stdout=sys.stdout, check=True)
                print(word, "surrogate \\udcff", "é")
                with sys.stdout as stream:
                    print(word, "with", file=stream)
                print(word, sys.stdout.encoding, sys.stdout.isatty(), sys.stdout.closed)
            """,
        )
        jobs = [call(job, f"{name}:talk", {"word": job * 3}) for job in "ab"]
        ran = run(*jobs, workers=2)
        assert ran.statuses() == {"a": "succeeded", "b": "succeeded"}, ran.log("a")
        for job in "ab":
            lines = ran.log(job).splitlines()
            said = [b"print", b"stderr", b"write", b"writelines", b"bytes \xff", b"logging"]
            said += [b"subprocess", b"surrogate \\udcff \xc3\xa9", b"with", b"utf-8 False False"]
            assert lines == [job.encode() * 3 + b" " + words for words in said]
        assert capfd.readouterr() == ("", "")

    def test_the_threads_that_a_function_starts_print_there_too(self, run: Runner) -> None:
        name = module(
            run.root,
            """
            import lorchestra, threading
            from concurrent.futures import ThreadPoolExecutor
            class Talker(threading.Thread):
                def run(self):
                    print("subclass", lorchestra.current_job().job_id)
            def talk(job):
                def say(word):
                    print(f"{word} {lorchestra.current_job().job_id}\\n", end="")
                def deep():
                    thread = threading.Thread(target=say, args=("deep",))
                    thread.start()
                    thread.join()
                for thread in (
                    threading.Thread(target=say, args=("thread",)),
                    threading.Timer(0, say, ["timer"]),
                    threading.Thread(target=deep),
                    Talker(),
                ):
                    thread.start()
                    thread.join()
                with ThreadPoolExecutor(2) as pool:
                    list(pool.map(say, ["pool"] * 20))
                say("itself")
            """,
        )
        ran = run(*(call(job, f"{name}:talk", {"job": job}) for job in "ab"), workers=2)
        words = ["thread", "timer", "deep", "subclass", *["pool"] * 20, "itself"]
        for job in "ab":
            assert sorted(ran.log(job).decode().splitlines()) == sorted(f"{w} {job}" for w in words)

    def test_what_a_thread_prints_that_outlives_its_function_never_reaches_another_file(
        self, run: Runner, capfd: pytest.CaptureFixture[str]
    ) -> None:
        name = module(
            run.root,
            """
            import sys, threading
            goes_on, ended = threading.Event(), threading.Event()
            def leave_behind():
                def late():
                    goes_on.wait(20)
                    print("stray")
                    sys.stdout.close()
                    print("stray again")
                    ended.set()
                threading.Thread(target=late).start()
            def let_go_on():
                goes_on.set()
                ended.wait(20)
                print("mine")
            """,
        )
        ran = run(call("a", f"{name}:leave_behind"), call("b", f"{name}:let_go_on"))
        assert (ran.log("a"), ran.log("b")) == (b"", b"mine\n")
        assert capfd.readouterr() == ("", "stray\nstray again\n")
        assert not sys.stdout.closed

    def test_a_stream_of_others_can_be_closed_and_one_of_a_job_not(
        self, monkeypatch: pytest.MonkeyPatch, run: Runner
    ) -> None:
        real = io.StringIO()
        monkeypatch.setattr(sys, "stdout", real)
        name = module(run.root, "import sys\ndef close():\n  sys.stdout.close()\n  print('x')")
        assert run(call("a", f"{name}:close")).log("a") == b"x\n"
        assert not real.closed
        with captured():
            sys.stdout.close()
        assert real.closed

    def test_streams_that_a_function_left_changed_are_put_back(self, run: Runner) -> None:
        name = module(
            run.root,
            """
            import contextlib, io, threading
            entered, left = threading.Barrier(2), threading.Event()
            def redirect(first):
                # In this order each puts back what the other had put there.
                if not first:
                    entered.wait(20)
                with contextlib.redirect_stdout(io.StringIO()):
                    if first:
                        entered.wait(20)
                        threading.Event().wait(0.05)
                    else:
                        left.wait(20)
                left.set()
            """,
        )
        before = sys.stdout
        jobs = [call(str(first), f"{name}:redirect", {"first": first}) for first in (True, False)]
        assert run(*jobs, workers=2).result.succeeded
        assert sys.stdout is before

    def test_what_others_print_meanwhile_is_theirs(
        self, run: Runner, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(call("a", "os:getpid"), handlers=[lambda event: print(type(event).__name__)])
        out = capsys.readouterr().out.split()
        assert out[0] == "RunStarted"
        assert out[-1] == "RunFinished"


class TestStreams:
    @pytest.fixture
    def log(self, tmp_path: Path) -> Any:
        with open(tmp_path / "log", "ab") as file:
            yield file

    def test_outside_of_jobs_the_real_streams_are_used(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = io.StringIO()
        monkeypatch.setattr(sys, "stdout", real)
        monkeypatch.setattr(sys, "stdin", io.StringIO("a\nb\n"))
        with captured():
            print("x")
            assert [*sys.stdin] == ["a\n", "b\n"]
        assert sys.stdout is real
        assert real.getvalue() == "x\n"

    def test_it_may_be_entered_several_times_and_the_last_one_out_puts_back(self) -> None:
        before = sys.stdin, sys.stdout, sys.stderr, threading.Thread.start
        with captured():
            inside = sys.stdin, sys.stdout, sys.stderr, threading.Thread.start
            assert not any(new is old for new, old in zip(inside, before, strict=True))
            with captured():
                assert (sys.stdin, sys.stdout, sys.stderr, threading.Thread.start) == inside
            assert (sys.stdin, sys.stdout, sys.stderr, threading.Thread.start) == inside
        assert (sys.stdin, sys.stdout, sys.stderr, threading.Thread.start) == before

    def test_a_function_that_is_given_up_prints_to_its_log_after_the_run(
        self, log: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = io.StringIO()
        monkeypatch.setattr(sys, "stdout", real)
        is_inside, is_over = threading.Event(), threading.Event()

        def go() -> None:
            with printing_to(log.fileno()):
                is_inside.set()
                is_over.wait()
                print("stray")

        thread = threading.Thread(target=go)
        with captured():
            thread.start()
            is_inside.wait()
        print("data of the program")
        is_over.set()
        thread.join()
        assert real.getvalue() == "data of the program\n"
        assert (tmp_path / "log").read_text() == "stray\n"
        assert sys.stdout is real

    def test_threads_of_others_do_not_enter_the_context_of_a_job(self, log: Any) -> None:
        with captured():
            ran = threading.Event()
            thread = threading.Thread(target=ran.set)
            thread.start()
            thread.join()
        assert ran.is_set()
        assert "run" not in vars(thread)

    def test_where_threads_inherit_the_context_by_themselves_nothing_is_changed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Flags:
            thread_inherit_context = True

        monkeypatch.setattr(sys, "flags", Flags())
        start = threading.Thread.start
        with captured():
            assert threading.Thread.start is start

    def test_a_log_stream_writes_at_once_and_has_a_descriptor_of_its_own(
        self, log: Any, tmp_path: Path
    ) -> None:
        stream = LogStream(log.fileno())
        stream.write("first")
        assert (tmp_path / "log").read_text() == "first"
        log.close()
        with open(tmp_path / "other", "wb") as other:
            assert other.fileno() != stream.fileno()
            stream.write(" second")
        stream.close()
        assert (tmp_path / "log").read_text() == "first second"
        assert (tmp_path / "other").read_bytes() == b""

    def test_the_end_of_the_context_ends_it_even_by_an_error(
        self, log: Any, tmp_path: Path
    ) -> None:
        descriptors = len(os.listdir("/proc/self/fd"))

        def go() -> None:
            with captured(), pytest.raises(ValueError, match="x"):
                print_and_raise()

        def print_and_raise() -> None:
            with printing_to(log.fileno()):
                print("into the log")
                sys.stdout.buffer.close()
                raise ValueError("x")

        thread = threading.Thread(target=go)
        thread.start()
        thread.join()
        assert (tmp_path / "log").read_text() == "into the log\n"
        assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_process_started_without_standard_streams_runs_calls_all_the_same(run: Runner) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("stdin", "stdout", "stderr"):
            patch.setattr(sys, name, None)
        ran = run(call("a", "builtins:print"), call("b", "os:getpid"), workers=2)
    assert ran.result.succeeded
    assert ran.log("a") == b"\n"


def test_a_warning_goes_to_the_log_of_the_job_that_earned_it(tmp_path: Path) -> None:
    name = module(
        tmp_path,
        """
        import warnings
        def warn(text):
            warnings.warn(text)
        """,
    )
    jobs = [call(job, f"{name}:warn", {"text": f"of {job}"}) for job in "ab"]
    with driver(tmp_path, jobs, workers=2) as running:
        running.wait()
        ran = running.ran()
    for job in "ab":
        assert ran.log(job).decode().splitlines()[0].endswith(f"UserWarning: of {job}")
