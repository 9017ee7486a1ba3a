"""The tables: one for each kind of row, and `runs`, the only one that knows of runs and times.

Rows are known by their idempotency key. `WITHOUT ROWID` keeps them in its order, so that the same
rows give the same dump, whatever came before them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

TABLES = {
    "distributions": """
        CREATE TABLE IF NOT EXISTS distributions (
            idempotency_key   TEXT PRIMARY KEY,
            name              TEXT NOT NULL UNIQUE,
            version           TEXT NOT NULL,
            summary           TEXT NOT NULL,
            licence           TEXT NOT NULL,
            licence_stated_in TEXT NOT NULL,  -- expression, field, classifier or empty
            requires          INTEGER NOT NULL,
            installer         TEXT NOT NULL,
            location          TEXT NOT NULL,
            files             INTEGER,        -- null: it has no RECORD
            size_bytes        INTEGER
        ) WITHOUT ROWID""",
    "files": """
        CREATE TABLE IF NOT EXISTS files (
            idempotency_key TEXT PRIMARY KEY,
            distribution    TEXT NOT NULL,
            path            TEXT NOT NULL,
            status          TEXT NOT NULL
                CHECK (status IN ('ok', 'altered', 'missing', 'unreadable', 'unhashed')),
            size_bytes      INTEGER           -- null: it is not there, or cannot be read
        ) WITHOUT ROWID""",
    "modules": """
        CREATE TABLE IF NOT EXISTS modules (
            idempotency_key TEXT PRIMARY KEY,
            path            TEXT NOT NULL UNIQUE,
            package         TEXT NOT NULL,
            size_bytes      INTEGER NOT NULL,
            lines           INTEGER NOT NULL,
            functions       INTEGER NOT NULL,
            classes         INTEGER NOT NULL,
            imports         INTEGER NOT NULL,
            docstrings      INTEGER NOT NULL,
            error           TEXT              -- why it does not parse; null: it does
        ) WITHOUT ROWID""",
    "settings": """
        CREATE TABLE IF NOT EXISTS settings (
            idempotency_key TEXT PRIMARY KEY,
            area            TEXT NOT NULL,
            name            TEXT NOT NULL,
            value           TEXT NOT NULL
        ) WITHOUT ROWID""",
}

RUNS = """
    CREATE TABLE IF NOT EXISTS runs (
        idempotency_key TEXT PRIMARY KEY,     -- the job's: a second attempt is no second run
        run_id          TEXT NOT NULL,
        attempt         INTEGER NOT NULL,
        at              TEXT NOT NULL,
        added           INTEGER NOT NULL,
        changed         INTEGER NOT NULL,
        removed         INTEGER NOT NULL
    ) WITHOUT ROWID"""


class Change(NamedTuple):
    """What making a table equal to the rows did to it, in rows."""

    added: int
    changed: int
    removed: int


def create(connection: sqlite3.Connection) -> None:
    """Create the tables that are not there yet."""
    for statement in (*TABLES.values(), RUNS):
        connection.execute(statement)


def replace(connection: sqlite3.Connection, table: str, rows: Sequence[dict[str, Any]]) -> Change:
    """Make a table hold exactly these rows, touching only those that differ.

    The caller's transaction decides when others see it.
    """
    before = _keys(connection, table)
    now = {row["idempotency_key"] for row in rows}
    _delete(connection, table, before - now)
    written = _upsert(connection, table, rows)
    added = len(now - before)
    return Change(added, written - added, len(before - now))


def _keys(connection: sqlite3.Connection, table: str) -> set[str]:
    return {key for (key,) in connection.execute(f"SELECT idempotency_key FROM {table}")}


def _upsert(connection: sqlite3.Connection, table: str, rows: Sequence[dict[str, Any]]) -> int:
    _, *columns = (name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})"))
    values = ", ".join(f":{column}" for column in columns)
    new = ", ".join(f"excluded.{column}" for column in columns)
    old = ", ".join(f"{table}.{column}" for column in columns)
    before = connection.total_changes
    connection.executemany(
        f"""
        INSERT INTO {table} (idempotency_key, {", ".join(columns)})
        VALUES (:idempotency_key, {values})
        ON CONFLICT (idempotency_key) DO UPDATE SET ({", ".join(columns)}) = ({new})
        WHERE ({old}) IS NOT ({new})
        """,
        rows,
    )
    return connection.total_changes - before


def _delete(connection: sqlite3.Connection, table: str, keys: set[str]) -> None:
    gone = [(key,) for key in keys]
    connection.executemany(f"DELETE FROM {table} WHERE idempotency_key = ?", gone)
