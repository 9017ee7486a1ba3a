"""What jobs print is shown whole, line by line, without secrets, and never mixed."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from lorchestra.masking import Mask
from lorchestra.model import Outcome
from lorchestra.progress import (
    Event,
    HookFailed,
    InChild,
    JobFinished,
    JobStarted,
    RunFinished,
    StageFinished,
)
from lorchestra.progress.failures import Failures
from lorchestra.progress.folding import Folding, folding_of
from lorchestra.progress.joblogs import GroupedLogs, PrefixedLogs
from lorchestra.progress.jsonlines import JsonProgress, event_object
from tests.lorchestra.running import eventually

NO_SECRETS = Mask()


def started(path: Path, job_id: str = "a", attempt: int = 1) -> JobStarted:
    return JobStarted("s", job_id, attempt, str(path))


def finished(
    path: Path, job_id: str = "a", attempt: int = 1, status: str = "failed"
) -> JobFinished:
    outcome = Outcome(status, error="no", log_bytes=path.stat().st_size if path.exists() else 0)
    return JobFinished("s", job_id, attempt, outcome, 1.25, str(path))


def grouped(content: bytes, tmp_path: Path, mask: Mask = NO_SECRETS) -> list[str]:
    lines: list[str] = []
    (tmp_path / "log").write_bytes(content)
    GroupedLogs(lines.append, mask)(finished(tmp_path / "log"))
    return lines


class TestGrouped:
    @pytest.mark.parametrize(
        ("content", "lines"),
        [
            (b"one\ntwo\n", ["one", "two"]),
            (b"one\r\n\ntwo", ["one", "", "two"]),
            (b"\x1b[31mred\x1b[0m\a", ["[31mred[0m"]),
            (b"\xff\xfe", ["\ufffd\ufffd"]),
            (b"the swordfish\nis swordfish", ["the ***", "is ***"]),
        ],
    )
    def test_all_of_a_log_is_shown(self, content: bytes, lines: list[str], tmp_path: Path) -> None:
        title, *rest = grouped(content, tmp_path, Mask(["swordfish"]))
        assert title == "--- a failed in 1.2 s"
        assert rest == [f"    | {line}" for line in lines]

    def test_a_job_that_printed_nothing_has_no_group(self, tmp_path: Path) -> None:
        assert grouped(b"", tmp_path) == []

    def test_a_log_that_is_gone_is_an_empty_group(self, tmp_path: Path) -> None:
        lines: list[str] = []
        (tmp_path / "log").write_bytes(b"x")
        event = finished(tmp_path / "log")
        (tmp_path / "log").unlink()
        GroupedLogs(lines.append, NO_SECRETS)(event)
        assert lines == ["--- a failed in 1.2 s"]

    def test_a_very_long_line_takes_little_memory_and_is_cut(self, tmp_path: Path) -> None:
        lines = grouped(b"x" * 1_000_000 + b"\nend\n", tmp_path)
        assert lines[-1] == "    | end"
        assert max(map(len, lines)) < 600

    def test_inside_another_pipeline_the_jobs_around_are_named(self, tmp_path: Path) -> None:
        lines: list[str] = []
        (tmp_path / "log").write_bytes(b"x\n")
        event = InChild("outer", InChild("middle", finished(tmp_path / "log", attempt=2)))
        GroupedLogs(lines.append, NO_SECRETS)(event)
        assert lines[0] == "--- outer: middle: a (attempt 2) failed in 1.2 s"


class TestPrefixed:
    def test_a_line_comes_when_it_is_whole(self, tmp_path: Path) -> None:
        lines: list[str] = []
        path = tmp_path / "log"
        with PrefixedLogs(lines.append, Mask(["swordfish"])) as logs, path.open("wb", 0) as log:
            logs(started(path))
            log.write(b"one\nsword")
            eventually(lambda: lines == ["a | one"])
            log.write(b"fish\ntail")
            eventually(lambda: lines == ["a | one", "a | ***"])
            logs(finished(path))
            assert lines == ["a | one", "a | ***", "a | tail"]

    def test_what_is_left_open_is_shown_at_the_end(self, tmp_path: Path) -> None:
        lines: list[str] = []
        path = tmp_path / "log"
        path.write_bytes(b"x")
        with PrefixedLogs(lines.append, NO_SECRETS) as logs:
            logs(started(path))
            logs(started(tmp_path / "never made", "b"))
        assert lines == ["a | x"]

    def test_lines_of_many_jobs_are_never_mixed(self, tmp_path: Path) -> None:
        lines: list[str] = []
        paths = [tmp_path / f"{number}" for number in range(8)]

        def write(path: Path) -> None:
            descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
            for count in range(500):
                for piece in (b"%s " % path.name.encode() * 5, b"%d\n" % count):
                    os.write(descriptor, piece)
            os.close(descriptor)

        with PrefixedLogs(lines.append, NO_SECRETS) as logs:
            writers = [threading.Thread(target=write, args=(path,)) for path in paths]
            for path, writer in zip(paths, writers, strict=True):
                logs(started(path, path.name))
                writer.start()
            for path, writer in zip(paths, writers, strict=True):
                writer.join()
                logs(finished(path, path.name))
        for path in paths:
            name = path.name
            expected = [f"{name} | {f'{name} ' * 5}{count}" for count in range(500)]
            assert [line for line in lines if line.startswith(f"{name} |")] == expected


class TestFolding:
    def test_outside_of_ci_nothing_folds(self) -> None:
        assert folding_of({}) is None
        assert folding_of({"CI": "true", "GITHUB_ACTIONS": "false"}) is None

    @pytest.mark.parametrize(
        ("variable", "lines"),
        [
            ("GITHUB_ACTIONS", ["::group::50%25 done", "x", "::endgroup::"]),
            ("TF_BUILD", ["##[group]50% done", "x", "##[endgroup]"]),
        ],
    )
    def test_groups(self, variable: str, lines: list[str]) -> None:
        assert list(folding(variable).around("50% done", iter(["x"]))) == lines

    def test_those_of_gitlab_have_the_same_name_at_both_ends(self) -> None:
        begin, _, end = folding("GITLAB_CI").around("Größe [2] failed", iter(["x"]))
        assert begin.split(":")[2] == "gr_e_2_failed[collapsed=true]\r\x1b[0KGröße [2] failed"
        assert end.split(":")[2] == "gr_e_2_failed\r\x1b[0K"

    def test_failures_are_marked_and_cannot_say_more(self) -> None:
        github, azure = folding("GITHUB_ACTIONS"), folding("TF_BUILD")
        marked = github.failure("a, b: c", "no\n::warning::x")
        assert marked == "::error title=a%2C b%3A c::no%0A::warning::x"
        assert azure.failure("a", "no") == "##vso[task.logissue type=error]a: no"

    def test_what_a_job_prints_commands_nothing(self) -> None:
        (line,) = list(folding("TF_BUILD").around("a", iter(["| ##vso[task.x]##[y]"])))[1:-1]
        assert line == "| ## vso[task.x]## [y]"

    def test_the_failures_at_the_end_are_marked(self, tmp_path: Path) -> None:
        failures = Failures(None, folding("GITHUB_ACTIONS"), with_logs=False)
        (tmp_path / "log").write_bytes(b"hidden\n")
        failures(finished(tmp_path / "log"))
        lines = list(failures.lines("more"))
        assert lines[-1] == "::error title=a failed::no"
        assert not any("hidden" in line for line in lines)


def folding(variable: str) -> Folding:
    found = folding_of({variable: "True" if variable == "TF_BUILD" else "true"})
    assert found is not None
    return found


class TestJsonLines:
    @pytest.mark.parametrize(
        "event",
        [
            StageFinished("s", {"succeeded": 2}),
            RunFinished("R", "failed", {}, 1.5, "3:abc"),
            HookFailed("on_finish", 1, "\x1b\u202e\udcff"),
        ],
    )
    def test_an_event_is_one_line_of_ascii(self, event: Event) -> None:
        lines: list[str] = []
        JsonProgress(lines.append)(event)
        (line,) = lines
        assert line.isascii()
        assert line.isprintable()
        found = json.loads(line)
        assert found.pop("at").endswith("Z")
        assert found == event_object(event)

    def test_an_outcome_is_told_without_its_output(self, tmp_path: Path) -> None:
        event = JobFinished("s", "a", 2, Outcome("failed", 3, output={"token": "x"}), 1.5, "log")
        assert event_object(InChild("outer", event)) == {
            "event": "job_finished",
            "inside": ["outer"],
            "stage": "s",
            "job_id": "a",
            "attempt": 2,
            "status": "failed",
            "exit_code": 3,
            "signal": None,
            "error": None,
            "cpu_s": None,
            "max_rss_kb": None,
            "log_bytes": None,
            "allowed": False,
            "duration_s": 1.5,
            "log_path": "log",
            "again_in_s": None,
        }
