"""The job `ingest_build`: how the interpreter was built, and for which platform, as settings.

| area | holds |
| --- | --- |
| `interpreter` | which Python this is, and where |
| `platform` | which system it runs on; not which host |
| `libraries` | what it was linked with |
| `flags` | `sys.flags` |
| `config` | every variable of `sysconfig`: Makefile, pyconfig.h, paths |
"""

from __future__ import annotations

import platform
import sqlite3
import sys
import sysconfig
import zlib
from collections import Counter
from collections.abc import Iterator
from pyexpat import EXPAT_VERSION

from audit import job, rows

Setting = tuple[str, str, object]


def ingest() -> job.Output:
    """Write one row for each setting."""
    found = [_row(*setting) for setting in settings()]
    rows.write("settings", found)
    return {"rows": len(found), **Counter(row["area"] for row in found)}


def settings() -> Iterator[Setting]:
    """List all settings as area, name and value."""
    yield from (("interpreter", name, value) for name, value in _interpreter().items())
    yield from (("platform", name, value) for name, value in _platform().items())
    yield from (("libraries", name, value) for name, value in _libraries().items())
    yield from (("flags", name, getattr(sys.flags, name)) for name in _flag_names())
    yield from (("config", *item) for item in sorted(sysconfig.get_config_vars().items()))


def _row(area: str, name: str, value: object) -> rows.Row:
    return {
        "idempotency_key": rows.key("settings", area, name),
        "area": area,
        "name": name,
        "value": str(value),
    }


def _interpreter() -> dict[str, object]:
    return {
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "build": ", ".join(platform.python_build()),
        "compiler": platform.python_compiler(),
        "prefix": sys.prefix,
        "base prefix": sys.base_prefix,
        "free threading": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    }


def _platform() -> dict[str, object]:
    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()).strip() or "none",
        "wheel platform": sysconfig.get_platform(),
        "bits": sys.maxsize.bit_length() + 1,
        "byte order": sys.byteorder,
    }


def _libraries() -> dict[str, object]:
    return {
        "OpenSSL": _openssl(),
        "SQLite": sqlite3.sqlite_version,
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
        "Expat": EXPAT_VERSION,
    }


def _openssl() -> str:
    try:
        from ssl import OPENSSL_VERSION
    except ImportError:  # Python can be built without it
        return "none"
    return OPENSSL_VERSION


def _flag_names() -> list[str]:
    counted = {"count", "index"}  # methods, as of any tuple
    return [
        name for name in dir(sys.flags) if not name.startswith(("_", "n_")) and name not in counted
    ]


if __name__ == "__main__":
    job.main(ingest)
