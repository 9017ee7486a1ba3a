"""The sections of the report: a query each, and how its rows are laid out."""

from __future__ import annotations

import sqlite3
from itertools import groupby

from audit.markdown import Lines, code, counted, number, section, size, table

_MOST_NAMED = 100


def differing(connection: sqlite3.Connection) -> Lines:
    """Name the files that are not what their RECORD says."""
    rows = connection.execute(
        """
        SELECT distribution, path, status FROM files
        WHERE status NOT IN ('ok', 'unhashed') ORDER BY distribution, path
        """
    ).fetchall()
    named = ((name, code(path), status) for name, path, status in rows[:_MOST_NAMED])
    lines = table(("Distribution", "File", "Status"), named)
    if len(rows) > _MOST_NAMED:
        lines += ["", f"And {counted(len(rows) - _MOST_NAMED, 'more file')}, in table `files`."]
    return section("Files altered or missing", lines if rows else ["None."])


def distributions(connection: sqlite3.Connection) -> Lines:
    """List every distribution by size."""
    rows = connection.execute(
        """
        SELECT name, version, licence, installer, requires, files, size_bytes, summary
        FROM distributions ORDER BY size_bytes DESC, name
        """
    )
    heads = ("Distribution", "Version", "Licence", "By", "Requires>", "Files>", "Size>", "Summary")
    cells = (
        (*texts, number(requires), number(files), size(size_bytes), summary)
        for *texts, requires, files, size_bytes, summary in rows
    )
    return section("Distributions, the largest first", table(heads, cells))


def licences(connection: sqlite3.Connection) -> Lines:
    """List every licence with who states it, the most frequent first."""
    rows = connection.execute("SELECT licence, name FROM distributions ORDER BY licence, name")
    groups = [
        (licence, [name for _, name in group])
        for licence, group in groupby(rows, key=lambda row: str(row[0]))
    ]
    groups.sort(key=lambda group: len(group[1]), reverse=True)
    cells = ((licence, number(len(names)), ", ".join(names)) for licence, names in groups)
    return section("Licences", table(("Licence", "Distributions>", "Which"), cells))


def packages(connection: sqlite3.Connection, longest: int) -> Lines:
    """List the largest packages of the standard library."""
    rows = connection.execute(
        """
        SELECT package, count(*), sum(lines), sum(functions), sum(classes), sum(size_bytes)
        FROM modules GROUP BY package ORDER BY sum(size_bytes) DESC, package LIMIT ?
        """,
        (longest,),
    )
    heads = ("Package", "Modules>", "Lines>", "Functions>", "Classes>", "Size>")
    cells = ((code(name), *map(number, counts), size(total)) for name, *counts, total in rows)
    return section("Standard library: the largest packages", table(heads, cells))


def modules(connection: sqlite3.Connection, longest: int) -> Lines:
    """List the longest modules of the standard library."""
    rows = connection.execute(
        """
        SELECT path, lines, functions, classes, imports, docstrings, size_bytes
        FROM modules ORDER BY lines DESC, path LIMIT ?
        """,
        (longest,),
    )
    heads = ("Module", "Lines>", "Functions>", "Classes>", "Imports>", "Docstrings>", "Size>")
    cells = ((code(path), *map(number, counts), size(total)) for path, *counts, total in rows)
    return section("Standard library: the longest modules", table(heads, cells))


def unparsed(connection: sqlite3.Connection) -> Lines:
    """List the files of the standard library that are not valid Python, and why."""
    query = "SELECT path, error FROM modules WHERE error IS NOT NULL ORDER BY path"
    rows = [(code(path), error) for path, error in connection.execute(query)]
    lines = table(("File", "Why"), rows) if rows else ["None."]
    return section("Standard library: files that do not parse", lines)


def platform(connection: sqlite3.Connection) -> Lines:
    """List what the interpreter is and stands on."""
    shown = ("interpreter", "platform", "libraries")
    rows = [item for area in shown for item in settings(connection, area).items()]
    (others,) = connection.execute(
        "SELECT count(*) FROM settings WHERE area IN ('flags', 'config')"
    ).fetchone()
    note = f"And {number(others)} flags and build variables, in table `settings`."
    return section("Interpreter and platform", [*table(("Setting", "Value"), rows), "", note])


def settings(connection: sqlite3.Connection, area: str) -> dict[str, str]:
    """Read the settings of one area by name."""
    query = "SELECT name, value FROM settings WHERE area = ? ORDER BY name"
    return dict(connection.execute(query, (area,)))
