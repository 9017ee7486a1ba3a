"""Random pipelines of short jobs that fail, hang, and succeed in the end, and share things."""

from __future__ import annotations

import json
from collections.abc import Iterator
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
_ITEMS = ("a", "b", "c", "d", "e", "f")
# Of the run, and of the machine: the state folder of a round is its own.
_LIMITS = {"ours": 3, "theirs": 2}
_CONFIG = f"""
[limits.theirs]
capacity = {_LIMITS["theirs"]}
scope = "host"
"""
_HOOKS = {
    "on_start": ["echo start >> hooks"],
    "on_success": ["exit 3"],
    "on_failure": ["sleep 0.05"],
    "on_finish": [{"command": ["no-such-program"]}, "cat > last.json"],
}


@dataclass(frozen=True)
class Work:
    """A pipeline, as its file holds it, those inside it, and with how many workers it runs."""

    name: str
    definition: dict[str, Any]
    inner: dict[str, dict[str, Any]]
    workers: int

    @property
    def job_ids(self) -> list[str]:
        return ids_of(self.definition)

    @property
    def allowed(self) -> set[str]:
        """The jobs that may fail."""
        return {
            job_id
            for definition in (self.definition, *self.inner.values())
            for job in _jobs_of(definition)
            if job.get("allow_failure")
            for job_id in _ids(job)
        }

    def inside(self, job_id: str) -> list[str]:
        """The jobs of the pipeline that a job is; none: it is no pipeline."""
        (job,) = (job for job in _jobs_of(self.definition) if job_id in _ids(job))
        return ids_of(self.inner[job["pipeline"]]) if "pipeline" in job else []

    def write(self, root: Path) -> Path:
        """Make the folder that it runs in; gives the pipeline's file."""
        for name in ("did", "locks", *_LIMITS):
            (root / name).mkdir()
        (root / "job.sh").write_bytes(SCRIPT.read_bytes())
        # A name of its own: rounds that end in one process would find the module of the first.
        (root / f"{self.name}.py").write_bytes(FUNCTION.read_bytes())
        (root / "lorchestra.toml").write_text(_CONFIG, encoding="utf-8")
        for name, definition in {"p": self.definition, **self.inner}.items():
            (root / f"{name}.yaml").write_text(json.dumps(definition), encoding="utf-8")
        return root / "p.yaml"


def ids_of(definition: dict[str, Any]) -> list[str]:
    """The ids of all jobs of a pipeline, when its loops are unfolded."""
    return [job_id for job in _jobs_of(definition) for job_id in _ids(job)]


def _jobs_of(definition: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for stage in definition["stages"]:
        yield from stage["jobs"]


def _ids(job: dict[str, Any]) -> list[str]:
    over = job.get("loop", {}).get("over")
    items = _ITEMS if isinstance(over, str) else over
    return [job["id"]] if items is None else [f"{job['id']}[{item}]" for item in items]


def random_work(name: str, chance: Random) -> Work:
    """24 to 200 jobs in a few stages, for 8 to 32 workers, but for what loops add to them."""
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
        "limits": {"ours": _LIMITS["ours"]},
        "stages": stages,
    }
    if chance.random() < 0.3:
        definition["hooks"] = _HOOKS
    if len(stages) > 1 and chance.random() < 0.5:
        _add_loop_over_output(chance, stages)
    return Work(name, definition, _add_inner(chance, stages, name), workers)


def _add_loop_over_output(chance: Random, stages: list[dict[str, Any]]) -> None:
    """Let a job of the first stage say what one of a later stage is repeated for."""
    items = {"MORE_OUTPUT": f', "items": {json.dumps(_ITEMS)}'}
    peek = {"id": "peek", "command": ["sh", "job.sh"], "env": items}
    stages[0]["jobs"].append(peek)
    fan = _random_command(chance, "fan") | {"loop": {"over": "@run.peek.items"}}
    chance.choice(stages[1:])["jobs"].append(fan)


def _add_inner(
    chance: Random, stages: list[dict[str, Any]], module: str
) -> dict[str, dict[str, Any]]:
    inner = {}
    for number in range(chance.choice([0, 0, 1, 2])):
        jobs = [
            _random_job(chance, f"in{number}-{each}", module)
            for each in range(chance.randint(1, 8))
        ]
        for each in jobs:
            # Those of a run are of that run alone: its jobs would clash with those around it.
            each.pop("limits", None)
            each.pop("env", None)
        inner[f"inner{number}"] = {"stages": [{"name": "all", "jobs": jobs}]}
        job: dict[str, Any] = {"id": f"pipe-{number}", "pipeline": f"inner{number}"}
        if chance.random() < 0.5:
            job["retries"] = {"max": 2, "backoff": "10ms"}
        chance.choice(stages)["jobs"].append(job)
    return inner


def _random_job(chance: Random, job_id: str, module: str) -> dict[str, Any]:
    job = _random_command(chance, job_id)
    if chance.random() < 0.1:
        attempts = _attempts(chance)
        job = {"id": job_id, "call": f"{module}:work", "with": {"attempts": attempts}}
    if chance.random() < 0.03:
        job["loop"] = {"over": list(_ITEMS[: chance.randint(1, len(_ITEMS))])}
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
    if chance.random() < 0.1:
        job["idempotency_key"] = f"own-{job_id}" + ("-${item}" if "loop" in job else "")
    return job


def _attempts(chance: Random) -> list[str]:
    return [chance.choice(_QUICK) for _ in range(chance.randint(0, _MAX_BAD_ATTEMPTS))]


def _random_command(chance: Random, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = {"id": job_id, "command": ["sh", "job.sh", *_attempts(chance)]}
    if chance.random() < 0.06:
        job["command"].insert(2, chance.choice(_SLOW))
        job["timeout"] = f"{chance.randint(300, 900)}ms"
        if chance.random() < 0.3:
            job["total_timeout"] = "1s"
    limits = {name: capacity for name, capacity in _LIMITS.items() if chance.random() < 0.1}
    if limits:
        job["limits"] = list(limits)
        job["env"] = {"HOLDS": " ".join(f"{name}={limits[name]}" for name in limits)}
    return job
