"""What was measured becomes tables and plots, and a suite runs from end to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks import __main__ as program
from benchmarks import tables
from benchmarks.bench import Bench
from benchmarks.places import Place
from benchmarks.result import Goal, compared
from benchmarks.rounds import Times
from benchmarks.suites import locking_kinds
from benchmarks.suites.locking_kinds import KINDS, Work, work
from runstore import RunStore


def suite_of(name: str, *comparisons: dict[str, Any]) -> dict[str, Any]:
    machine = {
        "processors": 2,
        "system": "Linux 6",
        "python": "CPython 3.11.7",
        "packages": {"click": "8.3.0"},
        "load_before": 0.1,
    }
    return {
        "name": name,
        "title": f"What {name} shows",
        "on": "2026-11-25",
        "is_short": False,
        "machine": machine,
        "comparisons": list(comparisons),
    }


def comparison(title: str = "1,000 jobs", **more: Any) -> dict[str, Any]:
    times = Times({"lorchestra": [0.5, 0.6, 0.5], "xargs -P": [0.6, 0.7, 0.5]})
    goals = [Goal("lorchestra", "xargs -P", at_most=0.85)]
    found = compared(title, "tmpfs", times, "lorchestra", goals, per=1000, absent={"make -j": "no"})
    return orjson.loads(orjson.dumps(found.as_dict())) | more  # type: ignore[no-any-return]


def test_a_table_says_what_was_to_be_reached_and_what_was_measured() -> None:
    page = f"# Page\n\n{tables.BEGIN}old\n{tables.END}after\n"
    plots = {"runner": ["runner.svg"]}
    text = tables.with_tables(page, [suite_of("runner", comparison())], plots)
    assert text.startswith("# Page\n")
    assert text.endswith(f"{tables.END}after\n")
    assert "old" not in text
    goal = "| 1,000 jobs: lorchestra | xargs -P | at most 0.85 x | 0.857 x | 0.833 to 1.000 |"
    assert f"{goal} missed, within the noise |" in text
    assert "| lorchestra | 500 | 500 to 580 |  |  |" in text
    assert "| xargs -P | 600 | 520 to 680 | 1.167 x | 1.000 to 1.200 |" in text
    assert "Not there: make -j." in text
    assert "![What runner shows](benchmarks/runner.svg)" in text
    assert "2 processors, Linux 6, CPython 3.11.7, click 8.3.0; load before it 0.1." in text
    assert tables.with_tables(text, [suite_of("runner", comparison())], plots) == text


def test_plots_are_the_same_for_the_same_data(tmp_path: Path) -> None:
    at = {"workers": 4, "processes": 1}
    suites = [
        suite_of("runner", comparison()),
        suite_of(
            "locking",
            *(comparison("9 jobs of 1 ms in 4 threads", at={**at, "seconds": s}) for s in (1, 2)),
        ),
    ]
    drawn = {"runner": ["runner.svg"], "locking": ["locking-threads.svg"]}
    contents = []
    for name in ("first", "second"):
        (folder := tmp_path / name).mkdir()
        assert drawn_in(folder, suites) == drawn
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert contents[0] == contents[1]
    assert all(b"<svg" in content for content in contents[0].values())


def drawn_in(folder: Path, suites: list[dict[str, Any]]) -> Any:
    """Draw in a process of its own: the library keeps files of fonts open."""
    text = (
        "import sys, orjson; from pathlib import Path; from benchmarks.plots import draw\n"
        "suites = orjson.loads(sys.stdin.buffer.read())\n"
        "sys.stdout.buffer.write(orjson.dumps(draw(suites, Path(sys.argv[1]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", text, folder],
        input=orjson.dumps(suites),
        stdout=subprocess.PIPE,
        check=True,
        cwd=Path(program.__file__).parents[1],
    )
    return orjson.loads(done.stdout)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("workers", [1, 3])
def test_each_kind_of_lock_keeps_all_records_of_all_jobs(
    tmp_path: Path, kind: str, workers: int
) -> None:
    assert work(Work(kind, str(tmp_path), 7, 0.0, workers)) > 0
    one_file = tmp_path / "records.jsonl"
    if one_file.exists():
        lines = [orjson.loads(line) for line in one_file.read_bytes().splitlines()]
        assert len(lines) == 4 * 7
    else:
        store = RunStore(tmp_path)
        (view,) = [store.read(run_id) for run_id in store.run_ids()]
        assert [job.status for job in view.jobs.values()] == ["succeeded"] * 7
        events = [each["event"] for each in view.records() if each.get("job") == "job3"]
        assert sorted(events) == ["begin", "done", "end", "metric", "output", "start"]
        assert store.verify().ok
    assert locking_kinds.NO_LOCK in KINDS


def test_a_suite_runs_and_its_results_are_kept_beside_those_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Bench, "count", lambda _self, _full, short: min(short, 2))
    here = Place("here", tmp_path, "any")
    monkeypatch.setattr(Bench, "memory", property(lambda _self: here))
    monkeypatch.setattr("sys.argv", ["benchmarks", "calls", "--short", "-o", f"{tmp_path}/o.json"])
    assert program.main() == 0
    assert "| what | beside | to reach |" in capsys.readouterr().out
    (suite,) = orjson.loads((tmp_path / "o.json").read_bytes())
    assert [len(each["entries"]) >= 2 for each in suite["comparisons"]] == [True, True]
    monkeypatch.setattr("sys.argv", ["benchmarks", "no-such-suite"])
    with pytest.raises(SystemExit):
        program.main()
