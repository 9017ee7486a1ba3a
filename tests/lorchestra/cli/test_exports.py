"""The record of a run, and a pipeline, in the formats of other programs."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from runstore import RunStore
from tests.lorchestra.cli.commands import Project

HOSTILE = 'a"b\\c<d>&\n\x1b\x00]]>{}é\u2028`--> end'


@pytest.fixture
def ran(project: Project) -> Project:
    """A run of four workers with every ending, and one of another pipeline."""
    project.pipeline(
        {
            "good": "sleep 0.2",
            "bad": "sleep 0.2; echo so bad $TOKEN >&2; exit 3",
            "slow": {"run": "sleep 9", "timeout": "300ms"},
            "again": {
                "run": "sleep 0.2; test -e ok || { touch ok; exit 1; }",
                "retries": {"max": 1},
            },
        },
        {"late": "true"},
        secrets=[{"TOKEN": {"file": "token"}}],
    )
    project.write("token", "swordfish")
    project.run(
        "--max-workers", "4", *(f"--only={job}" for job in ("good", "bad", "slow", "again"))
    )
    return project


def hostile_run(project: Project) -> str:
    with RunStore(project.root / ".lorchestra", "os").create_run(HOSTILE) as run:
        with run.job(HOSTILE, stage=HOSTILE) as log:
            log.end("failed", error=HOSTILE)
        run.end("failed")
    return run.id


class TestTrace:
    def test_attempts_side_by_side_are_in_lanes_of_their_own(self, ran: Project) -> None:
        events = ran("runs", "trace").json["traceEvents"]
        lanes: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for event in events:
            if event["ph"] == "X":
                lanes[event["tid"]].append(event)
        assert len(lanes) == 4
        for own in lanes.values():
            own.sort(key=lambda event: event["ts"])
            for one, two in itertools.pairwise(own):
                assert one["ts"] + one["dur"] <= two["ts"]
        names = sorted(event["name"] for own in lanes.values() for event in own)
        assert names == ["again", "again (attempt 2)", "bad", "good", "slow"]
        assert all(event["ts"] >= 0 <= event["dur"] for own in lanes.values() for event in own)
        (slow,) = (e for own in lanes.values() for e in own if e["name"] == "slow")
        assert (slow["args"]["status"], slow["args"]["stage"]) == ("timed_out", "s1")
        assert slow["dur"] > 250_000

    def test_workers_are_named(self, ran: Project) -> None:
        events = ran("runs", "trace").json["traceEvents"]
        named = [event["args"]["name"] for event in events if event["name"] == "thread_name"]
        assert named == [f"worker {number}" for number in range(1, 5)]

    def test_a_run_at_work_and_one_without_jobs(self, project: Project) -> None:
        store = RunStore(project.root / ".lorchestra", "os")
        with store.create_run("empty"):
            pass
        assert [e["ph"] for e in project("runs", "trace").json["traceEvents"]] == ["M"]
        with store.create_run("p") as run:
            with run.job("a"):
                found = project("runs", "trace").json["traceEvents"][-1]
            assert (found["name"], found["args"]["status"], found["dur"]) == ("a", "running", 0)


class TestJUnit:
    def suites(self, project: Project, *run: str) -> ET.Element:
        done = project("runs", "junit", *run)
        assert done.code == 0
        return ET.fromstring(done.stdout)

    def test_every_ending_is_what_a_reader_expects(self, ran: Project) -> None:
        suites = self.suites(ran)
        counts = {name: suites.get(name) for name in ("tests", "failures", "errors", "skipped")}
        assert counts == {"tests": "5", "failures": "2", "errors": "0", "skipped": "1"}
        assert [suite.get("name") for suite in suites] == ["s1", "s2"]
        for suite in suites:
            assert suite.get("tests") == str(len(suite))
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp") or "")
        cases = {case.get("name"): case for suite in suites for case in suite}
        assert [child.tag for child in cases["bad"]] == ["failure"]
        assert cases["bad"][0].get("message") == "exit code 3"
        assert cases["bad"][0].text == "so bad ***"
        assert cases["slow"][0].get("type") == "timed_out"
        assert [child.tag for child in cases["late"]] == ["skipped"]
        assert list(cases["good"]) == []
        assert all(re.fullmatch(r"\d+\.\d{3}", case.get("time") or "") for case in cases.values())

    def test_what_xml_cannot_have_is_replaced(self, project: Project) -> None:
        suites = self.suites(project, hostile_run(project))
        (case,) = suites[0]
        expected = HOSTILE.replace("\x1b", "\ufffd").replace("\x00", "\ufffd")
        assert case.get("name") == expected

    def test_a_failure_that_is_allowed_is_none(self, project: Project) -> None:
        project.pipeline({"a": {"run": "exit 3", "allow_failure": True}})
        assert project.run().code == 0
        suites = self.suites(project)
        assert (suites.get("failures"), suites.get("skipped")) == ("0", "1")
        assert suites[0][0][0].get("message") == "exit code 3 (allowed to fail)"

    def test_a_crashed_job_is_an_error(self, project: Project) -> None:
        from tests.runstore.samples import open_run

        sample = open_run(project.root / ".lorchestra")
        suites = self.suites(project, sample.id)
        assert suites.get("errors") == "1"


LINE = re.compile(r'[a-z_]+\{(?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)*\} \S+')


class TestPrometheus:
    def samples(self, text: str) -> dict[str, float]:
        found = {}
        for line in text.removesuffix("\n").split("\n") if text else ():
            if not line.startswith("#"):
                assert LINE.fullmatch(line), line
                name, _, value = line.rpartition(" ")
                assert name not in found
                found[name] = float(value)
        return found

    def test_the_last_run_of_each_pipeline(self, ran: Project) -> None:
        with RunStore(ran.root / ".lorchestra", "os").create_run("other") as run:
            run.end("succeeded")
        found = self.samples(ran("runs", "prometheus").out)
        assert found['lorchestra_run_last_success{pipeline="p"}'] == 0
        assert found['lorchestra_run_last_success{pipeline="other"}'] == 1
        assert found['lorchestra_run_last_jobs{pipeline="p",status="failed"}'] == 1
        assert found['lorchestra_job_last_duration_seconds{pipeline="p",job="good",stage="s1"}'] > 0
        start, end = (
            found[f'lorchestra_run_last_{what}_timestamp_seconds{{pipeline="p"}}']
            for what in ("start", "end")
        )
        assert 1.7e9 < start < end

    def test_every_metric_has_its_type_once(self, ran: Project) -> None:
        text = ran("runs", "prometheus", "last").out
        types = re.findall(r"^# TYPE (\S+) gauge$", text, re.MULTILINE)
        assert len(types) == len(set(types)) == 6
        assert {name.partition("{")[0] for name in self.samples(text)} == set(types)

    def test_one_at_work_has_not_failed(self, project: Project) -> None:
        with RunStore(project.root / ".lorchestra", "os").create_run("p", ["a"]):
            assert "last_success{" not in project("runs", "prometheus").out

    def test_labels_cannot_break_a_line(self, project: Project) -> None:
        hostile_run(project)
        assert len(self.samples(project("runs", "prometheus").out)) == 6

    def test_a_store_without_runs_gives_an_empty_file(self, project: Project) -> None:
        RunStore(project.root / ".lorchestra", "os").create_run("p").end()
        run = project.root / ".lorchestra/runs" / project.store.run_ids()[0]
        shutil.rmtree(run)
        assert project("runs", "prometheus").out == ""


class TestFiles:
    @pytest.mark.parametrize("what", ["trace", "junit", "prometheus"])
    def test_a_file_is_replaced_in_one_step(self, ran: Project, what: str) -> None:
        ran.write("out", "before")
        before = ran.files()
        done = ran("runs", what, "-o", "out")
        assert (done.code, done.out) == (0, "")
        assert ran.files() == before
        assert (ran.root / "out").read_bytes() == ran("runs", what).stdout

    @pytest.mark.parametrize("out", ["nowhere/out", ".", "token/out"])
    def test_a_place_that_is_not_there(self, ran: Project, out: str) -> None:
        before = ran.files()
        done = ran("runs", "trace", "-o", out)
        assert (done.code, done.out) == (2, "")
        assert re.fullmatch(r"lorchestra: \S*: cannot be written: .+\n", done.err)
        assert ran.files() == before

    def test_a_link_and_permissions_stay(self, ran: Project) -> None:
        (ran.root / "real").write_bytes(b"before")
        (ran.root / "real").chmod(0o604)
        (ran.root / "link").symlink_to("real")
        assert ran("runs", "junit", "-o", "link").code == 0
        assert (ran.root / "link").is_symlink()
        assert (ran.root / "real").read_bytes() == ran("runs", "junit").stdout
        assert (ran.root / "real").stat().st_mode & 0o777 == 0o604

    def test_a_device_is_written_to_and_not_replaced(self, ran: Project) -> None:
        assert ran("runs", "junit", "-o", "/dev/null").code == 0
        assert Path("/dev/null").is_char_device()

    def test_a_full_device_is_no_mistake_of_use(self, ran: Project) -> None:
        done = ran("runs", "junit", "-o", "/dev/full")
        assert (done.code, done.out) == (3, "")
        assert done.err.startswith("lorchestra: /dev/full: cannot be written: ")


class TestGraph:
    @pytest.fixture
    def drawn(self, project: Project) -> Project:
        project.pipeline({"x": "true"}, name="q.yaml")
        project.pipeline(
            {"peek": "true", 'a"<b>': "true"},
            {"each": {"loop": {"over": "@run.peek.items"}, "run": "echo ${item}"}},
            {"sum": {"run": "echo ${run.each}"}, "inner": {"pipeline": "q"}},
        )
        return project

    def test_mermaid(self, drawn: Project) -> None:
        assert drawn("graph", "p").out.splitlines() == [
            "flowchart LR",
            '    subgraph s0 ["s1"]',
            '        j0["peek"]',
            '        j1["a#quot;#lt;b#gt;"]',
            "    end",
            '    subgraph s1 ["s2"]',
            '        j2[["each"]]',
            "    end",
            '    subgraph s2 ["s3"]',
            '        j3["sum"]',
            '        j4[/"inner (q)"/]',
            "    end",
            "    s0 --> s1",
            "    s1 --> s2",
            "    j0 -.-> j2",
            "    j2 -.-> j3",
        ]

    def test_dot(self, drawn: Project, tmp_path: Path) -> None:
        done = drawn("graph", "p", "--format", "dot")
        assert 'j1 [label="a\\"<b>", shape=box];' in done.out
        assert "j0 -> j2 [ltail=cluster_0, lhead=cluster_1];" in done.out
        assert "j2 -> j3 [style=dotted, constraint=false];" in done.out
        assert done.out.count("{") == done.out.count("}")
        if shutil.which("dot"):
            subprocess.run(["dot", "-Tsvg"], input=done.stdout, check=True, capture_output=True)

    def test_a_pipeline_that_is_wrong_is_told(self, project: Project) -> None:
        project.write("p.yaml", "stages: 5")
        assert project("graph", "p").code == 2


def test_the_trace_is_one_json_object(ran: Project) -> None:
    assert json.loads(ran("runs", "trace").stdout)["displayTimeUnit"] == "ms"
