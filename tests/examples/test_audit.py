"""The jobs of `examples/audit`, called as lorchestra calls them, on a small environment."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import sysconfig
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from email import message_from_string
from importlib import import_module, metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2] / "examples" / "audit"

# What lorchestra does before it imports the target of a `call`.
sys.path.insert(0, str(PROJECT))
build = import_module("audit.build")
canonize = import_module("audit.canonize")
distributions = import_module("audit.distributions")
files = import_module("audit.files")
job = import_module("audit.job")
licences = import_module("audit.licences")
markdown = import_module("audit.markdown")
places = import_module("audit.places")
report = import_module("audit.report")
rows = import_module("audit.rows")
stdlib = import_module("audit.stdlib")

BSD = "Classifier: License :: OSI Approved :: BSD License\n"
APACHE = "Classifier: License :: OSI Approved :: Apache Software License\n"
GPL3_OR_LATER = """\
Classifier: License :: OSI Approved :: GNU General Public License v3 or later (GPLv3+)
"""

IDENTITY = {
    "LORCHESTRA_RUN_ID": "run-1",
    "LORCHESTRA_JOB_ID": "canonize",
    "LORCHESTRA_ATTEMPT": "1",
    "LORCHESTRA_IDEMPOTENCY_KEY": "a" * 64,
}


@pytest.fixture(autouse=True)
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "out"
    monkeypatch.setenv("AUDIT_OUT", str(folder))
    return folder


def digest(content: bytes, algorithm: str = "sha256") -> str:
    raw = hashlib.new(algorithm, content).digest()
    return f"{algorithm}={urlsafe_b64encode(raw).rstrip(b'=').decode()}"


def install(
    site: Path,
    name: str,
    contents: dict[str, bytes],
    *,
    version: str = "1.0",
    headers: str = "License-Expression: MIT\n",
) -> Path:
    """Install a distribution as pip does, and give its `.dist-info`."""
    info = site / f"{name}-{version}.dist-info"
    text = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{headers}"
    contents = {
        **contents,
        f"{info.name}/METADATA": text.encode(),
        f"{info.name}/INSTALLER": b"pip\n",
    }
    for path, content in contents.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(content)
    lines = [f"{path},{digest(content)},{len(content)}" for path, content in contents.items()]
    lines.append(f"{info.name}/RECORD,,")
    (info / "RECORD").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return info


def uninstall(site: Path, info: Path) -> None:
    for recorded in info.joinpath("RECORD").read_text(encoding="utf-8").splitlines():
        (site / recorded.split(",")[0]).unlink(missing_ok=True)
    info.rmdir()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site-packages of two distributions: one has an altered file, the other misses one."""
    folder = tmp_path / "site-packages"
    install(folder, "Tampered_With", {"tampered/a.py": b"a = 1\n", "tampered/b.py": b"b" * 5000})
    install(folder, "half.gone", {"half/here.py": b"", "half/gone.py": b"x = 1\n"})
    (folder / "tampered/a.py").write_bytes(b"a = 2\n")
    (folder / "half/gone.py").unlink()
    return folder


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A standard library of four modules, one of which is not Python."""
    folder = tmp_path / "lib"
    sources = {
        "alone.py": '"""Doc."""\nimport os, sys\n\ndef f():\n    """Doc."""\n    import re\n',
        "pack/__init__.py": "class C:\n    async def m(self):\n        try: pass\n"
        "        except OSError:\n            from os import path\n",
        "pack/broken.py": "x = 1\nprint 'two'\n",
        "pack/big.py": "x = lambda: 0\n" * 2000,
        "site-packages/other.py": "",
        "pack/__pycache__/cached.py": "",
        "pack/notes.txt": "",
    }
    for path, source in sources.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(source, encoding="utf-8", newline="\n")
    return folder


@pytest.fixture
def ingest(site: Path, library: Path) -> Callable[[], None]:
    """All four ingest jobs, on the small environment."""

    def run() -> None:
        distributions.ingest([str(site)])
        files.ingest([str(site)])
        stdlib.ingest(str(library))
        build.ingest()

    return run


def found(kind: str) -> list[dict[str, Any]]:
    return list(rows.read(kind)[1])


def by(field: str, kind: str) -> dict[str, dict[str, Any]]:
    return {row[field]: row for row in found(kind)}


def select(query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(places.database())) as connection:
        return connection.execute(query).fetchall()


def dump() -> list[str]:
    """All tables but `runs`, as SQL."""
    with closing(sqlite3.connect(places.database())) as connection:
        return [line for line in connection.iterdump() if 'INTO "runs"' not in line]


def program(module: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a job as `run` and `command` do."""
    return subprocess.run(
        [sys.executable, "-m", module],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


class TestDistributions:
    def test_a_row_tells_what_the_metadata_says_and_what_is_on_disk(self, site: Path) -> None:
        summary = "Summary: A third\nLicense-Expression: MIT\n"
        info = install(site, "Third", {"third.py": b"12345"}, version="3.1", headers=summary)
        output = distributions.ingest([str(site)])

        row = by("name", "distributions")["third"]
        assert row.pop("idempotency_key") == rows.key("distributions", "third")
        assert row == {
            "name": "third",
            "version": "3.1",
            "summary": "A third",
            "licence": "MIT",
            "licence_stated_in": "expression",
            "requires": 0,
            "installer": "pip",
            "location": str(site.resolve()),
            "files": 4,
            "size_bytes": 5 + sum(path.stat().st_size for path in info.iterdir()),
        }
        assert output["rows"] == 3

    def test_names_are_normalised_and_rows_in_their_order(self, site: Path) -> None:
        distributions.ingest([str(site)])
        assert list(by("name", "distributions")) == ["half-gone", "tampered-with"]

    def test_a_requirement_of_an_extra_is_not_counted(self, site: Path) -> None:
        headers = (
            "Requires-Dist: click>=8\n"
            'Requires-Dist: colorama; sys_platform == "win32"\n'
            'Requires-Dist: pytest; extra == "tests"\n'
        )
        install(site, "needy", {}, headers=headers)
        distributions.ingest([str(site)])
        assert by("name", "distributions")["needy"]["requires"] == 2

    def test_without_a_record_the_size_is_not_known(self, site: Path) -> None:
        (install(site, "bare", {}) / "RECORD").unlink()
        output = distributions.ingest([str(site)])
        row = by("name", "distributions")["bare"]
        assert (row["files"], row["size_bytes"]) == (None, None)
        assert output["without_record"] == 1

    def test_of_two_the_one_that_is_imported_counts(self, site: Path, tmp_path: Path) -> None:
        install(tmp_path / "second", "half-gone", {}, version="9.9")
        distributions.ingest([str(site), str(tmp_path / "second")])
        assert by("name", "distributions")["half-gone"]["version"] == "1.0"

    def test_what_an_uninstall_left_behind_is_no_distribution(self, site: Path) -> None:
        (site / "left-1.0.dist-info").mkdir()
        assert distributions.ingest([str(site)])["rows"] == 2

    def test_the_real_environment_has_its_distributions(self) -> None:
        distributions.ingest()
        assert by("name", "distributions")["pytest"]["version"] == metadata.version("pytest")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            "License-Expression: MIT OR Apache-2.0\nLicense: BSD\n",
            ("MIT OR Apache-2.0", "expression"),
        ),
        ("License: Apache License, Version 2.0\n", ("Apache-2.0", "field")),
        ("License: The MIT License (MIT)\n        \n        Copyright\n", ("MIT", "field")),
        ("License: bsd-3-clause\n", ("BSD-3-Clause", "field")),
        (
            "License: see LICENSE\nClassifier: License :: OSI Approved :: MIT License\n",
            ("MIT", "classifier"),
        ),
        (
            "License: UNKNOWN\nClassifier: License :: OSI Approved\n" + BSD + APACHE,
            ("BSD License; Apache Software License", "classifier"),
        ),
        (GPL3_OR_LATER, ("GPL-3.0-or-later", "classifier")),
        ("License: GPLv3\n", ("GPL-3.0-only", "field")),
        ("License: Proprietary\n", ("Proprietary", "field")),
        ("License: UNKNOWN\nClassifier: Topic :: Utilities\n", ("not stated", "")),
        ("", ("not stated", "")),
    ],
)
def test_a_licence_is_found_where_it_is_stated(headers: str, expected: tuple[str, str]) -> None:
    assert licences.licence(message_from_string(headers)) == expected


