"""Benchmarks are no part of what is installed: they are imported from where they are."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

# They compare locks that Windows does not have.
collect_ignore_glob = ["test_*.py"] if os.name == "nt" else []

_FOLDER = Path(__file__).parents[2] / "benchmarks"

if "benchmarks" not in sys.modules:
    # Not by a path: what is installed is to be imported from there, not from the folder beside it.
    spec = importlib.util.spec_from_file_location(
        "benchmarks", _FOLDER / "__init__.py", submodule_search_locations=[str(_FOLDER)]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules["benchmarks"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
