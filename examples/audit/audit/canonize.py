"""The job `canonize`: the rows of the four ingest jobs become tables, all of them or none.

Run twice it gives the same tables: a row that is there is left as it is, one that differs is
updated, one that is gone from the environment is removed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime

from audit import job, places, rows, tables
from audit.tables import Change


def canonize() -> job.Output:
    """Make the tables hold what the ingest jobs found.

    Raises:
        AuditError: Rows are missing, or come from different environments; nothing was changed.
    """
    ingested = {table: rows.read(table) for table in tables.TABLES}
    _check_same_environment(header for header, _ in ingested.values())
    places.database().parent.mkdir(parents=True, exist_ok=True)
    # Transactions begin and end where this says so, not where the module guesses.
    with closing(sqlite3.connect(places.database(), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            tables.create(connection)
            changes = {
                table: tables.replace(connection, table, found)
                for table, (_, found) in ingested.items()
            }
            _note_run(connection, changes.values())
    return {table: change._asdict() for table, change in changes.items()}


def _check_same_environment(headers: Iterable[rows.Header]) -> None:
    headers = list(headers)
    if len({(header["prefix"], header["python"]) for header in headers}) > 1:
        lines = (f"  {h['kind']}: {h['prefix']}, Python {h['python']}" for h in headers)
        raise job.AuditError(
            "the jobs ran under different interpreters: activate the virtual environment first\n"
            + "\n".join(lines)
        )


def _note_run(connection: sqlite3.Connection, changes: Iterable[Change]) -> None:
    # When an attempt did commit and was killed right after, its note stands: the next attempt
    # finds nothing to change, and would say so.
    this = job.identity()
    totals = [sum(column) for column in zip(*changes, strict=True)]
    connection.execute(
        "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (idempotency_key) DO NOTHING",
        (this.idempotency_key, this.run_id, this.attempt, datetime.now(UTC).isoformat(), *totals),
    )


if __name__ == "__main__":
    job.main(canonize)
