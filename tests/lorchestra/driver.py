"""A program that runs the pipeline it is told of, and prints every event as a line of JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from lorchestra import Call, Command, Job, Options, Pipeline, Shell, Stage, run_pipeline
from lorchestra.progress import Event, JobFinished
from lorchestra.signals import SIGNALS
from runstore import RunStore


def job(spec: dict[str, Any]) -> Job:
    if "run" in spec:
        action: Shell | Command | Call = Shell(spec["run"])
    elif "command" in spec:
        action = Command(tuple(spec["command"]))
    else:
        action = Call(spec["call"], spec.get("with", {}))
    return Job(spec["id"], action, spec.get("env", {}), spec.get("cwd"))


def say(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


def tell(event: Event) -> None:
    job_id = getattr(event, "job_id", None)
    status = event.outcome.status if isinstance(event, JobFinished) else None
    say(type(event).__name__, job_id=job_id, status=status)


def signal_state() -> list[str]:
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    return [str(wakeup), *(str(signal.getsignal(number)) for number in SIGNALS)]


def main() -> None:
    spec = json.loads(sys.argv[1])
    root = Path(spec["root"])
    stages = tuple(Stage(s["name"], tuple(map(job, s["jobs"]))) for s in spec["stages"])
    before = signal_state()
    result = run_pipeline(
        Pipeline("p", stages, root, grace_s=spec["grace_s"]),
        RunStore(root / "store", "os"),
        Options(spec["workers"]),
        handlers=[tell],
    )
    say(
        "result",
        run_id=result.run_id,
        status=result.status,
        signal=result.signal,
        hung=result.hung,
        signals_are_as_before=signal_state() == before,
        receipt=result.receipt,
    )
    if result.hung:
        os._exit(0)


if __name__ == "__main__":
    main()
