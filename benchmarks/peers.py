"""How the other runners do what lorchestra does, each where it is installed.

Everyone runs the same commands, in the same folder, as many at once. What each keeps of it is its
own affair, and told in the table's notes: most keep nothing.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import Cost, run_program

# apt-get install make ninja-build parallel findutils; pip install doit luigi joblib go-task-bin
INSTALL = (
    "apt-get install -y findutils make ninja-build parallel && "
    "pip install doit luigi joblib go-task-bin dask distributed"
)

Commands = Sequence[Sequence[str]]
Prepare = Callable[[Path, Commands, int], "Invocation"]


@dataclass(frozen=True, slots=True)
class Invocation:
    """How a program is started: its arguments, and what it reads."""

    argv: Sequence[str]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Peer:
    """A runner.

    Attributes:
        name: What it is called in tables.
        needs: The program, or the Python module with a `.` before it, that has to be there.
        prepare: Writes into a folder what it needs to run some commands, so many at once.
    """

    name: str
    needs: str
    prepare: Prepare

    def is_here(self) -> bool:
        """Whether it can take part."""
        if self.needs.startswith("."):
            return importlib.util.find_spec(self.needs[1:]) is not None
        return found(self.needs) is not None

    def run(self, folder: Path, commands: Commands, workers: int) -> Cost:
        """Run the commands in a folder; writing the files is not in the time."""
        invocation = self.prepare(folder, commands, workers)
        return run_program(invocation.argv, folder, text=invocation.text)


def found(program: str) -> str | None:
    """Where a program is: beside this interpreter, or on the path."""
    beside = Path(sys.executable).parent / program
    return str(beside) if beside.exists() else shutil.which(program)


def lorchestra(*options: str) -> Prepare:
    """This project, with some options more."""

    def prepare(folder: Path, commands: Commands, workers: int) -> Invocation:
        jobs = [{"id": f"job{n}", "command": list(argv)} for n, argv in enumerate(commands)]
        text = json.dumps({"stages": [{"name": "all", "jobs": jobs}]}, indent=1)
        (folder / "bench.yaml").write_text(text)
        argv = [
            *(found("lorchestra") or "lorchestra", "pipeline", "bench.yaml"),
            *("--max-workers", str(workers), "--progress", "none", *options),
        ]
        return Invocation(argv)

    return prepare


def _xargs(_folder: Path, commands: Commands, workers: int) -> Invocation:
    (program, *_), *_rest = commands
    lines = "".join(f"{' '.join(argv[1:]) or ''}\n" for argv in commands)
    if all(len(argv) == 1 for argv in commands):
        # xargs adds each word it reads to the command; `true` does not mind.
        lines = "".join(f"{number}\n" for number in range(len(commands)))
    return Invocation(["xargs", f"-P{workers}", "-n1", program], lines)


def _make(folder: Path, commands: Commands, workers: int) -> Invocation:
    names = [f"job{number}" for number in range(len(commands))]
    rules = [f"{name}:\n\t@{' '.join(c)}\n" for name, c in zip(names, commands, strict=True)]
    all_jobs = " ".join(names)
    text = f"all: {all_jobs}\n.PHONY: all {all_jobs}\n{''.join(rules)}"
    (folder / "Makefile").write_text(text)
    return Invocation(["make", f"-j{workers}", "-s"])


def _ninja(folder: Path, commands: Commands, workers: int) -> Invocation:
    lines = ["rule run", "  command = $cmd"]
    for number, argv in enumerate(commands):
        lines += [f"build job{number}: run", f"  cmd = {' '.join(argv)}"]
    (folder / "build.ninja").write_text("\n".join([*lines, ""]))
    return Invocation([found("ninja") or "ninja", f"-j{workers}", "--quiet"])


def _parallel(folder: Path, commands: Commands, workers: int) -> Invocation:
    lines = "".join(f"{' '.join(argv)}\n" for argv in commands)
    log = folder / "joblog.txt"
    return Invocation(["parallel", f"-j{workers}", "--joblog", str(log)], lines)


def _go_task(folder: Path, commands: Commands, workers: int) -> Invocation:
    tasks = {f"job{number}": {"cmds": [" ".join(argv)]} for number, argv in enumerate(commands)}
    tasks["default"] = {"deps": list(tasks)}
    (folder / "Taskfile.yml").write_text(json.dumps({"version": "3", "tasks": tasks}))
    return Invocation([found("task") or "task", "--silent", "--concurrency", str(workers)])


_DOIT = """
import json
DOIT_CONFIG = {"verbosity": 0}
COMMANDS = json.load(open("commands.json"))
def task_all():
    for number, argv in enumerate(COMMANDS):
        yield {"name": str(number), "actions": [argv]}
"""


def _doit(folder: Path, commands: Commands, workers: int) -> Invocation:
    (folder / "commands.json").write_text(json.dumps(commands))
    (folder / "dodo.py").write_text(_DOIT)
    return Invocation(
        [found("doit") or "doit", "run", "-n", str(workers), "-P", "thread", "-r", "zero"]
    )


_LUIGI = """
import json, subprocess, sys, luigi
COMMANDS = json.load(open("commands.json"))
class One(luigi.Task):
    number = luigi.IntParameter()
    done = False
    def complete(self): return self.done
    def run(self):
        subprocess.run(COMMANDS[self.number], check=True)
        self.done = True
if __name__ == "__main__":
    tasks = [One(number) for number in range(len(COMMANDS))]
    luigi.build(tasks, workers=int(sys.argv[1]), local_scheduler=True, log_level="ERROR")
"""

_POOL = """
import json, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
COMMANDS = json.load(open("commands.json"))
def run(argv):
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
workers = int(sys.argv[1])
if workers == 1:
    for argv in COMMANDS:
        run(argv)
else:
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, COMMANDS))
"""

_JOBLIB = """
import json, subprocess, sys
from joblib import Parallel, delayed
COMMANDS = json.load(open("commands.json"))
def run(argv):
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
Parallel(n_jobs=int(sys.argv[1]), prefer="threads")(delayed(run)(argv) for argv in COMMANDS)
"""

_DASK = """
import json, subprocess, sys
from dask.distributed import Client, LocalCluster
COMMANDS = json.load(open("commands.json"))
def run(argv):
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
if __name__ == "__main__":
    cluster = LocalCluster(
        n_workers=1, threads_per_worker=int(sys.argv[1]), processes=False, dashboard_address=None
    )
    with cluster, Client(cluster) as client:
        client.gather(client.map(run, COMMANDS, pure=False))
"""


def script(text: str) -> Prepare:
    """A program in Python that reads the commands from `commands.json`."""

    def prepare(folder: Path, commands: Commands, workers: int) -> Invocation:
        (folder / "commands.json").write_text(json.dumps(commands))
        (folder / "program.py").write_text(text)
        return Invocation([sys.executable, "program.py", str(workers)])

    return prepare


POOL = "ThreadPoolExecutor, keeps nothing"

PEERS = (
    Peer(POOL, ".concurrent.futures", script(_POOL)),
    Peer("xargs -P", "xargs", _xargs),
    Peer("make -j", "make", _make),
    Peer("ninja", "ninja", _ninja),
    Peer("GNU parallel --joblog", "parallel", _parallel),
    Peer("go-task", "task", _go_task),
    Peer("doit, threads", "doit", _doit),
    Peer("joblib, threads", ".joblib", script(_JOBLIB)),
    Peer("luigi", ".luigi", script(_LUIGI)),
    Peer("dask, threads", ".distributed", script(_DASK)),
)
