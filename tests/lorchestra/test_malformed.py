"""Files that are no pipelines, and texts that are hostile: they work, or are told clearly."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from lorchestra.errors import PipelineSyntaxError
from lorchestra.loader import load_pipeline
from tests import scale
from tests.lorchestra.cli.commands import Done, Project
from tests.lorchestra.malformed import FULL, HOSTILE, bombs, damaged, wrong_values, yaml_text
from tests.lorchestra.running import check_complete

SEED = 20261124
PLACE = re.compile(r"(lorchestra: )?\S*p\.yaml:\d+:\d+: \S")
QUICK_S = 20.0  # of a busy machine; most take a hundredth
MEMORY_MB = 1500


@pytest.fixture
def project(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", "t")
    return Project(tmp_path, capfdbinary)


def test_the_whole_pipeline_is_one(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(yaml_text(FULL))
    assert len(load_pipeline(path, tmp_path).jobs) == 3


def check(path: Path, data: bytes) -> bool:
    """Tell whether it is a pipeline; if not, every mistake has a place that the file has."""
    path.write_bytes(data)
    began = time.monotonic()
    with suppress(PipelineSyntaxError):
        load_pipeline(path, path.parent).sha256()
        return True
    with pytest.raises(PipelineSyntaxError) as caught:
        load_pipeline(path, path.parent)
    assert time.monotonic() - began < QUICK_S, data
    assert caught.value.problems, data
    lines = len(re.split(r"\r\n|[\n\r\x85\u2028\u2029]", _text(data)))
    for problem in caught.value.problems:
        assert 1 <= problem.line <= lines, (problem, data)
        assert problem.column >= 1
        assert problem.message.strip()
    assert len(str(caught.value).splitlines()) == len(caught.value.problems), data
    return False


def _text(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    return data.decode(errors="replace")


def test_damaged_files(tmp_path: Path) -> None:
    chance, path = Random(SEED), tmp_path / "p.yaml"
    number = scale.count(full=20_000, reduced=1_000)
    loaded = sum(check(path, damaged(chance)) for _ in range(number))
    assert 0 < loaded < number


def test_every_value_and_key_replaced_by_each_wrong_one(tmp_path: Path) -> None:
    path, files = tmp_path / "p.yaml", wrong_values()
    Random(SEED).shuffle(files)
    files = files[: scale.count(full=len(files), reduced=600)]
    loaded = sum(check(path, data) for data in files)
    assert 0 < loaded < len(files)


def test_the_commands_say_so_in_lines_with_a_place(project: Project) -> None:
    chance, path = Random(SEED + 1), project.root / "p.yaml"
    for _ in range(scale.count(full=2_000, reduced=60)):
        data = damaged(chance)
        is_valid = check(path, data)
        for done in (project("validate", "p.yaml"), project("pipeline", "p.yaml", "--dry-run")):
            assert done.code in ({0, 2} if is_valid else {2}), data
            if not is_valid:
                assert all(map(PLACE.match, done.errors or done.out.splitlines()[:1])), done
    assert not (project.root / ".lorchestra").exists()


BOMBS = bombs()
PIPELINES = {"many jobs", "references that are never closed"}
LIMITED = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY_MB << 20}, {MEMORY_MB << 20}))
from lorchestra.__main__ import main
sys.argv = ["lorchestra", "validate", "p.yaml"]
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
@pytest.mark.parametrize("name", BOMBS)
def test_what_would_cost_much_costs_little(tmp_path: Path, name: str) -> None:
    (tmp_path / "p.yaml").write_bytes(BOMBS[name])
    done = subprocess.run(
        [sys.executable, "-c", LIMITED],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=QUICK_S,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said[-2000:]
    assert done.returncode == (0 if name in PIPELINES else 2), said[-2000:]
    assert done.returncode == 0 or PLACE.match(said) or name == "a huge comment", said[:300]
    assert not (tmp_path / "pwned").exists()


# Hostile texts


def assert_clear(project: Project, done: Done) -> None:
    assert done.code in {0, 1, 2, 3}, done
    assert b"Traceback" not in done.stdout + done.stderr, done.err
    assert b"\x1b" not in done.stdout + done.stderr
    assert not (project.root / "pwned").exists()


def shell_job(text: str) -> dict[str, object]:
    return {"id": text, "run": "printf %s ${params.x} > got", "tags": [text], "description": text}


SOME = HOSTILE[:: scale.count(full=1, reduced=3)]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize("text", SOME, ids=lambda text: ascii(text)[:20])
class TestHostileTexts:
    def test_as_ids_and_names(self, project: Project, text: str) -> None:
        stages = [{"name": text, "jobs": [{**shell_job(text), "run": "true"}]}]
        definition = {"pipeline_id": text, "description": text, "stages": stages}
        path = project.write("p.yaml", yaml_text(definition).encode(errors="surrogatepass"))
        assert_clear(project, project("validate", "p.yaml"))
        done = project.run("--json", "--only", text)
        assert_clear(project, done)
        if not check(path, path.read_bytes()):
            assert (done.code, done.stdout) == (2, b"")
            return
        assert done.code == 0, done.err
        (run_id,) = project.store.run_ids()
        check_complete(project.store, run_id)
        assert list(project.store.read(run_id).jobs) == [text]
        for command in (
            ["runs", "list"],
            ["runs", "show", "last"],
            ["runs", "logs", "last", "--", text],
            ["runstore", "verify"],
            ["runstore", "stats"],
        ):
            done = project(*command)
            assert_clear(project, done)
            assert done.code == 0, (command, done.err)

    def test_as_values_that_jobs_get(self, project: Project, text: str) -> None:
        job = {**shell_job("a"), "tags": ["t"], "env": {"VALUE": text}}
        job["run"] = "printf %s ${params.x} > got; printf %s \"$VALUE\" > env; printf '%s' '' "
        stages = [{"name": "s", "jobs": [job, {"id": "b", "command": ["printf", "%s", text]}]}]
        project.write("p.yaml", yaml_text({"params": {"x": "d"}, "stages": stages}))
        done = project.run("--param", f"x={text}", "--tag", "t", "--tag", text)
        assert_clear(project, done)
        done = project.run("--param", f"x={text}")
        assert_clear(project, done)
        if done.code == 0:
            assert (project.root / "got").read_bytes().decode() == text
            assert (project.root / "env").read_bytes().decode() == text
            check_complete(project.store, project.store.run_ids()[0])

    @pytest.mark.parametrize("key", ["params", "env", "secrets", "with", "cwd", "tag"])
    def test_as_other_names(self, project: Project, text: str, key: str) -> None:
        definition: dict[str, object] = {}
        job: dict[str, object] = {"id": "a", "run": "true"}
        if key == "params":
            definition["params"] = {text: "v"}
        elif key == "secrets":
            definition["secrets"] = [text]
        elif key == "with":
            job = {"id": "a", "call": text, "with": {text: text}}
        else:
            job[{"tag": "tags"}.get(key, key)] = {"env": {text: "v"}, "cwd": text, "tag": [text]}[
                key
            ]
        definition["stages"] = [{"name": "s", "jobs": [job]}]
        project.write("p.yaml", yaml_text(definition))
        assert_clear(project, project("validate", "p.yaml"))
        assert_clear(project, project.run("--dry-run"))
        if key != "with":
            assert_clear(project, project.run("--progress", "none"))

    def test_as_arguments(self, project: Project, text: str) -> None:
        project.pipeline({"a": "true"})
        for option in ("--only", "--tag", "--from-stage", "--param", "--resume", "--timeout"):
            if "\0" not in text:
                done = project.run(f"{option}={text}", "--dry-run")
                assert_clear(project, done)
        for command in (["runs", "show"], ["runs", "logs", "last"], ["jobs", "show"], ["validate"]):
            assert_clear(project, project(*command, "--", text))
