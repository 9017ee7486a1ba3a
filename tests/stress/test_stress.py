"""A few rounds of the stress test; `tox -e stress` runs them all and prints their figures."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.stress.rounds import Round

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not (shutil.which("flock") and shutil.which("setsid")),
    reason="needs flock and setsid of util-linux",
)


@pytest.mark.parametrize("number", range(4))
def test_a_run_that_is_hurt_comes_to_its_end_and_its_record_is_true(
    tmp_path: Path, number: int
) -> None:
    figures = Round(f"ordinary-{number}", tmp_path).run()
    assert figures.attempts >= figures.jobs >= 24