class TestFiles:
    def test_altered_and_missing_files_are_found(self, site: Path) -> None:
        output = files.ingest([str(site)])
        status = {row["path"]: row["status"] for row in found("files")}
        assert status["tampered/a.py"] == "altered"
        assert status["tampered/b.py"] == "ok"
        assert status["half/gone.py"] == "missing"
        assert status["half/here.py"] == "ok"
        assert (output["rows"], output["altered"], output["missing"]) == (10, 1, 1)

    def test_a_file_without_a_hash_is_not_altered(self, site: Path) -> None:
        assert files.ingest([str(site)])["unhashed"] == 2
        status = {row["path"]: row["status"] for row in found("files")}
        assert status["half.gone-1.0.dist-info/RECORD"] == "unhashed"

    @pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
    def test_every_algorithm_of_hashlib_is_understood(self, tmp_path: Path, algorithm: str) -> None:
        path = tmp_path / "module.py"
        path.write_bytes(b"content")
        _, _, expected = digest(b"content", algorithm).partition("=")
        recorded = SimpleNamespace(algorithm=algorithm, digest=expected)
        assert files.compare(path, recorded) == ("ok", 7)
        path.write_bytes(b"Content")
        assert files.compare(path, recorded) == ("altered", 7)

    def test_a_hash_that_nobody_knows_cannot_be_compared(self, tmp_path: Path) -> None:
        path = tmp_path / "module.py"
        path.write_bytes(b"content")
        assert files.compare(path, SimpleNamespace(algorithm="sha9", digest="x")) == ("unhashed", 7)

    def test_bytecode_that_is_gone_is_not_missing(self, tmp_path: Path) -> None:
        recorded = SimpleNamespace(algorithm="", digest="")
        assert files.compare(tmp_path / "gone.pyc", recorded) == ("unhashed", None)
        assert files.compare(tmp_path / "gone.py", recorded) == ("missing", None)

    def test_what_cannot_be_read_is_said_to_be_so(self, tmp_path: Path) -> None:
        recorded = SimpleNamespace(algorithm="sha256", digest="x")
        assert files.compare(tmp_path, recorded) == ("unreadable", None)

    def test_every_file_of_a_real_distribution_is_looked_at(self) -> None:
        result = program("audit.files")
        assert result.returncode == 0, result.stderr
        rows_of_pytest = [row for row in found("files") if row["distribution"] == "pytest"]
        record = metadata.distribution("pytest").read_text("RECORD")
        assert record is not None
        assert len(rows_of_pytest) == len(record.splitlines())
        assert {row["status"] for row in rows_of_pytest} <= {"ok", "unhashed"}


