"""Random pipelines of short shell jobs that fail, hang, and succeed in the end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

SCRIPT = Path(__file__).with_name("job.sh")
FUNCTION = Path(__file__).with_name("function.py")

# What an attempt may do, and how often; one that hangs is ended by the timeout of its job.
_QUICK = ["ok"] * 8 + ["nap", "talk", "fail", "fail", "again"]
_SLOW = ["hang", "deaf", "tree"]
_MAX_BAD_ATTEMPTS = 4


@dataclass(frozen=True)
class Work:
    """A pipeline, as its file holds it, and with how many workers it runs."""

    name: str
    definition: dict[str, Any]
    workers: int

    @property
    def job_ids(self) -> list[str]:
        return [job["id"] for stage in self.definition["stages"] for job in stage["jobs"]]

    @property
    def allowed(self) -> set[str]:
        """The jobs that may fail."""
        return {
            job["id"]
            for stage in self.definition["stages"]
            for job in stage["jobs"]
            if job.get("allow_failure")
        }

    def write(self, root: Path) -> Path:
        """Make the folder that it runs in; gives the pipeline's file."""
        for name in ("did", "locks"):
            (root / name).mkdir()
        (root / "job.sh").write_bytes(SCRIPT.read_bytes())
        # A name of its own: rounds that end in one process would find the module of the first.
        (root / f"{self.name}.py").write_bytes(FUNCTION.read_bytes())
        path = root / "p.yaml"
        path.write_text(json.dumps(self.definition), encoding="utf-8")
        return path


def random_work(name: str, chance: Random) -> Work:
    """24 to 200 jobs in a few stages, for 8 to 32 workers."""
    name = f"stress_{name.replace('-', '_')}"
    count = int(chance.triangular(24, 200, 48))
    workers = chance.randint(8, 32)
    names = [f"stage{n}" for n in range(chance.randint(1, 4))]
    stages: list[dict[str, Any]] = [{"name": name, "jobs": []} for name in names]
    for number in range(count):
        stage = stages[number] if number < len(stages) else chance.choice(stages)
        stage["jobs"].append(_random_job(chance, f"job-{number}", name))
    definition = {
        "stop_on_failure": chance.random() < 0.3,
        "halt": chance.choice(["soon", "now"]),
        "grace": "300ms",
        "stages": stages,
    }
    return Work(name, definition, workers)


def _random_job(chance: Random, job_id: str, module: str) -> dict[str, Any]:
    is_slow = chance.random() < 0.06
    is_function = not is_slow and chance.random() < 0.1
    attempts = [chance.choice(_QUICK) for _ in range(chance.randint(0, _MAX_BAD_ATTEMPTS))]
    if is_slow:
        attempts.insert(0, chance.choice(_SLOW))
    job: dict[str, Any] = {"id": job_id, "command": ["sh", "job.sh", *attempts]}
    if is_function:
        job = {"id": job_id, "call": f"{module}:work", "with": {"attempts": attempts}}
    if is_slow:
        job["timeout"] = f"{chance.randint(300, 900)}ms"
    if is_slow and chance.random() < 0.3:
        job["total_timeout"] = "1s"
    if chance.random() < 0.4:
        job["retries"] = {
            "max": chance.randint(1, 3),
            "backoff": f"{chance.choice([0, 10, 50, 300])}ms",
            "jitter": chance.random() < 0.5,
        }
        if chance.random() < 0.3:
            job["retries"]["on_exit_codes"] = [75]
    if chance.random() < 0.05:
        job["allow_failure"] = True
    return job
