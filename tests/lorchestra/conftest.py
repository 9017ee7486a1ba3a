"""What the tests of lorchestra share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lorchestra.running import Runner


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    """Runs pipelines in a folder of this test."""
    return Runner(tmp_path)