class TestStdlib:
    def test_a_module_is_counted(self, library: Path) -> None:
        stdlib.ingest(str(library))
        row = by("path", "modules")["alone.py"]
        assert row.pop("idempotency_key") == rows.key("modules", "alone.py")
        assert row == {
            "path": "alone.py",
            "package": "alone",
            "size_bytes": (library / "alone.py").stat().st_size,
            "lines": 6,
            "functions": 1,
            "classes": 0,
            "imports": 2,
            "docstrings": 2,
            "error": None,
        }

    def test_what_stands_in_any_block_is_counted(self, library: Path) -> None:
        stdlib.ingest(str(library))
        row = by("path", "modules")["pack/__init__.py"]
        counts = [row[name] for name in ("functions", "classes", "imports", "docstrings")]
        assert counts == [1, 1, 1, 0]

    def test_a_file_that_does_not_parse_is_a_row_with_the_reason(self, library: Path) -> None:
        output = stdlib.ingest(str(library))
        row = by("path", "modules")["pack/broken.py"]
        assert row["error"].startswith("line 2: ")
        assert (row["lines"], row["functions"]) == (2, 0)
        assert output["do_not_parse"] == 1

    def test_only_sources_of_the_library_itself_are_rows(self, library: Path) -> None:
        stdlib.ingest(str(library))
        assert list(by("path", "modules")) == [
            "alone.py",
            "pack/__init__.py",
            "pack/big.py",
            "pack/broken.py",
        ]

    def test_no_library_at_all_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(job.AuditError, match="no source of the standard library"):
            stdlib.ingest(str(tmp_path))

    def test_a_real_package_is_counted(self) -> None:
        output = stdlib.ingest(str(Path(sysconfig.get_path("stdlib"), "json")))
        assert output["do_not_parse"] == 0
        assert by("path", "modules")["decoder.py"]["classes"] >= 2


