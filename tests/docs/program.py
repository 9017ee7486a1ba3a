"""What the program has and the pages must tell: commands, keys, variables, codes, modules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from lorchestra import config, errors
from lorchestra.cli.root import root
from lorchestra.loader import hooks, jobs, limits, loops, params, pipelines, retries, stages

ROOT = Path(__file__).parents[2]
PACKAGES = ("lorchestra", "runstore")
HELP = ("-h", "--help")

_ID_KEY = re.compile(r'id_key="(\w+)"')
_VARIABLE = re.compile(r"\bLORCHESTRA_[A-Z_]+\b")


def commands() -> dict[str, click.Command]:
    """Every command of the program by its full name, `lorchestra runs list`."""
    return dict(_walk("lorchestra", root))


def _walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from _walk(f"{name} {child}", found)


def options(command: click.Command) -> list[click.Option]:
    """The options of a command, without `--help`, which all have."""
    return [option for option in command.params if isinstance(option, click.Option)]


def spellings(option: click.Option) -> set[str]:
    """All names of an option: `--stop-on-failure` and `--keep-going` are one."""
    return {*option.opts, *option.secondary_opts}


def arguments(command: click.Command) -> list[str]:
    """The arguments of a command as its usage line has them."""
    context = click.Context(command)
    found = (each for each in command.params if isinstance(each, click.Argument))
    return [argument.make_metavar(context) for argument in found]


def exit_codes() -> set[int]:
    """The exit codes in the table of `lorchestra.errors`."""
    return {code for name, code in vars(errors).items() if name.startswith("EXIT_")}


def keys() -> dict[str, set[str]]:
    """The keys that files may have, by the heading under which docs/pipelines.md has them."""
    # The loader's table of a job's keys leaves out the id, which has a name for each place.
    loader = "".join(_sources(ROOT / "lorchestra" / "loader").values())
    return {
        "Keys of a pipeline": set(pipelines.PIPELINE_KEYS),
        "Keys of a parameter": set(params.PARAM_KEYS),
        "Keys of a stage": set(stages.STAGE_KEYS),
        "Keys of a job": {*jobs.JOB_KEYS, *_ID_KEY.findall(loader)},
        "Keys of a loop": set(loops.LOOP_KEYS),
        "Keys of a matrix": set(loops.MATRIX_KEYS),
        "Keys of retries": set(retries.RETRIES_KEYS),
        "Keys of a limit": {*limits.LIMIT_KEYS, *config._LIMIT_KEYS},
        "Keys of hooks": set(hooks.HOOKS_KEYS),
        "Keys of a hook": set(hooks.HOOK_KEYS),
        "Keys of the configuration": set(config._KEYS),
    }


def variables() -> set[str]:
    """The environment variables that the code reads or sets."""
    return variables_in("".join(text for name in PACKAGES for text in sources(name).values()))


def variables_in(text: str) -> set[str]:
    """The names of our environment variables in a text."""
    return set(_VARIABLE.findall(text))


def modules(package: str) -> set[str]:
    """The modules of a package, `cli/runs` for one in a subpackage."""
    found = {path.removesuffix(".py").removesuffix("/__init__") for path in sources(package)}
    return found - {"__init__", "__main__"}


def sources(package: str) -> dict[str, str]:
    """The source files of a package by their path in it."""
    return _sources(ROOT / package)


def _sources(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*.py"))
    }


def flat_keys(value: Any, prefix: str = "") -> Iterator[str]:
    """The keys of a JSON value: `jobs[].log` is in each object of the list `jobs`."""
    if isinstance(value, dict):
        for key, inner in value.items():
            name = f"{prefix}.{key}".lstrip(".")
            yield name
            yield from flat_keys(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from flat_keys(inner, f"{prefix}[]")
