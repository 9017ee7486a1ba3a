"""The job `ingest_stdlib`: every module of the standard library, parsed with `ast` and counted.

Files that do not parse are rows too, with the reason: the tests of the standard library keep some
broken ones on purpose.
"""

from __future__ import annotations

import ast
import gc
import os
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from audit import job, rows

_NOT_STANDARD = {"site-packages", "dist-packages", "__pycache__"}
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_IMPORT = (ast.Import, ast.ImportFrom)


def ingest(root: str | None = None) -> job.Output:
    """Write one row for each module.

    Args:
        root: The folder of the library; default: that of this Python.

    Raises:
        AuditError: There is not a single module: a Python that keeps its library in an archive.
    """
    folder = Path(root or sysconfig.get_path("stdlib"))
    found = [_row(folder, path) for path in sources(folder)]
    if not found:
        raise job.AuditError(f"no source of the standard library in {folder}")
    rows.write("modules", found)
    return {
        "rows": len(found),
        "lines": sum(row["lines"] for row in found),
        "size_bytes": sum(row["size_bytes"] for row in found),
        "do_not_parse": sum(row["error"] is not None for row in found),
    }


def sources(root: Path) -> list[Path]:
    """List the Python files below a folder in order of their paths, without installed packages."""
    found: list[Path] = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _NOT_STANDARD]
        found += [Path(folder, name) for name in files if name.endswith(".py")]
    return sorted(found)


def _row(root: Path, path: Path) -> rows.Row:
    relative = path.relative_to(root)
    source = path.read_bytes()
    counts, error = _parse(source)
    return {
        "idempotency_key": rows.key("modules", relative.as_posix()),
        "path": relative.as_posix(),
        "package": relative.parts[0].removesuffix(".py"),
        "size_bytes": len(source),
        "lines": len(source.splitlines()),
        "functions": counts["functions"],
        "classes": counts["classes"],
        "imports": counts["imports"],
        "docstrings": counts["docstrings"],
        "error": error,
    }


def _parse(source: bytes) -> tuple[Counter[str], str | None]:
    try:
        return count(ast.parse(source)), None
    except SyntaxError as error:
        where = f"line {error.lineno}: " if error.lineno else ""
        return Counter(), f"{where}{error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return Counter(), f"{type(error).__name__}: {error}"


def count(module: ast.Module) -> Counter[str]:
    """Count the functions, classes, import statements and docstrings of a module."""
    counts: Counter[str] = Counter()
    for node in _statements(module):
        counts["functions"] += isinstance(node, _FUNCTION)
        counts["classes"] += isinstance(node, ast.ClassDef)
        counts["imports"] += isinstance(node, _IMPORT)
        counts["docstrings"] += _has_docstring(node)
    return counts


def _statements(module: ast.Module) -> Iterator[ast.AST]:
    # Not `ast.walk`: nothing that is counted stands inside an expression, and most nodes do.
    ahead: list[ast.AST] = [module]
    while ahead:
        node = ahead.pop()
        yield node
        for block in ("body", "handlers", "orelse", "finalbody", "cases"):
            ahead += getattr(node, block, ())


def _has_docstring(node: ast.AST) -> bool:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return ast.get_docstring(node, clean=False) is not None
    return False


if __name__ == "__main__":
    # For the whole process, which is why this job is not a `call`: other jobs would feel it.
    warnings.simplefilter("ignore")  # what the library does with its backslashes is its affair
    gc.disable()  # a tree has no cycles, and looking for them takes a fifth of the time
    job.main(ingest)