def test_the_build_settings_name_this_interpreter() -> None:
    build.ingest()
    values = {(row["area"], row["name"]): row["value"] for row in found("settings")}
    assert values["interpreter", "prefix"] == sys.prefix
    assert values["libraries", "SQLite"] == sqlite3.sqlite_version
    assert values["flags", "optimize"] == str(sys.flags.optimize)
    assert values["config", "py_version_short"] == sysconfig.get_config_var("py_version_short")


class TestRows:
    def test_a_row_has_the_same_key_whichever_run_writes_it(
        self, site: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines = []
        for run_id in ("run-1", "run-2"):
            for name, value in (IDENTITY | {"LORCHESTRA_RUN_ID": run_id}).items():
                monkeypatch.setenv(name, value)
            files.ingest([str(site)])
            lines.append(places.rows_file("files").read_text(encoding="utf-8").splitlines())
        first, second = lines
        assert first[1:] == second[1:]
        assert json.loads(first[0])["run"] == "run-1"
        assert json.loads(second[0])["run"] == "run-2"

    def test_no_two_rows_share_a_key(self, ingest: Callable[[], None]) -> None:
        ingest()
        kinds = ("distributions", "files", "modules", "settings")
        keys = [row["idempotency_key"] for kind in kinds for row in found(kind)]
        assert len(keys) == len(set(keys))

    def test_a_key_cannot_be_made_by_moving_a_boundary(self) -> None:
        assert rows.key("files", "ab", "c") != rows.key("files", "a", "bc")

    def test_a_crash_leaves_the_rows_that_were_there(self) -> None:
        def crashing() -> Iterator[dict[str, Any]]:
            yield {"idempotency_key": "2"}
            raise RuntimeError

        rows.write("files", [{"idempotency_key": "1"}])
        with pytest.raises(RuntimeError):
            rows.write("files", crashing())
        assert found("files") == [{"idempotency_key": "1"}]
        assert list(places.rows_file("files").parent.iterdir()) == [places.rows_file("files")]


class TestIdentity:
    def test_a_program_has_it_from_its_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in IDENTITY.items():
            monkeypatch.setenv(name, value)
        assert job.identity() == ("run-1", "canonize", 1, "a" * 64)

    def test_a_call_has_it_from_lorchestra_before_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        this = SimpleNamespace(run_id="r", job_id="j", attempt=2, idempotency_key="k")
        monkeypatch.setattr("lorchestra.current_job", lambda: this, raising=False)
        for name, value in IDENTITY.items():
            monkeypatch.setenv(name, value)
        assert job.identity() == ("r", "j", 2, "k")

    def test_by_hand_each_start_is_a_run_of_its_own(self) -> None:
        first, second = job.identity(), job.identity()
        assert first[:3] == ("by hand", "by hand", 1)
        assert first.idempotency_key != second.idempotency_key


class TestPrograms:
    def test_a_program_leaves_its_output_where_it_is_told(
        self, ingest: Callable[[], None], tmp_path: Path
    ) -> None:
        ingest()
        output = tmp_path / "output.json"
        result = program("audit.canonize", LORCHESTRA_OUTPUT=str(output), **IDENTITY)
        assert result.returncode == 0, result.stderr
        left = json.loads(output.read_text(encoding="utf-8"))
        assert left["files"] == {"added": 10, "changed": 0, "removed": 0}
        assert json.loads(result.stdout) == left
        assert select("SELECT run_id, attempt FROM runs") == [("run-1", 1)]

    def test_a_program_that_cannot_work_says_why_without_a_traceback(self, tmp_path: Path) -> None:
        output = tmp_path / "output.json"
        result = program("audit.canonize", LORCHESTRA_OUTPUT=str(output))
        assert result.returncode == 1
        assert result.stderr.startswith("audit: no rows of distributions in ")
        assert len(result.stderr.splitlines()) == 1
        assert not output.exists()


class TestCanonize:
    def test_twice_gives_the_same_tables(self, ingest: Callable[[], None]) -> None:
        ingest()
        canonize.canonize()
        first = dump()
        ingest()
        changes = canonize.canonize()
        assert dump() == first
        assert set(changes) == {"distributions", "files", "modules", "settings"}
        assert all(set(change.values()) == {0} for change in changes.values())

    def test_the_tables_depend_on_the_rows_and_not_on_what_came_before(
        self, ingest: Callable[[], None], site: Path
    ) -> None:
        names = ("one", "two", "three")
        infos = [install(site, name, {f"{name}.py": b""}) for name in names]
        ingest()
        canonize.canonize()
        first = dump()
        for info in infos:
            uninstall(site, info)
        ingest()
        canonize.canonize()
        assert dump() != first
        for name in names:
            install(site, name, {f"{name}.py": b""})
        ingest()
        canonize.canonize()
        assert dump() == first

    def test_what_was_uninstalled_is_removed(self, ingest: Callable[[], None], site: Path) -> None:
        info = install(site, "passing-by", {"passing.py": b""})
        ingest()
        canonize.canonize()
        uninstall(site, info)
        ingest()
        changes = canonize.canonize()
        assert changes["distributions"] == {"added": 0, "changed": 0, "removed": 1}
        assert changes["files"] == {"added": 0, "changed": 0, "removed": 4}
        assert select("SELECT name FROM distributions ORDER BY name") == [
            ("half-gone",),
            ("tampered-with",),
        ]

    def test_a_new_version_updates_the_row(self, ingest: Callable[[], None], site: Path) -> None:
        info = install(site, "moving", {"moving.py": b""})
        ingest()
        canonize.canonize()
        uninstall(site, info)
        install(site, "moving", {"moving.py": b""}, version="2.0")
        ingest()
        changes = canonize.canonize()
        assert changes["distributions"] == {"added": 0, "changed": 1, "removed": 0}
        assert select("SELECT version FROM distributions WHERE name = 'moving'") == [("2.0",)]

    def test_a_file_that_is_restored_is_ok_again(
        self, ingest: Callable[[], None], site: Path
    ) -> None:
        ingest()
        canonize.canonize()
        (site / "tampered/a.py").write_bytes(b"a = 1\n")
        ingest()
        assert canonize.canonize()["files"] == {"added": 0, "changed": 1, "removed": 0}
        assert select("SELECT count(*) FROM files WHERE status = 'altered'") == [(0,)]

    def test_rows_that_are_not_there_are_named(self, ingest: Callable[[], None]) -> None:
        ingest()
        places.rows_file("modules").unlink()
        with pytest.raises(job.AuditError, match=r"no rows of modules in .*: run the stage ingest"):
            canonize.canonize()
        assert not places.database().exists()

    def test_rows_that_are_cut_off_are_named(self, ingest: Callable[[], None]) -> None:
        ingest()
        path = places.rows_file("files")
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(job.AuditError, match=r"files\.jsonl is damaged"):
            canonize.canonize()

    def test_rows_of_another_environment_are_refused_and_nothing_changes(
        self, ingest: Callable[[], None]
    ) -> None:
        ingest()
        canonize.canonize()
        first = dump()
        path = places.rows_file("files")
        header, *_ = path.read_text(encoding="utf-8").splitlines()
        other = json.dumps(json.loads(header) | {"prefix": "/usr", "python": "3.9.2"})
        path.write_text(other + "\n", encoding="utf-8")
        with pytest.raises(job.AuditError) as caught:
            canonize.canonize()
        message = str(caught.value)
        assert "under different interpreters: activate the virtual environment first" in message
        assert "files: /usr, Python 3.9.2" in message
        assert dump() == first

    def test_all_tables_change_or_none(self, ingest: Callable[[], None], site: Path) -> None:
        ingest()
        canonize.canonize()
        first = dump()
        install(site, "new", {})
        ingest()
        path = places.rows_file("settings")  # the last table; the others are changed by then
        with path.open("a", encoding="utf-8") as file:
            row = {"idempotency_key": "x", "area": None, "name": "n", "value": "v"}
            file.write(json.dumps(row) + "\n")
        with pytest.raises(sqlite3.IntegrityError):
            canonize.canonize()
        assert dump() == first

    def test_a_second_attempt_is_no_second_run(
        self, ingest: Callable[[], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ingest()
        for attempt in ("1", "2"):
            for name, value in (IDENTITY | {"LORCHESTRA_ATTEMPT": attempt}).items():
                monkeypatch.setenv(name, value)
            canonize.canonize()
        assert len(select("SELECT * FROM runs")) == 1
        assert select("SELECT attempt, added > 0 FROM runs") == [(1, 1)]
        monkeypatch.setenv("LORCHESTRA_IDEMPOTENCY_KEY", "b" * 64)
        canonize.canonize()
        assert select("SELECT added FROM runs WHERE attempt = 2") == [(0,)]


class TestReport:
    @pytest.fixture
    def page(self, ingest: Callable[[], None]) -> Callable[..., list[str]]:
        def write(**arguments: Any) -> list[str]:
            ingest()
            canonize.canonize()
            path = report.write(**arguments)["report"]
            return Path(path).read_text(encoding="utf-8").splitlines()

        return write

    def test_its_first_lines_are_the_summary(
        self, page: Callable[..., list[str]], out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in IDENTITY.items():
            monkeypatch.setenv(name, value)
        lines = page()
        size_bytes = select("SELECT sum(size_bytes) FROM files")[0][0]
        assert lines[0] == f"# Python environment `{sys.prefix}`"
        assert lines[2] == f"- **2 distributions**: {size_bytes / 1024:.1f} KiB in 10 files."
        assert lines[3].startswith("- **1 file altered, 1 file missing**; 6 just as installed, 2 ")
        assert lines[4].endswith(" a standard library of 2,013 lines in 4 modules, 1 not parsed.")
        assert lines[6].startswith("Written 2")
        assert f" by run `run-1`, to `{out / 'report.md'}`." in lines[6]

    def test_it_names_each_file_that_differs(self, page: Callable[..., list[str]]) -> None:
        lines = page()
        start = lines.index("## Files altered or missing")
        assert lines[start + 4 : start + 7] == [
            "| half-gone | `half/gone.py` | missing |",
            "| tampered-with | `tampered/a.py` | altered |",
            "",
        ]

    def test_it_says_when_no_file_differs(self, page: Callable[..., list[str]], site: Path) -> None:
        (site / "tampered/a.py").write_bytes(b"a = 1\n")
        (site / "half/gone.py").write_bytes(b"x = 1\n")
        lines = page()
        assert lines[3].startswith("- **No file altered or missing**; 8 just as installed")
        assert lines[lines.index("## Files altered or missing") + 2] == "None."

    def test_it_names_a_hundred_files_and_counts_the_rest(
        self, page: Callable[..., list[str]], site: Path
    ) -> None:
        install(site, "lost", {f"lost/{n}.py": b"" for n in range(99)})
        for path in (site / "lost").iterdir():
            path.unlink()
        lines = page()
        assert sum(line.endswith((" missing |", " altered |")) for line in lines) == 100
        assert "And 1 more file, in table `files`." in lines

    def test_distributions_are_listed_by_size(
        self, page: Callable[..., list[str]], site: Path
    ) -> None:
        (install(site, "unknown", {}) / "RECORD").unlink()
        lines = page()
        start = lines.index("## Distributions, the largest first")
        names = [line.split(" | ")[0] for line in lines[start + 4 : start + 7]]
        assert names == ["| tampered-with", "| half-gone", "| unknown"]
        assert lines[2].endswith("; 1 without a RECORD to go by.")

    def test_licences_are_counted_the_most_frequent_first(
        self, page: Callable[..., list[str]], site: Path
    ) -> None:
        install(site, "anonymous", {}, headers="")
        lines = page()
        start = lines.index("## Licences")
        assert lines[start + 4 : start + 6] == [
            "| MIT | 2 | half-gone, tampered-with |",
            "| not stated | 1 | anonymous |",
        ]

    def test_the_library_is_listed_by_size_up_to_a_number(
        self, page: Callable[..., list[str]]
    ) -> None:
        lines = page(longest=1)
        start = lines.index("## Standard library: the largest packages")
        assert lines[start + 4].startswith("| `pack` | 3 | 2,007 | 1 | 1 | ")
        assert lines[start + 5] == ""
        start = lines.index("## Standard library: the longest modules")
        assert lines[start + 4].startswith("| `pack/big.py` | 2,000 | 0 | 0 | 0 | 0 | 27.3 KiB |")
        assert lines[start + 5] == ""

    def test_it_names_the_files_that_do_not_parse(self, page: Callable[..., list[str]]) -> None:
        assert any(line.startswith("| `pack/broken.py` | line 2: ") for line in page())

    def test_it_names_the_platform(self, page: Callable[..., list[str]]) -> None:
        assert f"| SQLite | {sqlite3.sqlite_version} |" in page()

    def test_twice_differs_in_the_line_with_the_date_only(
        self, page: Callable[..., list[str]]
    ) -> None:
        first, second = page(), page()
        assert first[:6] == second[:6]
        assert first[7:] == second[7:]

    def test_without_tables_it_says_what_to_do(self, out: Path) -> None:
        with pytest.raises(job.AuditError, match="run the stage canonize first"):
            report.write()
        assert not out.exists()


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (None, "\N{EN DASH}"),
        (0, "0 B"),
        (1023, "1,023 B"),
        (1024, "1.0 KiB"),
        (5 * 1024**2, "5.0 MiB"),
        (3 * 1024**4, "3,072.0 GiB"),
    ],
)
def test_a_size_is_in_the_largest_unit_that_leaves_a_whole_one(
    size_bytes: int | None, text: str
) -> None:
    assert markdown.size(size_bytes) == text


def test_a_cell_cannot_break_its_table() -> None:
    *_, row = markdown.table(("A", "B"), [("one|two\nthree", "<b>")])
    assert row == r"| one\|two three | \<b> |"


class TestPipelineFile:
    @pytest.fixture
    def jobs(self) -> dict[str, dict[str, Any]]:
        """Every job of the pipeline by its id, wherever it is defined."""
        pipeline = yaml.safe_load(
            (PROJECT / "pipelines" / "pipeline.audit.yaml").read_text(encoding="utf-8")
        )
        defined = {}
        for named in (each for stage in pipeline["stages"] for each in stage["jobs"]):
            if isinstance(named, str):
                path = PROJECT / "jobs" / f"{named}.yaml"
                defined[named] = yaml.safe_load(path.read_text(encoding="utf-8"))
                assert defined[named]["job_id"] == named
            else:
                defined[named["id"]] = named
        return defined

    def test_it_shows_every_kind_of_job(self, jobs: dict[str, dict[str, Any]]) -> None:
        ingesting = [each for name, each in jobs.items() if name.startswith("ingest_")]
        assert len(ingesting) == 4
        assert {"run", "command", "call"} <= {key for each in ingesting for key in each}

    def test_every_job_names_code_that_is_there(self, jobs: dict[str, dict[str, Any]]) -> None:
        for each in jobs.values():
            if "call" in each:
                module, _, function = each["call"].partition(":")
                assert callable(getattr(import_module(module), function))
            else:
                words = each["command"] if "command" in each else each["run"].split()
                assert words[:2] == ["python", "-m"]
                assert callable(import_module(words[2]).job.main)
