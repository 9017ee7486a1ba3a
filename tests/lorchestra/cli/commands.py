"""Commands in a project folder of a test: in this process, or in one of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lorchestra.cli import run
from runstore import RunStore
from tests.lorchestra.running import PATIENCE_S, check_complete

PROGRAM = (sys.executable, "-m", "lorchestra")

RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
RECEIPT = re.compile(r"[0-9]+:[0-9a-f]{8}")
RUN_KEYS = {
    *(
        "run_id",
        "pipeline_id",
        "run_key",
        "status",
        "success",
        "total",
        "succeeded",
        "failed",
        "failures",
    ),
    *("duration_ms", "stopped_early", "receipt", "jobs"),
}
JOB_KEYS = {"job_id", "stage", "status", "attempts", "exit_code", "duration_ms", "log"}

Job = str | Mapping[str, Any]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        return self.stdout.decode()

    @property
    def err(self) -> str:
        return self.stderr.decode()

    @property
    def errors(self) -> list[str]:
        return self.err.splitlines()

    @property
    def json(self) -> Any:
        """The one value that stdout holds: a single line of JSON, and nothing else."""
        assert self.stdout.endswith(b"\n")
        assert self.stdout.count(b"\n") == 1
        return json.loads(self.stdout)


class Project:
    """A project folder, which is the working folder of the test."""

    def __init__(self, root: Path, capture: pytest.CaptureFixture[bytes]) -> None:
        self.root = root
        self._capture = capture

    def write(self, name: str, content: str | bytes = "") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def pipeline(self, *stages: Mapping[str, Job], name: str = "p.yaml", **keys: Any) -> Path:
        """Write a pipeline of stages called `s1`, `s2`, ...; a job is a shell line or its keys."""
        listed = [
            {
                "name": f"s{number}",
                "jobs": [
                    {"id": job_id, **({"run": job} if isinstance(job, str) else job)}
                    for job_id, job in stage.items()
                ],
            }
            for number, stage in enumerate(stages, 1)
        ]
        return self.write(name, yaml_of({**keys, "stages": listed}))

    def __call__(self, *arguments: str) -> Done:
        """Run a command in this process."""
        self._capture.readouterr()
        code = run(arguments)
        return Done(code, *self._capture.readouterr())

    def run(self, *arguments: str, name: str = "p") -> Done:
        """Run a pipeline in this process, without waiting for the disk."""
        return self("pipeline", name, "--durability", "os", *arguments)

    def process(self, *arguments: str | bytes, **options: Any) -> Done:
        """Run a command in a process of its own to its end."""
        done = subprocess.run(
            [*PROGRAM, *arguments],
            cwd=self.root,
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=options.pop("stderr", subprocess.PIPE),
            timeout=PATIENCE_S,
            check=False,
            **options,
        )
        return Done(done.returncode, done.stdout or b"", done.stderr or b"")

    @contextmanager
    def started(self, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        """A command at work in a process of its own, which is killed at the end if need be."""
        with subprocess.Popen(
            [*PROGRAM, *arguments],
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @property
    def store(self) -> RunStore:
        """The store where a project's runs go by default."""
        return RunStore(self.root / ".lorchestra")

    def files(self) -> set[str]:
        """Every file and folder of the project."""
        return {path.relative_to(self.root).as_posix() for path in self.root.rglob("*")}


def yaml_of(value: Any) -> str:
    """JSON that is YAML too, which has no escapes for halves of characters."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def ended(process: subprocess.Popen[bytes]) -> Done:
    """Wait for the end of a started command."""
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    return Done(process.returncode, stdout, stderr)


def environment(**variables: str) -> dict[str, str]:
    """The environment of this process, and some variables more."""
    return {**os.environ, **variables}


def run_object(project: Project, done: Done) -> dict[str, Any]:
    """The object that was printed; it has all keys and types, and can be had again later."""
    found: dict[str, Any] = done.json
    assert found.keys() == RUN_KEYS
    assert RUN_ID.fullmatch(found["run_id"])
    assert RECEIPT.fullmatch(found["receipt"])
    assert isinstance(found["duration_ms"], int | float)
    assert found["success"] is (found["status"] == "succeeded")
    assert found["total"] == len(found["jobs"])
    for job in found["jobs"]:
        check_job(job)
    again = project("runs", "show", found["run_id"], "--json")
    assert again.stdout == done.stdout
    check_complete(project.store, found["run_id"])
    return found


def check_job(job: dict[str, Any]) -> None:
    assert job.keys() == JOB_KEYS
    if job["attempts"]:
        assert isinstance(job["duration_ms"], int | float)
        assert Path(job["log"]).is_file()
    else:
        assert (job["exit_code"], job["duration_ms"], job["log"]) == (None, None, None)


def statuses(found: dict[str, Any]) -> dict[str, str]:
    return {job["job_id"]: job["status"] for job in found["jobs"]}
