"""What the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lorchestra.cli.commands import Project


@pytest.fixture
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Project:
    """A project folder of this test; commands are run in it."""
    # It would hide what the program forgets to flush.
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    return Project(root, capfdbinary)
