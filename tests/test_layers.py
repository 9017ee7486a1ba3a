"""Imports only go down, and few modules may touch the disk, the platform or a heavy library.

The table below is the architecture. A module has the level of its row, counted from the
lowest; a subpackage (`cli`, `loader`) has one level, and inside it anything but a circle goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.sources import Import, Module, Project

ROOT = Path(__file__).parents[1]

LAYERS = {
    "runstore": [
        ["errors"],
        ["files", "layout", "liveness"],
        ["lines", "storefile"],
        ["guard", "reading"],
        ["verifying", "writing"],
        ["mending", "upkeep"],
        ["store"],
    ],
    "lorchestra": [
        [
            *("belonging", "durations", "errors", "jobobject", "jsonvalues", "masking"),
            *("paths", "quota", "seats", "stop", "tail", "webhook", "wording"),
        ],
        [
            *("config", "context", "deadline", "model", "output", "references", "secretvalues"),
            "timetable",
        ],
        [
            *("binding", "capture", "executors", "fanout", "history", "limits", "ordering"),
            *("orphans", "params", "plan"),
            *("process", "recall", "resuming", "retrying", "signals"),
        ],
        ["call", "loader", "jobkeys", "queue", "report", "runkeys"],
        ["attempt", "child", "deciding", "export", "forecast", "health", "hooks", "progress"],
        ["opening", "nesting", "stage", "watching"],
        ["unfolding"],
        ["runner"],
        ["cli"],
    ],
}
# An `__init__` shows and a `__main__` starts what is below it, which is everything.
TOP = ("__init__", "__main__")

ONLY_IMPORTED_IN = {
    "click": "lorchestra.cli",
    "filelock": "runstore.guard",
    "portalocker": "lorchestra.limits",
}

# `liveness` reads the table of processes in /proc, which is no file of a store.
MAY_TOUCH_THE_DISK = {"runstore.files", "runstore.liveness"}
MAY_ASK_FOR_THE_PLATFORM = {"runstore.files", "runstore.liveness"}
HARMLESS_IN_OS = {
    *("PathLike", "_exit", "cpu_count", "environ", "fsdecode", "fsencode", "fspath", "getpid"),
    "register_at_fork",
    *("sched_getaffinity", "urandom"),
}
DISK_LIBRARIES = {"fcntl", "glob", "io", "mmap", "msvcrt", "shutil", "sqlite3", "tempfile"}
DISK_METHODS = {
    *("chmod", "exists", "glob", "hardlink_to", "is_dir", "is_file", "is_symlink", "iterdir"),
    *("lstat", "mkdir", "read_bytes", "read_text", "rename", "resolve", "rglob", "rmdir", "stat"),
    *("symlink_to", "touch", "unlink", "write_bytes", "write_text"),
}
PLATFORM_SWITCHES = {"sys.platform", "os.name", "platform.system"}


def level(module: Module) -> int | None:
    """The level of a module in its package; None: the table does not have it."""
    rows = LAYERS[module.package]
    if module.component in TOP:
        return len(rows)
    return next((n for n, row in enumerate(rows) if module.component in row), None)


def unlisted(project: Project) -> Iterator[str]:
    """Modules that the table does not have."""
    for module in project.modules.values():
        if level(module) is None:
            yield f"{module.path}: add `{module.component}` to LAYERS, above all that it imports"


def upward(project: Project) -> Iterator[str]:
    """Imports that do not go down."""
    for module in project.modules.values():
        here = level(module)
        for found in module.imports:
            target = project.target(found)
            if here is None or target is None or target.package != module.package:
                continue
            if target.component == module.component or is_own_version(found, target):
                continue
            there = level(target)
            if there is not None and there >= here:
                where = f"{module.path}:{found.line}"
                yield f"{where}: level {here} imports {target.name} of level {there}"


def is_own_version(found: Import, target: Module) -> bool:
    """Whether only `__version__` is wanted, which a package has before it imports anything.

    What else a plain `import lorchestra` is used for counts by itself, as the uses of it.
    """
    return target.component == "__init__" and found.name in (None, "__version__")


def circles(project: Project) -> Iterator[str]:
    """Modules that import each other, directly or by way of others."""
    graph = {
        module.name: {
            target.name
            for found in module.imports
            if (target := project.target(found)) and not is_own_version(found, target)
        }
        for module in project.modules.values()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"circle: {' <- '.join(error.args[1])}"


def across(project: Project) -> Iterator[str]:
    """Imports of lorchestra in runstore, and of what runstore does not show in lorchestra."""
    shown = {None, *project.public("runstore")}
    for module in project.modules.values():
        for found in module.imports:
            where = f"{module.path}:{found.line}"
            match module.package, found.module.partition(".")[0]:
                case "runstore", "lorchestra":
                    yield f"{where}: runstore does not know lorchestra"
                case "lorchestra", "runstore":
                    if found.module != "runstore" or found.name not in shown:
                        yield f"{where}: {found} is not in runstore.__all__"


def misplaced(project: Project) -> Iterator[str]:
    """Imports of a library outside the one place that is to know it."""
    for module in project.modules.values():
        for found in module.imports:
            place = ONLY_IMPORTED_IN.get(found.module.partition(".")[0])
            if place and not f"{module.name}.".startswith(f"{place}."):
                yield f"{module.path}:{found.line}: only {place} imports {found.module}"


def disk(project: Project) -> Iterator[str]:
    """Ways to the disk in runstore that do not lead through `files`."""
    for module in inside_runstore(project, but=MAY_TOUCH_THE_DISK):
        for line, what in ways_to_the_disk(module):
            yield f"{module.path}:{line}: {what} is for runstore.files"


def ways_to_the_disk(module: Module) -> Iterator[tuple[int, str]]:
    """What a module does that may touch a file: line, and what it is."""
    for found in module.imports:
        if found.module.partition(".")[0] in DISK_LIBRARIES:
            yield found.line, str(found)
        if found.module == "os" and found.name not in HARMLESS_IN_OS | {None}:
            yield found.line, str(found)
    for line, owner, name in module.calls():
        if owner != "files" and (name == "open" or (owner is not None and name in DISK_METHODS)):
            yield line, f"{name}()"


def platform(project: Project) -> Iterator[str]:
    """Code in runstore that asks which system it runs on."""
    for module in inside_runstore(project, but=MAY_ASK_FOR_THE_PLATFORM):
        for found in module.imports:
            if str(found) in PLATFORM_SWITCHES:
                yield f"{module.path}:{found.line}: {found} is for files and liveness"


def inside_runstore(project: Project, *, but: Iterable[str]) -> Iterator[Module]:
    """The modules of runstore, but for some."""
    for module in project.modules.values():
        if module.package == "runstore" and module.name not in but:
            yield module


RULES = (unlisted, upward, circles, across, misplaced, disk, platform)


def broken(sources: Mapping[str, str]) -> list[str]:
    """Every breach of a rule in some source files, given by path from the root of the project."""
    project = Project(sources)
    return list(dict.fromkeys(breach for rule in RULES for breach in rule(project)))


def sources_on_disk() -> dict[str, str]:
    """The source files of both packages."""
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for package in LAYERS
        for path in sorted((ROOT / package).rglob("*.py"))
    }


def test_the_packages_keep_to_their_layers() -> None:
    if breaches := broken(sources_on_disk()):
        pytest.fail("\n".join(breaches), pytrace=False)


@pytest.mark.parametrize("package", LAYERS)
def test_the_table_lists_nothing_that_is_gone(package: str) -> None:
    listed = [component for row in LAYERS[package] for component in row]
    there = {path.stem for path in (ROOT / package).iterdir()}
    assert [component for component in listed if component not in there] == []


SOUND = {
    "runstore/__init__.py": "from runstore.store import RunStore\n__all__ = ['RunStore']",
    "runstore/errors.py": "",
    "runstore/files.py": "import os, sys\nif sys.platform == 'linux': os.open('x', 0)",
    "runstore/store.py": "from runstore import errors, files\nfiles.exists(files.x)",
    "lorchestra/__init__.py": "__version__ = '1'",
    "lorchestra/errors.py": "",
    "lorchestra/model.py": "from lorchestra import __version__\nfrom .errors import x",
    "lorchestra/stage.py": "import lorchestra\nlorchestra.__version__",
    "lorchestra/runner.py": "import runstore\nx = runstore.RunStore\nfrom runstore import RunStore",
    "lorchestra/cli/__init__.py": "from lorchestra.cli import runs",
    "lorchestra/cli/runs.py": "import click\nfrom ..runner import x\nfrom .options import y",
    "lorchestra/cli/options.py": "from lorchestra import errors\ndef f():\n    import click.core",
    "lorchestra/__main__.py": "from lorchestra.cli import runs",
}


def test_a_sound_project_breaks_no_rule() -> None:
    assert broken(SOUND) == []


@pytest.mark.parametrize(
    ("path", "source", "breach"),
    [
        ("lorchestra/novel.py", "", "lorchestra/novel.py: add `novel` to LAYERS"),
        ("lorchestra/novel/__init__.py", "", "lorchestra/novel/__init__.py: add `novel`"),
        (
            "lorchestra/model.py",
            "import lorchestra.runner",
            "py:1: level 1 imports lorchestra.run",
        ),
        ("lorchestra/model.py", "from lorchestra import runner", "imports lorchestra.runner"),
        ("lorchestra/model.py", "from . import runner", "imports lorchestra.runner of level"),
        ("lorchestra/model.py", "from .runner import x", "imports lorchestra.runner of level"),
        ("lorchestra/model.py", "\ndef f():\n    from .cli import x", "py:3: level 1 imports"),
        ("lorchestra/model.py", "from lorchestra import x", "level 1 imports lorchestra of level"),
        ("lorchestra/model.py", "import lorchestra\nlorchestra.x", "py:2: level 1 imports lorches"),
        ("lorchestra/config.py", "from .model import x", "level 1 imports lorchestra.model of lev"),
        ("lorchestra/runner.py", "from .cli.runs import x", "imports lorchestra.cli.runs of level"),
        ("lorchestra/cli/options.py", "from ..__main__ import main", "imports lorchestra.__main__"),
        (
            "lorchestra/cli/options.py",
            "from . import runs",
            "circle: lorchestra.cli",
        ),
        ("lorchestra/cli/options.py", "from lorchestra.cli import x", "circle: lorchestra.cli"),
        ("runstore/errors.py", "import lorchestra", "runstore does not know lorchestra"),
        ("runstore/errors.py", "from lorchestra.model import x", "does not know lorchestra"),
        ("lorchestra/model.py", "import runstore.files", "py:1: runstore.files is not in"),
        ("lorchestra/model.py", "from runstore.store import x", "runstore.store.x is not in"),
        ("lorchestra/model.py", "from runstore import files", "runstore.files is not in"),
        ("lorchestra/model.py", "import runstore as r\nr.files", "py:2: runstore.files is not in"),
        ("lorchestra/runner.py", "import click", "only lorchestra.cli imports click"),
        (
            "lorchestra/cli/runs.py",
            "from filelock import x",
            "only runstore.guard imports filelock",
        ),
        (
            "runstore/store.py",
            "import os\nos.replace('a', 'b')",
            "py:2: os.replace is for runstore",
        ),
        ("runstore/store.py", "from os import fsync", "os.fsync is for runstore.files"),
        ("runstore/store.py", "open('x')", "open() is for runstore.files"),
        ("runstore/store.py", "path.write_bytes(b'')", "write_bytes() is for runstore.files"),
        ("runstore/store.py", "def f():\n    import shutil", "py:2: shutil is for runstore.files"),
        ("runstore/store.py", "import sys\nsys.platform", "sys.platform is for files and liveness"),
        ("runstore/store.py", "from os import name", "os.name is for files and liveness"),
    ],
)
def test_a_breach_is_found_and_named(path: str, source: str, breach: str) -> None:
    assert any(breach in found for found in broken({**SOUND, path: source}))
