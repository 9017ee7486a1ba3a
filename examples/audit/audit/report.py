"""The job `report`: the tables as a page for people, `out/report.md`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

from audit import job, places, sections
from audit.markdown import Lines, code, counted, number, size


def write(longest: int = 15) -> job.Output:
    """Write the report.

    Args:
        longest: Most lines in the lists of packages and modules of the standard library.

    Raises:
        AuditError: There are no tables to report on.
    """
    path = places.report()
    with closing(_tables()) as connection, places.replacing(path) as file:
        file.writelines(f"{line}\n" for line in _page(connection, longest))
    print(f"The report is in {path}")
    return {"report": str(path)}


def _tables() -> sqlite3.Connection:
    path = places.database()
    if not path.exists():
        raise job.AuditError(f"no tables in {path}: run the stage canonize first")
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)


def _page(connection: sqlite3.Connection, longest: int) -> Lines:
    return [
        *_head(connection),
        *sections.differing(connection),
        *sections.distributions(connection),
        *sections.licences(connection),
        *sections.packages(connection, longest),
        *sections.modules(connection, longest),
        *sections.unparsed(connection),
        *sections.platform(connection),
    ]


def _head(connection: sqlite3.Connection) -> Lines:
    python = sections.settings(connection, "interpreter")
    return [
        f"# Python environment {code(python['prefix'])}",
        "",
        f"- {_installed(connection)}",
        f"- {_verdict(connection)}",
        f"- {python['implementation']} {python['version']}{_library(connection)}",
        "",
        f"Written {_when()}, to {code(str(places.report()))}.",
    ]


def _installed(connection: sqlite3.Connection) -> str:
    query = "SELECT count(*), sum(files), total(size_bytes), sum(files IS NULL) FROM distributions"
    count, files, size_bytes, unrecorded = connection.execute(query).fetchone()
    line = f"**{counted(count, 'distribution')}**: {size(int(size_bytes))}"
    line += f" in {counted(files or 0, 'file')}"
    return f"{line}; {number(unrecorded)} without a RECORD to go by." if unrecorded else f"{line}."


def _verdict(connection: sqlite3.Connection) -> str:
    counts = dict(connection.execute("SELECT status, count(*) FROM files GROUP BY status"))
    unhashed, same = counts.pop("unhashed", 0), counts.pop("ok", 0)
    bad = [f"{counted(counts[status], 'file')} {status}" for status in sorted(counts)]
    return (
        f"**{', '.join(bad) or 'No file altered or missing'}**;"
        f" {number(same)} just as installed, {number(unhashed)} without a hash to compare with."
    )


def _library(connection: sqlite3.Connection) -> str:
    query = "SELECT count(*), total(lines), count(error) FROM modules"
    count, lines, unparsed = connection.execute(query).fetchone()
    return (
        f", with a standard library of {counted(int(lines), 'line')}"
        f" in {counted(count, 'module')}, {number(unparsed)} not parsed."
    )


def _when() -> str:
    # Nothing else in the report differs from one run to the next when nothing has changed.
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC by run {code(job.identity().run_id)}"


if __name__ == "__main__":
    job.main(write)
