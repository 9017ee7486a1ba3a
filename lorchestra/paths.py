"""Paths as their users mean and know them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def absolute(path: Path) -> Path:
    """The path from the root of the file system, without `..`; symbolic links are not followed."""
    return Path(os.path.abspath(path))


def shown_path(path: Path) -> str:
    """The path for a message: relative to the working folder when below it, else as it is."""
    # It is elsewhere (ValueError), or the working folder has been removed (OSError).
    with contextlib.suppress(ValueError, OSError):
        path = path.relative_to(Path.cwd())
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")
