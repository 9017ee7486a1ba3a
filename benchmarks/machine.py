"""What a run was made on: without it a figure says little."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

import psutil

_PACKAGES = ("lorchestra", "click", "filelock", "orjson", "portalocker", "psutil", "PyYAML")


def machine() -> dict[str, Any]:
    """The machine, the system, and the versions of what takes part."""
    return {
        "processors": len(psutil.Process().cpu_affinity() or []) or os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: _version(name) for name in _PACKAGES},
        "load_before": round(psutil.getloadavg()[0], 2),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
