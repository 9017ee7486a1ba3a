"""A pipeline from its first record to its last: what starts when, and what is said of it."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lorchestra import Options, Pipeline, __version__, run_pipeline
from lorchestra.progress import (
    Event,
    JobFinished,
    JobNotRun,
    JobStarted,
    RunFinished,
    RunStarted,
    StageFinished,
    StageStarted,
)
from runstore import RecordError, RunStore
from tests.leaks import children, nothing_left_behind, open_descriptors
from tests.lorchestra.running import Ran, Runner, call, command, module, shell, stage

# Leaves a file in `here` and waits until there are enough, but not for ever.
TOGETHER = """
: > here/$LORCHESTRA_JOB_ID
turns=0
while set -- here/*; [ $# -lt {jobs} ]; do
    turns=$((turns + 1)); [ $turns -gt {turns} ] && exit 9; sleep 0.02
done
"""
# Counts the jobs that run, once eight have started, and ends when eight have counted.
COUNTING = """
wait_for_eight_in() {
    folder=$1 turns=0
    while set -- $folder/*; [ $# -lt 8 ]; do
        turns=$((turns + 1)); [ $turns -gt 1000 ] && exit 9; sleep 0.02
    done
}
: > running/$LORCHESTRA_JOB_ID
: > started/$LORCHESTRA_JOB_ID
(wait_for_eight_in started) || exit
set -- running/*; echo $# > counted/$LORCHESTRA_JOB_ID
(wait_for_eight_in counted) || exit
rm running/$LORCHESTRA_JOB_ID
"""
NOTE_ORDER = "echo $LORCHESTRA_JOB_ID >> order"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Where jobs leave files to find each other."""
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def together(jobs: int, turns: int = 1000) -> str:
    return TOGETHER.format(jobs=jobs, turns=turns)


class TestSideBySide:
    def test_four_jobs_run_at_once_with_four_workers(self, run: Runner, here: Path) -> None:
        ran = run(*(shell(name, together(4)) for name in "abcd"), workers=4)
        assert set(ran.statuses().values()) == {"succeeded"}

    def test_two_jobs_run_at_once_with_two_workers(self, run: Runner, here: Path) -> None:
        assert run(*(shell(name, together(2)) for name in "ab"), workers=2).result.succeeded

    def test_with_one_worker_jobs_wait_in_vain_for_each_other(
        self, run: Runner, here: Path
    ) -> None:
        ran = run(*(shell(name, together(4, turns=2)) for name in "abcd"))
        assert ran.statuses() == {"a": "failed", "b": "failed", "c": "failed", "d": "succeeded"}

    def test_functions_run_at_once(self, run: Runner) -> None:
        name = module(
            run.root,
            """
            import threading
            everybody = threading.Barrier(3)
            def wait():
                everybody.wait(20)
            """,
        )
        assert run(*(call(job, f"{name}:wait") for job in "abc"), workers=3).result.succeeded

    def test_of_24_jobs_8_run_at_once_with_8_workers_and_never_more(self, run: Runner) -> None:
        for folder in ("running", "started", "counted"):
            (run.root / folder).mkdir()
        ran = run(*(shell(f"job{n}", COUNTING) for n in range(24)), workers=8)
        assert ran.result.succeeded
        counts = [int(path.read_text()) for path in (run.root / "counted").iterdir()]
        assert len(counts) == 24
        assert max(counts) == 8
        assert counts.count(8) >= 8

    def test_a_stage_runs_no_more_jobs_at_once_than_it_allows(self, run: Runner) -> None:
        line = "mkdir alone || exit; sleep 0.02; rmdir alone"
        ran = run(stage(*(shell(name, line) for name in "abcd"), max_workers=1), workers=4)
        assert ran.result.succeeded
        assert ran.records("stage_begin")[0]["workers"] == 1

    def test_a_stage_decides_how_many_when_nobody_else_does(self, run: Runner, here: Path) -> None:
        jobs = [shell(name, together(3)) for name in "abc"]
        assert run(stage(*jobs, max_workers=3)).result.succeeded

    def test_there_are_no_more_workers_than_jobs(self, run: Runner) -> None:
        ran = run(
            stage(shell("a", ":"), shell("b", ":"), name="two"),
            stage(shell("c", ":"), name="one"),
            workers=8,
        )
        assert [record["workers"] for record in ran.records("stage_begin")] == [2, 1]

    def test_the_next_stage_starts_when_all_jobs_of_this_one_have_ended(self, run: Runner) -> None:
        ran = run(
            stage(
                shell("fast", "touch fast"), shell("slow", "sleep 0.1; touch slow"), name="first"
            ),
            stage(shell("next", "test -e fast && test -e slow"), name="second"),
            workers=2,
        )
        assert ran.result.succeeded


class TestOneWorker:
    def test_jobs_run_in_the_order_written(self, run: Runner) -> None:
        names = ["zoe", "abel", "mia", "ben", "kim"]
        run(*(shell(name, NOTE_ORDER) for name in names))
        assert (run.root / "order").read_text().split() == names

    def test_functions_run_in_the_main_thread_and_there_is_no_pool(self, run: Runner) -> None:
        name = module(
            run.root,
            """
            import threading
            def look():
                names = [thread.name for thread in threading.enumerate()]
                is_main = threading.current_thread() is threading.main_thread()
                return {"main": is_main, "pool": [n for n in names if n.startswith("lorchestra_")]}
            """,
        )
        looking = call("look", f"{name}:look")
        assert run(looking).attempt("look").output == {"main": True, "pool": []}
        ran = run(looking, call("other", f"{name}:look"), workers=2)
        in_pool = ran.attempt("look").output
        assert in_pool["main"] is False
        assert in_pool["pool"] != []

    def test_one_is_the_default(self, run: Runner) -> None:
        ran = run(shell("a", ":"), shell("b", ":"))
        assert ran.records("stage_begin")[0]["workers"] == 1
        assert ran.view.begin["max_workers"] is None


class TestFailure:
    def test_after_a_failure_everything_runs_all_the_same(self, run: Runner) -> None:
        ran = run(
            stage(shell("bad", "exit 3"), shell("good", ":"), name="first"),
            stage(shell("later", ":"), name="second"),
        )
        assert ran.statuses() == {"bad": "failed", "good": "succeeded", "later": "succeeded"}
        assert ran.view.status == ran.result.status == "failed"
        assert not ran.result.succeeded
        assert ran.view.end["counts"] == {"failed": 1, "succeeded": 2}

    @pytest.mark.parametrize("workers", [1, 2])
    def test_stop_on_failure_cancels_what_has_not_started_and_skips_what_is_later(
        self, run: Runner, workers: int
    ) -> None:
        waiting = "touch begun; until [ -e failed ]; do sleep 0.01; done; sleep 0.2; touch finished"
        begun = "while [ ! -e begun ]; do sleep 0.01; done; " if workers == 2 else ""
        jobs = [shell("bad", f"{begun}touch failed; exit 3"), shell("running", waiting)]
        rest = [shell(f"rest{n}", "touch must-not-be") for n in range(3)]
        ran = run(
            stage(shell("before", ":"), name="zero"),
            stage(*jobs, *rest, name="first"),
            stage(shell("later1", ":"), shell("later2", ":"), name="second"),
            stage(shell("last", ":"), name="third"),
            workers=workers,
            stop_on_failure=True,
        )
        running = "succeeded" if workers == 2 else "cancelled"
        assert ran.statuses() == {
            "before": "succeeded",
            "bad": "failed",
            "running": running,
            "rest0": "cancelled",
            "rest1": "cancelled",
            "rest2": "cancelled",
            "later1": "skipped",
            "later2": "skipped",
            "last": "skipped",
        }
        assert ran.view.status == "failed"
        assert (run.root / "finished").exists() == (workers == 2)
        assert not (run.root / "must-not-be").exists()
        reasons = {job.reason for job in ran.view.jobs.values() if not job.attempts}
        assert reasons == {"job 'bad' did not succeed"}
        assert [record["stage"] for record in ran.records("stage_begin")] == ["zero", "first"]
        assert [record["stage"] for record in ran.records("stage_end")] == ["zero", "first"]

    def test_a_failure_in_the_last_job_of_a_stage_skips_the_later_ones(self, run: Runner) -> None:
        ran = run(
            stage(shell("bad", "exit 1"), name="first"),
            stage(shell("later", ":"), name="second"),
            stop_on_failure=True,
        )
        assert ran.statuses() == {"bad": "failed", "later": "skipped"}

    @pytest.mark.parametrize(
        ("option", "of_stage", "of_pipeline", "stops"),
        [
            (None, None, False, False),
            (None, None, True, True),
            (None, False, True, False),
            (None, True, False, True),
            (False, True, True, False),
            (True, False, False, True),
        ],
    )
    def test_the_option_counts_before_the_stage_and_the_stage_before_the_pipeline(
        self,
        run: Runner,
        option: bool | None,
        of_stage: bool | None,
        of_pipeline: bool,
        stops: bool,
    ) -> None:
        bad = stage(shell("bad", "false"), shell("next", ":"), stop_on_failure=of_stage)
        ran = run(bad, stop_on_failure=option) if not of_pipeline else None
        if ran is None:
            ran = self._with_pipeline_rule(run, bad, option)
        assert ran.statuses()["next"] == ("cancelled" if stops else "succeeded")

    def _with_pipeline_rule(self, run: Runner, bad: object, option: bool | None) -> Ran:
        pipeline = Pipeline("p", (bad,), run.root, stop_on_failure=True)  # type: ignore[arg-type]
        result = run_pipeline(pipeline, run.store, Options(None, option))
        return Ran(result, run.store)


class TestRecord:
    def test_jobs_are_listed_in_the_order_declared(self, run: Runner) -> None:
        names = [f"job{n}" for n in (5, 3, 1, 4, 2)]
        ran = run(*(shell(name, f"sleep 0.0{name[-1]}") for name in names), workers=5)
        assert list(ran.view.jobs) == names
        (planned,) = ran.records("planned")
        assert [job["id"] for job in planned["jobs"]] == names

    def test_the_run_names_its_pipeline_and_what_it_was_to_do(self, run: Runner) -> None:
        first = shell("a", "true")
        ran = run(first, workers=3)
        begin = ran.view.begin
        assert begin["pipeline"] == "p"
        assert begin["sha256"] == run.pipeline(first).sha256()
        assert begin["params"] == {}
        assert begin["max_workers"] == 3
        assert begin["versions"] == {"lorchestra": __version__}
        (planned,) = ran.records("planned")
        assert planned["jobs"] == [{"id": "a", "stage": "stage", "sha256": first.sha256()}]

    def test_its_end_has_the_counts_the_duration_and_the_receipt(self, run: Runner) -> None:
        ran = run(shell("a", "true"), shell("b", "false"))
        assert ran.view.end["counts"] == {"succeeded": 1, "failed": 1}
        assert ran.view.end["duration_s"] > 0
        assert ran.view.receipt == ran.result.receipt
        assert ran.store.verify(ran.result.run_id, receipt=ran.result.receipt).ok

    def test_an_id_that_stands_there_twice_is_refused_before_anything_runs(
        self, run: Runner
    ) -> None:
        with pytest.raises(RecordError):
            run(shell("a", "touch ran"), shell("a", "touch ran"))
        assert not (run.root / "ran").exists()
        assert list(run.store.runs()) == []

    def test_any_text_is_a_job_id(self, run: Runner) -> None:
        ids = ["../../etc/passwd", "Größe Σ", "a\nb", "con", "x" * 10_000, "{job}%s$HOME", " "]
        name = module(
            run.root, "import lorchestra\ndef me(): return lorchestra.current_job().job_id"
        )
        ran = run(*(call(job_id, f"{name}:me") for job_id in ids), workers=2)
        assert list(ran.view.jobs) == ids
        assert [job.output for job in ran.view.jobs.values()] == ids

    def test_a_job_id_that_no_variable_can_hold_fails_a_process_with_a_sentence(
        self, run: Runner
    ) -> None:
        ran = run(shell("a\0b", "touch ran"), shell("c", ":"))
        assert ran.statuses() == {"a\0b": "failed", "c": "succeeded"}
        assert ran.attempt("a\0b").error == "cannot start '/bin/sh': embedded null byte"


class TestEvents:
    def test_they_come_in_order_and_from_the_thread_that_runs_the_pipeline(
        self, run: Runner
    ) -> None:
        threads = set()
        ran = run(
            stage(shell("a", ":"), name="first"),
            stage(shell("b", "exit 2"), shell("c", ":"), name="second"),
            stage(shell("d", ":"), name="third"),
            stop_on_failure=True,
            handlers=[lambda _event: threads.add(threading.current_thread())],
        )
        assert threads == {threading.main_thread()}
        a, b = (event for event in ran.events if isinstance(event, JobFinished))
        assert ran.events == [
            RunStarted(ran.result.run_id, "p", 3, 4, ran.store.path),
            StageStarted("first", 1, 1),
            JobStarted("first", "a", 1),
            a,
            StageFinished("first", {"succeeded": 1}),
            StageStarted("second", 2, 1),
            JobStarted("second", "b", 1),
            b,
            JobNotRun("second", "c", "cancelled", "job 'b' did not succeed"),
            StageFinished("second", {"failed": 1}),
            JobNotRun("third", "d", "skipped", "job 'b' did not succeed"),
            RunFinished(
                ran.result.run_id,
                "failed",
                {"succeeded": 1, "failed": 1, "cancelled": 1, "skipped": 1},
                ran.view.end["duration_s"],
                ran.result.receipt,
            ),
        ]
        assert (b.outcome.status, b.outcome.exit_code, b.attempt) == ("failed", 2, 1)
        assert b.log_path == ran.view.log_path("b")
        assert b.duration_s == ran.attempt("b").duration_s

    def test_with_several_workers_too(self, run: Runner) -> None:
        threads = set()
        ran = run(
            *(shell(f"job{n}", ":") for n in range(12)),
            workers=4,
            handlers=[lambda _event: threads.add(threading.current_thread())],
        )
        assert threads == {threading.main_thread()}
        running: set[str] = set()
        for event in ran.events:
            if isinstance(event, JobStarted):
                running.add(event.job_id)
            elif isinstance(event, JobFinished):
                running.remove(event.job_id)
            assert len(running) <= 4
        assert not running
        assert isinstance(ran.events[0], RunStarted)
        assert isinstance(ran.events[-1], RunFinished)

    def test_a_job_is_in_the_record_when_its_end_is_told(self, run: Runner) -> None:
        seen = []

        def look(event: Event) -> None:
            if isinstance(event, JobFinished):
                (summary,) = run.store.runs()
                seen.append(run.store.read(summary.id).jobs[event.job_id].status)

        run(shell("a", "true"), shell("b", "false"), workers=2, handlers=[look])
        assert sorted(seen) == ["failed", "succeeded"]

    def test_a_handler_that_raises_is_told_of_once_and_the_run_goes_on(
        self, run: Runner, capsys: pytest.CaptureFixture[str]
    ) -> None:
        calls = []

        def bad(event: Event) -> None:
            calls.append(event)
            if isinstance(event, JobStarted):
                raise ValueError("no terminal")

        later: list[Event] = []
        ran = run(shell("a", ":"), shell("b", ":"), workers=2, handlers=[bad, later.append])
        assert ran.result.succeeded
        assert [type(event) for event in calls] == [RunStarted, StageStarted, JobStarted]
        assert later == ran.events
        assert capsys.readouterr().err == (
            "lorchestra: a progress handler raised ValueError: no terminal; "
            "the run goes on without it\n"
        )

    @pytest.mark.parametrize("workers", [1, 2])
    @pytest.mark.parametrize("function", [True, False])
    def test_the_run_goes_on_even_where_stderr_cannot_be_written(
        self, run: Runner, monkeypatch: pytest.MonkeyPatch, workers: int, function: bool
    ) -> None:
        class Closed:
            def write(self, _text: str) -> int:
                raise BrokenPipeError(32, "Broken pipe")

        def bad(_event: Event) -> None:
            print("progress", file=sys.stderr)

        monkeypatch.setattr(sys, "stderr", Closed())
        jobs = [shell("a", ":"), shell("b", ":")]
        if function:
            jobs.append(call("c", "os:getpid"))
        ran = run(*jobs, workers=workers, handlers=[bad])
        assert ran.result.succeeded

    def test_the_run_goes_on_where_there_is_no_stderr(
        self, run: Runner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stderr", None)
        monkeypatch.setattr(sys, "stdout", None)

        def bad(_event: Event) -> None:
            raise ValueError

        ran = run(call("a", "builtins:print", {"sep": ""}), shell("b", ":"), handlers=[bad])
        assert ran.result.succeeded


class TestTidiness:
    @pytest.mark.parametrize("workers", [1, 8])
    def test_no_thread_descriptor_or_child_is_left(self, run: Runner, workers: int) -> None:
        name = module(run.root, "def bad(): raise ValueError\ndef good(): print('x')")
        jobs = [
            shell("good", "true"),
            shell("bad", "false"),
            command("missing", "no-such-program"),
            shell("nowhere", "true", cwd="no/such/folder"),
            call("raises", f"{name}:bad"),
            call("returns", f"{name}:good"),
            call("process", f"{name}:good", env={"A": "1"}),
            call("missing-function", f"{name}:nothing", env={"A": "1"}),
        ]
        run(*jobs, workers=workers)
        with nothing_left_behind(grace_s=0):
            run(*jobs, workers=workers)
        assert children() == []

    def test_sys_path_and_the_standard_streams_are_put_back(self, run: Runner) -> None:
        before = [*sys.path], sys.stdin, sys.stdout, sys.stderr, threading.Thread.start
        run(call("a", "os:getpid"), call("b", "no.such:module"), workers=2)
        assert ([*sys.path], sys.stdin, sys.stdout, sys.stderr, threading.Thread.start) == before

    def test_a_store_that_cannot_be_made_leaves_nothing_either(
        self, run: Runner, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        before = [*sys.path], sys.stdout
        store = RunStore(tmp_path / "file" / "store", "os")
        with nothing_left_behind(grace_s=0), pytest.raises(OSError, match="Not a directory"):
            run_pipeline(run.pipeline(call("a", "os:getpid")), store)
        assert ([*sys.path], sys.stdout) == before

    def test_descriptors_do_not_grow_with_the_number_of_jobs(self, run: Runner) -> None:
        most = []

        def look(_event: Event) -> None:
            most.append(len(open_descriptors()))

        run(*(shell(f"job{n}", ":") for n in range(30)), workers=2, handlers=[look])
        assert max(most[30:]) <= max(most[:30]) + 2


class TestTwoRunsInOneProcess:
    def test_each_has_its_own_record_and_output(self, tmp_path: Path) -> None:
        runners = [Runner(tmp_path / name) for name in ("one", "two")]
        everybody = threading.Barrier(2)

        def go(runner: Runner) -> Ran:
            runner.root.mkdir()
            name = module(
                runner.root,
                f"""
                import lorchestra
                def talk():
                    for n in range(200):
                        print({runner.root.name!r}, lorchestra.current_job().job_id, n)
                    return lorchestra.current_job().run_id
                """,
            )
            everybody.wait(20)
            return runner(*(call(job, f"{name}:talk") for job in "abc"), workers=2)

        streams = sys.stdout, sys.stderr, [*sys.path]
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(go, runners)
        assert (sys.stdout, sys.stderr, [*sys.path]) == streams
        for ran, name in ((first, "one"), (second, "two")):
            for job in "abc":
                assert ran.attempt(job).output == ran.result.run_id
                lines = "".join(f"{name} {job} {n}\n" for n in range(200))
                assert ran.log(job) == lines.encode()


def test_a_stage_of_one_job_is_run_in_the_main_thread_whatever_was_asked_for(run: Runner) -> None:
    name = module(
        run.root,
        """
        import threading
        def is_main(): return threading.current_thread() is threading.main_thread()
        """,
    )
    assert run(call("a", f"{name}:is_main"), workers=8).attempt("a").output is True
