"""`lorchestra runstore repair`, `compact`, `prune` and `stats`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lorchestra.cli import counter
from runstore import RunStore, files
from tests.lorchestra.cli.commands import RUN_ID, Project, ended

MENDED_KEYS = {"path", "action", "kept", "lost", "original"}


@pytest.fixture
def ran(project: Project) -> Project:
    """A project with three runs of one pipeline and one of another, of two jobs each."""
    for name in ("p", "q"):
        project.pipeline({"a": "echo a"}, {"b": "exit 1"}, name=f"{name}.yaml")
    for name in ("p", "p", "q", "p"):
        project.run(name=name)
    return project


def store_of(project: Project) -> Path:
    return project.root / ".lorchestra"


def runs_of(project: Project) -> list[str]:
    """The ids of all runs, the oldest first."""
    return project.store.run_ids()[::-1]


def damage(project: Project, run_id: str, name: str = "jobs/a.a1.jsonl") -> tuple[Path, bytes]:
    """Flip a bit in the second line of a file; gives the file and what it holds then."""
    path = store_of(project) / "runs" / run_id / name
    content = bytearray(path.read_bytes())
    content[content.index(b"\n") + 21] ^= 1
    path.write_bytes(content)
    return path, bytes(content)


def contents(project: Project) -> dict[str, bytes]:
    return {
        path.relative_to(store_of(project)).as_posix(): path.read_bytes()
        for path in store_of(project).rglob("*")
        if path.is_file()
    }


@pytest.fixture
def alive(ran: Project) -> Any:
    """A run at work in this process, whose own file is damaged."""
    with ran.store.create_run("p", ["a"]) as run:
        with run.job("a") as log:
            log.append("metric", rows=1)
        damage(ran, run.id)
        yield run


# Repair


def test_a_whole_store_needs_no_repair(ran: Project) -> None:
    before = contents(ran)
    done = ran("runstore", "repair")
    assert (done.code, done.out) == (0, f"{store_of(ran)}: nothing to mend\n")
    assert contents(ran) == before


def test_every_damaged_run_and_the_file_of_the_store_are_mended(ran: Project) -> None:
    first, *_, last = runs_of(ran)
    found = [damage(ran, run_id) for run_id in (first, last)]
    (store_of(ran) / "store.json").write_bytes(b"")
    assert ran("runstore", "verify").code == 3
    done = ran("runstore", "repair")
    name = "jobs/a.a1.jsonl"
    assert (done.code, done.errors) == (0, [])
    assert done.out.splitlines() == [
        "store.json: rewritten; as it was found: store.json.damaged",
        *(
            f"runs/{run_id}/{name}: rewritten; 2 records kept; record 1 lost; "
            f"as it was found: runs/{run_id}/{name}.damaged"
            for run_id in (first, last)
        ),
        f"{store_of(ran)}: 3 files mended; 2 records lost; 0 errors left",
    ]
    assert [path.with_name(f"{path.name}.damaged").read_bytes() for path, _ in found] == [
        content for _, content in found
    ]
    assert ran("runstore", "verify").code == 0
    assert ran("runstore", "repair").out.endswith(": nothing to mend\n")


def test_only_the_runs_named_are_mended(ran: Project) -> None:
    first, second, *_ = runs_of(ran)
    for run_id in (first, second):
        damage(ran, run_id)
    assert ran("runstore", "repair", second).code == 0
    assert ran("runstore", "verify", second).code == 0
    assert ran("runstore", "verify", first).code == 3


def test_what_repair_would_do_is_said_and_not_done(ran: Project) -> None:
    run_id = runs_of(ran)[0]
    damage(ran, run_id)
    before = contents(ran)
    done = ran("runstore", "repair", "--dry-run")
    assert done.code == 3
    assert done.out.splitlines() == [
        (
            f"runs/{run_id}/jobs/a.a1.jsonl: would be rewritten; 2 records kept; record 1 lost; "
            f"to be kept as runs/{run_id}/jobs/a.a1.jsonl.damaged"
        ),
        f"{store_of(ran)}: 1 file would be mended; 1 record lost; 1 error now",
    ]
    assert contents(ran) == before


def test_what_cannot_be_mended_is_left_and_said(ran: Project) -> None:
    (store_of(ran) / "runs" / "mine").mkdir()
    done = ran("runstore", "repair")
    assert done.code == 3
    assert done.out.splitlines() == [
        "error unexpected-file: runs/mine:1 (byte 0): it is no run's folder",
        f"{store_of(ran)}: 0 files mended; 0 records lost; 1 error left",
    ]


def test_a_run_at_work_is_left_among_all_and_refused_when_named(ran: Project, alive: Any) -> None:
    before = contents(ran)
    done = ran("runstore", "repair")
    assert done.code == 3
    assert f"runs/{alive.id}: left alone: run {alive.id} is at work: process" in done.out
    named = ran("runstore", "repair", alive.id)
    assert (named.code, named.out) == (75, "")
    assert named.errors == [f"lorchestra: run {alive.id} is at work: {said(alive)}"]
    assert contents(ran) == before


def said(run: Any) -> str:
    owner = RunStore(Path(run.path).parent.parent).read(run.id).begin
    return f"process {owner['pid']} on {owner['host']}"


def test_a_repair_as_json_has_all_keys(ran: Project) -> None:
    run_id = runs_of(ran)[0]
    damage(ran, run_id)
    (store_of(ran) / "runs" / "mine").mkdir()
    done = ran("runstore", "repair", "--json")
    assert done.code == 3
    found = done.json
    assert found.keys() == {
        *("ok", "store", "dry_run", "mended", "lost_records", "left", "errors"),
    }
    (mended,) = found["mended"]
    assert mended.keys() == MENDED_KEYS
    assert (mended["action"], mended["lost"]) == ("rewritten", [[1, 1]])
    assert (found["ok"], found["dry_run"], found["lost_records"]) == (False, False, 1)
    assert [error["code"] for error in found["errors"]] == ["unexpected-file"]


# Compact


def test_all_runs_that_have_ended_are_compacted(ran: Project) -> None:
    shown = {run_id: ran("runs", "show", run_id, "--json").stdout for run_id in runs_of(ran)}
    printed = ran("runstore", "cat").stdout
    done = ran("runstore", "compact")
    assert (done.code, done.errors) == (0, [])
    *lines, last = done.out.splitlines()
    assert all(": 3 files in " in line for line in lines)
    assert last == f"{store_of(ran)}: 4 runs compacted, 12 files removed; 0 runs left"
    assert ran("runstore", "verify", "--strict").code == 0
    assert ran("runstore", "cat").stdout == printed
    for run_id, before in shown.items():
        assert ran("runs", "show", run_id, "--json").stdout == before
    again = ran("runstore", "compact")
    assert again.out == f"{store_of(ran)}: 0 runs compacted, 0 files removed; 0 runs left\n"


def test_a_damaged_run_is_left_and_said(ran: Project) -> None:
    run_id = runs_of(ran)[0]
    damage(ran, run_id)
    done = ran("runstore", "compact")
    assert done.code == 3
    assert f"run {run_id} is damaged, repair it first: damaged: runs/{run_id}/" in done.out
    assert done.out.endswith(": 3 runs compacted, 9 files removed; 1 run left\n")
    named = ran("runstore", "compact", run_id)
    assert named.code == 3
    assert named.err.startswith(f"lorchestra: run {run_id} is damaged, repair it first: ")


@pytest.mark.parametrize("command", ["compact", "prune --keep 1", "stats", "repair", "verify"])
def test_without_a_store_there_is_nothing_to_keep_in_order(project: Project, command: str) -> None:
    done = project("runstore", *command.split(), "--store", "elsewhere")
    assert (done.code, done.out) == (3, "")
    assert done.err.endswith("elsewhere: there is no store; the first run makes one\n")
    assert not (project.root / "elsewhere").exists()


def test_runs_at_work_are_not_compacted(ran: Project, alive: Any) -> None:
    assert ran("runstore", "compact").code == 0
    assert (Path(alive.path) / "run.jsonl").exists()
    assert ran("runstore", "compact", alive.id).code == 75


def test_only_runs_of_some_age_are_compacted(ran: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert " 0 runs compacted" in ran("runstore", "compact", "--older-than", "1d").out
    assert " 4 runs compacted" in ran("runstore", "compact", "--older-than", "0s").out


def test_an_age_is_not_for_runs_that_are_named(ran: Project) -> None:
    done = ran("runstore", "compact", "last", "--older-than", "1d")
    assert done.code == 2
    assert "--older-than is for all runs: name none" in done.err


def test_a_compaction_as_json_has_all_keys(ran: Project) -> None:
    run_id = runs_of(ran)[0]
    damage(ran, run_id)
    found = ran("runstore", "compact", "--json").json
    assert found.keys() == {"store", "compacted", "left"}
    assert [left["run_id"] for left in found["left"]] == [run_id]
    compacted = found["compacted"][0]
    assert compacted.keys() == {"run_id", "path", "parts", "size_bytes", "removed"}
    assert compacted["path"] == f"runs/{compacted['run_id']}/sealed.jsonl"


# Prune


def test_the_newest_runs_of_each_pipeline_are_kept(ran: Project) -> None:
    first, second, other, last = runs_of(ran)
    done = ran("runstore", "prune", "--keep", "1")
    assert (done.code, done.errors) == (0, [])
    assert done.out.splitlines() == [
        f"{first} removed",
        f"{second} removed",
        f"{store_of(ran)}: 2 runs removed",
    ]
    assert runs_of(ran) == [other, last]
    assert ran("runstore", "verify").code == 0


def test_what_prune_would_remove_is_said_and_stays(ran: Project) -> None:
    before = contents(ran)
    done = ran("runstore", "prune", "--max-bytes", "1KiB", "--dry-run")
    assert done.code == 0
    assert done.out.count(" would be removed\n") == 5
    assert contents(ran) == before


def test_rules_are_combined(ran: Project) -> None:
    command = ("runstore", "prune", "--keep", "2", "--older-than", "30d", "--max-bytes", "10GB")
    found = ran(*command, "--json").json
    assert found == {
        "store": str(store_of(ran)),
        "dry_run": False,
        "removed": [found["removed"][0]],
    }
    assert RUN_ID.fullmatch(found["removed"][0])
    assert ran("runstore", "prune", "--older-than", "0s").code == 0
    assert runs_of(ran) == []


def test_a_run_at_work_is_not_pruned(ran: Project, alive: Any) -> None:
    ran("runstore", "prune", "--older-than", "0s", "--max-bytes", "0")
    assert runs_of(ran) == [alive.id]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "give at least one of --keep, --older-than and --max-bytes"),
        (("--dry-run",), "give at least one of --keep, --older-than and --max-bytes"),
        (("--keep", "0"), "0 is not in the range x>=1"),
        (("--keep", "many"), "'many' is not a valid integer"),
        *(
            (("--older-than", value), f"must be like 30d, 12h, 5m or 10s, not {value!r}")
            for value in (
                "",
                "30",
                "d",
                "1.5d",
                "-1d",
                "+1d",
                "30 d",
                "1w",
                "1D",
                "1d12h",
                "\u0661d",
            )
        ),
        *(
            (("--max-bytes", value), f"must be like 10GB, 500MB, 1GiB or 4096, not {value!r}")
            for value in ("", "GB", "1.5GB", "-1", "10 GB", "10gb", "10G", "1XB", "1_000", "1e9")
        ),
    ],
)
def test_rules_that_make_no_sense_are_usage_errors(
    ran: Project, arguments: tuple[str, ...], reason: str
) -> None:
    before = contents(ran)
    done = ran("runstore", "prune", *arguments)
    assert done.code == 2
    assert reason in done.err
    assert contents(ran) == before


def rules_given(patch: pytest.MonkeyPatch) -> list[Any]:
    """What the command makes of its options; nothing is pruned."""
    given: list[Any] = []

    def prune(_store: RunStore, *rules: Any, **_options: Any) -> list[str]:
        given.extend(rules)
        return []

    patch.setattr(RunStore, "prune", prune)
    return given


@pytest.mark.parametrize(
    ("size", "bytes_"),
    [
        *(("0", 0), ("4096", 4096), ("7B", 7), ("3KB", 3000), ("3KiB", 3072), ("2MB", 2_000_000)),
        *(("2MiB", 2 << 20), ("10GB", 10**10), ("1GiB", 1 << 30), ("1TB", 10**12)),
        ("1TiB", 1 << 40),
    ],
)
def test_sizes_are_in_thousands_or_in_1024s(
    ran: Project, size: str, bytes_: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = rules_given(monkeypatch)
    assert ran("runstore", "prune", "--max-bytes", size).code == 0
    assert given == [None, None, bytes_]


@pytest.mark.parametrize(
    ("age", "seconds"), [("0s", 0), ("10s", 10), ("5m", 300), ("12h", 43_200), ("999999999d", None)]
)
def test_ages_are_in_seconds_minutes_hours_or_days(
    ran: Project, age: str, seconds: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = rules_given(monkeypatch)
    assert ran("runstore", "prune", "--older-than", age).code == 0
    assert given[1].total_seconds() == (999_999_999 * 86_400 if seconds is None else seconds)


def test_nothing_is_older_than_the_longest_age(ran: Project) -> None:
    assert ran("runstore", "prune", "--older-than", "999999999d").code == 0
    assert len(runs_of(ran)) == 4


# Stats


def test_a_store_is_counted(ran: Project) -> None:
    found = contents(ran)
    done = ran("runstore", "stats")
    assert (done.code, done.errors) == (0, [])
    first, *_ = done.out.splitlines()
    size = sum(map(len, found.values()))
    assert first == f"{store_of(ran)}: 4 runs, {len(found)} files, {size:,} bytes"
    assert "p         3" in done.out
    assert f"oldest   {runs_of(ran)[0]}" in done.out
    assert f"newest   {runs_of(ran)[-1]}" in done.out
    assert done.out.count("\nlargest  ") == 4


def test_statistics_as_json_have_all_keys(ran: Project) -> None:
    found = ran("runstore", "stats", "--json").json
    assert found.keys() == {
        *("store", "runs", "files", "size_bytes"),
        *("oldest", "newest", "largest", "pipelines"),
    }
    run = {"id", "pipeline", "status", "started", "files", "size_bytes"}
    assert found["oldest"].keys() == found["largest"][0].keys() == run
    assert found["pipelines"][0].keys() == {"pipeline", "runs", "statuses", "size_bytes"}
    assert found["pipelines"][0]["statuses"] == {"failed": 3}


# Of all


@pytest.mark.parametrize("command", ["repair", "prune --keep 1", "stats"])
def test_without_a_store_there_is_one_clear_line(project: Project, command: str) -> None:
    done = project("runstore", *command.split())
    assert (done.code, done.out) == (3, "")
    assert done.errors == [
        f"lorchestra: {store_of(project)}: there is no store; the first run makes one"
    ]
    assert project.files() == set()


@pytest.mark.parametrize("command", ["repair", "compact"])
def test_a_run_that_is_not_there_is_a_usage_error(ran: Project, command: str) -> None:
    assert ran("runstore", command, "7").code == 2


@pytest.mark.parametrize("command", ["repair", "compact", "prune --keep 1", "stats"])
def test_how_far_it_is_is_shown_on_a_terminal_and_gone_at_the_end(
    ran: Project, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(ran, runs_of(ran)[0])
    now = iter(range(100_000))
    monkeypatch.setattr(counter, "time", SimpleNamespace(monotonic=lambda: next(now)))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    done = ran("runstore", *command.split())
    *shown, last = done.err.split("\r")[1:]
    assert shown
    assert all(text.endswith("\x1b[K") and " of " in text for text in shown)
    assert last == "\x1b[K"
    assert "\r" not in done.out


@pytest.mark.parametrize("command", ["repair", "compact", "prune --keep 1", "stats"])
def test_nothing_is_shown_where_stderr_is_no_terminal(ran: Project, command: str) -> None:
    assert ran("runstore", *command.split()).stderr == b""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_leaves_everything_to_be_gone_on_with(ran: Project) -> None:
    """The disk is slow, so that the interrupt comes in the middle."""
    slow = (
        "import sys, time\n"
        "from runstore import files\n"
        "place = files.place\n"
        "def slowly(*paths):\n"
        "    place(*paths); print('placed', flush=True); time.sleep(60)\n"
        "files.place = slowly\n"
        "from lorchestra.cli import run\n"
        "sys.exit(run(['runstore', 'compact']))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", slow],
        cwd=ran.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"placed\n"
        os.kill(process.pid, signal.SIGINT)
        done = ended(process)
    assert (done.code, done.errors[-1]) == (130, "lorchestra: interrupted")
    assert ran("runstore", "verify").code == 0
    assert ": 4 runs compacted, 12 files removed;" in ran("runstore", "compact").out


def test_a_full_disk_is_said_in_one_line(ran: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(ran)

    def full(_descriptor: int, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "append", full)
    done = ran("runstore", "compact")
    assert (done.code, done.out) == (3, "")
    assert done.errors == ["lorchestra: the store cannot be used: No space left on device"]
    assert contents(ran) == before
