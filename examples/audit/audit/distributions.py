"""The job `ingest_distributions`: every installed distribution's metadata."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audit import job, rows
from audit.installed import Distribution, distributions
from audit.licences import NOT_STATED, licence


def ingest(search: Sequence[str] | None = None) -> job.Output:
    """Write one row for each distribution; `search`: the folders to look in, default `sys.path`."""
    found = [_row(distribution) for distribution in distributions(search)]
    rows.write("distributions", found)
    return {
        "rows": len(found),
        "size_bytes": sum(row["size_bytes"] or 0 for row in found),
        "without_record": sum(row["files"] is None for row in found),
        "without_licence": sum(row["licence"] == NOT_STATED for row in found),
    }


def _row(distribution: Distribution) -> rows.Row:
    name, stated_in = licence(distribution.headers)
    sizes = None if distribution.record is None else list(_sizes(distribution))
    return {
        "idempotency_key": rows.key("distributions", distribution.name),
        "name": distribution.name,
        "version": distribution.version,
        "summary": distribution.headers.get("Summary", ""),
        "licence": name,
        "licence_stated_in": stated_in,
        "requires": sum(1 for _ in _required(distribution)),
        "installer": distribution.installer,
        "location": str(distribution.folder),
        "files": None if sizes is None else len(sizes),
        "size_bytes": None if sizes is None else sum(sizes),
    }


def _required(distribution: Distribution) -> Iterator[str]:
    for requirement in distribution.headers.get_all("Requires-Dist", []):
        _, _, condition = requirement.partition(";")
        if "extra" not in condition:  # required only for who asks for more
            yield requirement


def _sizes(distribution: Distribution) -> Iterator[int]:
    for recorded in distribution.record or ():
        try:
            yield (distribution.folder / recorded.path).stat().st_size
        except OSError:
            yield 0  # ingest_files says which files are not there


if __name__ == "__main__":
    job.main(ingest)
