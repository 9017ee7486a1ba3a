"""The proof that the tests bite: each safety step is taken away in turn, and a test notices.

A copy of the package is changed and the tests that should notice are run against it. Before that
they are run against a copy that is not changed, so that a failure says something.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import runstore
from tests.faults.harness import Result
from tests.faults.mutations import MUTATIONS, Mutation
from tests.scale import Scale, environment

TITLE = "each safety step, taken away, makes a test fail"
IS_SLOW = True

_PROJECT = Path(__file__).parents[2]
_TIMEOUT_S = 300


def run(scale: Scale) -> Result:
    """Take the steps away, all of them or every fourth."""
    chosen = MUTATIONS[:: scale.count(1, 4)]
    needed = sorted({test for mutation in chosen for test in mutation.tests})
    assert _passes(None, needed), "the tests fail without a change"
    unnoticed = [mutation.name for mutation in chosen if _passes(mutation, mutation.tests)]
    figures: dict[str, int | float | str] = {
        "steps taken away": len(chosen),
        "noticed": len(chosen) - len(unnoticed),
    }
    if unnoticed:
        figures["unnoticed:"] = ", ".join(unnoticed)
    return Result(figures=figures, undetected=len(unnoticed))


def _passes(mutation: Mutation | None, tests: list[str] | tuple[str, ...]) -> bool:
    """Run tests against a copy of the package; tells whether all pass."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "runstore"
        shutil.copytree(Path(runstore.__file__).parent, package)
        if mutation is not None:
            _change(package / mutation.module, mutation)
        command = [sys.executable, "-P", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += [str(_PROJECT / "tests" / test) for test in tests]
        # A test that waits for ever, because a step is missing, has noticed too.
        try:
            ended = subprocess.run(
                command,
                cwd=_PROJECT,
                env=environment(PYTHONPATH=f"{folder}{os.pathsep}{_PROJECT}"),
                capture_output=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        assert ended.returncode in {0, 1, 2}, ended.stdout.decode()
        return ended.returncode == 0


def _change(path: Path, mutation: Mutation) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1, f"{mutation.name}: its text is not there, or twice"
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
