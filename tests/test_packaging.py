"""What is installed: the files of the wheel, its commands, its version, its dependencies."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PACKAGES = ("lorchestra", "runstore")
VERSION = metadata.version("lorchestra")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """What pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZipFile]:
    """The wheel, built from the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(folder), cwd=ROOT
    )
    with ZipFile(next(folder.glob("*.whl"))) as archive:
        yield archive


def run(*command: str, cwd: Path) -> str:
    """Run a command that must succeed, and give what it printed."""
    return subprocess.run(
        command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ).stdout


def read(name: str) -> str:
    """The text of a file of the project."""
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_wheel_holds_both_packages_typed_and_nothing_else(wheel: ZipFile) -> None:
    sources = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    typed = {f"{package}/py.typed" for package in PACKAGES}
    about = f"lorchestra-{VERSION}.dist-info/"
    packed = {name for name in wheel.namelist() if not name.startswith(about)}
    assert packed == sources | typed
    assert f"{about}licenses/LICENSE" in wheel.namelist()


def test_the_wheel_fits_every_python_and_platform(wheel: ZipFile) -> None:
    assert wheel.filename is not None
    assert Path(wheel.filename).name == f"lorchestra-{VERSION}-py3-none-any.whl"


def test_the_command_and_the_module_are_one_program(tmp_path: Path) -> None:
    script = Path(sysconfig.get_path("scripts")) / "lorchestra"
    by_name = run(str(script), "--version", cwd=tmp_path)
    by_module = run(sys.executable, "-m", "lorchestra", "--version", cwd=tmp_path)
    assert by_name == by_module
    assert by_name.split()[-1] == VERSION


def test_the_changelog_tells_of_the_version() -> None:
    assert re.search(rf"^## \[{re.escape(VERSION)}\]", read("CHANGELOG.md"), re.MULTILINE)


def test_every_dependency_is_tested_at_its_lower_bound(project: dict[str, Any]) -> None:
    bounds = [name.replace(">=", "==") for name in project["project"]["dependencies"]]
    assert project["dependency-groups"]["lowest"] == bounds


def test_every_python_that_is_promised_is_tested(project: dict[str, Any]) -> None:
    prefix = "Programming Language :: Python :: 3."
    classifiers = project["project"]["classifiers"]
    promised = [name.removeprefix(prefix) for name in classifiers if name.startswith(prefix)]

    tox = configparser.ConfigParser(interpolation=None)
    tox.read_string(read("tox.ini"))
    assert f"py{{{','.join(f'3{minor}' for minor in promised)}}}" in tox["tox"]["env_list"]

    ci = yaml.safe_load(read(".github/workflows/ci.yml"))
    assert ci["jobs"]["tests"]["strategy"]["matrix"]["python"] == [f"3.{n}" for n in promised]


def test_the_command_for_the_tests_is_the_one_in_the_readme() -> None:
    command = read(".ci/run").splitlines()[-1]
    assert command.endswith(".venv/bin/tox")
    assert command in [line.strip() for line in read("README.md").splitlines()]
