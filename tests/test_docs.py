"""The documentation is complete, shows nothing that does not exist, and what it shows works."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from runstore import ERROR_CODES, NOTE_CODES, RunStore
from runstore.reading.merge import JOB_STATUSES, RUN_STATUSES
from tests.docs import program
from tests.docs.console import Project, needs_shell
from tests.docs.markdown import Page, codes
from tests.docs.program import ROOT
from tests.runstore.samples import ELSEWHERE, abandon
from tests.test_layers import LAYERS

CLI = Page(ROOT / "docs" / "cli.md")
PIPELINES = Page(ROOT / "docs" / "pipelines.md")
ARCHITECTURE = Page(ROOT / "docs" / "architecture.md")

COMMANDS = program.commands()
EXAMPLES = sorted((ROOT / "examples").glob("*/README.md"))
PAGES = [Page(path) for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))]
SHOWN = [*PAGES, *map(Page, EXAMPLES)]
ALL = [*SHOWN, Page(ROOT / "CHANGELOG.md"), Page(ROOT / "CONTRIBUTING.md")]

OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|media|mnt|opt|root|tmp|Users|var|work)/|[A-Z]:\\")
REGISTRY = re.compile(r"\b(?:\w+\.)*(?:pypi|pythonhosted|anaconda|npmjs|ghcr)\.(?:org|com|io)\b")


def name_of(page: Page) -> str:
    """The path of a page from the root of the project."""
    return page.path.relative_to(ROOT).as_posix()


on_every_page = pytest.mark.parametrize("page", ALL, ids=name_of)
of_every_command = pytest.mark.parametrize("name", COMMANDS)
with_options = pytest.mark.parametrize(
    ("name", "option"),
    [(name, option) for name in COMMANDS for option in program.options(COMMANDS[name])],
    ids=lambda part: part if isinstance(part, str) else part.name,
)


# The command line


def test_every_command_has_a_section_and_nothing_else_has() -> None:
    titles = [section.title for section in CLI.sections]
    described = [title for title in titles if title.startswith("lorchestra")]
    assert sorted(described) == sorted(COMMANDS)


def test_the_option_that_all_commands_have_is_described() -> None:
    assert tuple(CLI.section("Every command").column()) == program.HELP
    for group in filter(lambda each: isinstance(each, click.Group), COMMANDS.values()):
        assert tuple(group.context_settings["help_option_names"]) == program.HELP


@of_every_command
def test_every_command_has_a_help_text(name: str) -> None:
    assert COMMANDS[name].get_short_help_str()


@with_options
def test_every_option_has_a_help_text(name: str, option: click.Option) -> None:
    assert option.help


@of_every_command
def test_the_section_of_a_command_has_its_options_and_arguments(name: str) -> None:
    described = CLI.section(name).column(0)
    spelled = {word for code in described for word in OPTION.findall(code)}
    known = set().union(*map(program.spellings, program.options(COMMANDS[name])))
    assert spelled == known
    assert [code for code in described if not OPTION.match(code)] == program.arguments(
        COMMANDS[name]
    )


@with_options
def test_the_choices_of_an_option_are_described(name: str, option: click.Option) -> None:
    choices = option.type.choices if isinstance(option.type, click.Choice) else ()
    described = next(row for row in CLI.section(name).rows() if option.opts[-1] in row[0])
    assert set(choices) <= set(codes(" ".join(described[1:])))


def test_no_page_tells_of_an_option_that_does_not_exist() -> None:
    known = {
        spelling
        for each in COMMANDS.values()
        for option in program.options(each)
        for spelling in program.spellings(option)
    } | set(program.HELP)
    told = [code for section in CLI.sections for line in section.prose for code in codes(line)]
    told += [line for page in SHOWN for line in command_lines(page)]
    unknown = {word for text in told for word in OPTION.findall(text) if word.startswith("--")}
    assert unknown - known == set()


def command_lines(page: Page) -> Iterator[str]:
    """What a page tells the reader to type that begins with our command."""
    for block in page.blocks:
        if block.language in {"console", "sh"}:
            for line in block.text.splitlines():
                yield from re.findall(r"\blorchestra [^|#;&]*", line)


def test_the_table_of_exit_codes_is_that_of_the_program() -> None:
    assert set(map(int, CLI.section("Exit codes").column())) == program.exit_codes()


def test_every_finding_of_verify_is_described() -> None:
    assert set(CLI.section("Errors").column()) == ERROR_CODES
    assert set(CLI.section("Notes").column()) == NOTE_CODES


def test_every_environment_variable_is_described_and_none_that_does_not_exist() -> None:
    described = set(CLI.section("Environment variables").column())
    described |= set(PIPELINES.section("Variables").column())
    assert described == program.variables()
    for page in ALL:
        assert program.variables_in(page.text) <= described, name_of(page)


PROJECT = {
    "nested.yaml": """
        stages:
          - name: s
            jobs:
              - {id: again, run: lorchestra pipeline nested --guard skip --json 2> /dev/null}
    """,
    "p.yaml": """
        params: {day: today}
        limits: {x: 1}
        stages:
          - name: s
            jobs:
              - {id: shell, run: exit 1, env: {A: b}, cwd: ., tags: [t], allow_failure: true,
                 limits: [x]}
              - {id: program, command: [echo]}
              - {id: function, call: "math:sqrt", with: {x: 4}}
              - {id: inner, pipeline: inner}
          - name: t
            jobs:
              - {id: looped, run: "true", loop: {over: "@run.program.items"}}
          - name: u
            loop: {over: "@run.program.items", jobs: [{id: other, run: "true"}]}
    """,
    "inner.yaml": "stages: [{name: s, jobs: [{id: a, run: 'true'}]}]",
    "wrong.yaml": "stages: []",
}
OBJECTS = {
    "A run as JSON": ["pipeline p --json", "runs show --json"],
    "A skipped run as JSON": ["pipeline nested --guard fail", "runs logs last again"],
    "A plan as JSON": ["pipeline p --only shell --dry-run --json"],
    "Checked files as JSON": ["validate p wrong nothing --json"],
    "Jobs as JSON": [
        f"jobs show {job} --json" for job in ("shell", "program", "function", "inner", "looped")
    ],
    "Findings as JSON": ["doctor --json"],
    "Runs as JSON": ["runs list --inside --json"],
    "A report as JSON": ["runstore verify --json"],
    "A compaction as JSON": ["runstore compact --json"],
    "A repair as JSON": ["runstore repair --json"],
    "A pruning as JSON": ["runstore prune --keep 1 --dry-run --json"],
    "Statistics as JSON": ["runstore stats --json"],
}
# What stands below these is the user's.
OPEN_KEYS = ("env", "limits", "loop", "params", "statuses", "with")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that has run once, and whose store has errors and notes.

    A run has ended and is damaged, and so is one that may still be at work on another host.
    """
    project = Project(tmp_path_factory.mktemp("project"))
    for name, text in PROJECT.items():
        (project.folder / name).write_text(text, encoding="utf-8")
    project.run("lorchestra", "pipeline", "p")
    runs = project.folder / ".lorchestra" / "runs"
    (runs / "no-run").mkdir()
    (runs / "00000000-0000-7000-8000-000000000000").mkdir()
    store = RunStore(runs.parent, "os")
    with store.create_run("ended", ["a"]) as run, run.job("a"):
        pass
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runstore.writing.run.this_process", lambda: ELSEWHERE)
        elsewhere = store.create_run("elsewhere", ["a"])
        abandon(elsewhere.job("a"))
        abandon(elsewhere)
    for path in (run.path, elsewhere.path):
        Path(path, "jobs", "a.a1.jsonl").write_bytes(b"damaged\n")
    return project


@needs_shell
@pytest.mark.parametrize("title", OBJECTS)
def test_json_has_the_keys_that_are_described(project: Project, title: str) -> None:
    printed: set[str] = set()
    for arguments in OBJECTS[title]:
        ended = project.run("sh", "-c", f"lorchestra {arguments} 2>/dev/null")
        printed.update(program.flat_keys(json.loads(ended.stdout or "{}")))
    own = {key for key in printed if not re.search(rf"\b({'|'.join(OPEN_KEYS)})\.", key)}
    assert set(CLI.section(title).column()) == {key.removeprefix("[].") for key in own}


# Pipeline files


@pytest.mark.parametrize("title", program.keys())
def test_every_key_is_described_and_none_that_does_not_exist(title: str) -> None:
    assert set(PIPELINES.section(title).column()) == program.keys()[title]


@pytest.mark.parametrize("title", program.keys())
def test_every_key_has_a_type_a_default_and_an_example(title: str) -> None:
    assert [row for row in PIPELINES.section(title).rows() if not all(row)] == []


def test_every_status_is_described() -> None:
    assert set(PIPELINES.section("Statuses of a job").column()) == JOB_STATUSES
    assert set(PIPELINES.section("Statuses of a run").column()) == RUN_STATUSES


# The code


@pytest.mark.parametrize("package", program.PACKAGES)
def test_every_module_is_in_the_table_of_its_package(package: str) -> None:
    assert set(ARCHITECTURE.section(package).column(1)) == program.modules(package)


@pytest.mark.parametrize("package", program.PACKAGES)
def test_the_levels_are_those_that_the_imports_keep_to(package: str) -> None:
    described: dict[str, set[str]] = {}
    for level, names, *_ in ARCHITECTURE.section(package).rows():
        described.setdefault(level, set()).update(name.split("/")[0] for name in codes(names))
    assert described == {str(level): set(row) for level, row in enumerate(LAYERS[package])}


# What is shown works


@needs_shell
@pytest.mark.parametrize("page", SHOWN, ids=name_of)
def test_what_a_page_shows_works(page: Page, tmp_path: Path, subtests: pytest.Subtests) -> None:
    project = Project(tmp_path / "project")
    if page.path in EXAMPLES:
        not_yet_there = shutil.ignore_patterns(".*", "out", "__pycache__")
        shutil.copytree(page.path.parent, project.folder, ignore=not_yet_there)
    project.folder.mkdir(exist_ok=True)
    for block in page.blocks:
        with subtests.test(f"{name_of(page)}:{block.line}"):
            project.perform(block)


# The pages themselves


@on_every_page
def test_every_link_leads_somewhere(page: Page) -> None:
    broken = [target for target in page.links() if not leads_somewhere(page, target)]
    assert broken == []


def leads_somewhere(page: Page, target: str) -> bool:
    """Whether a link has a file and, where it names one, a heading in it; others' are trusted."""
    if target.startswith(("https://", "mailto:")):
        return True
    name, _, anchor = target.partition("#")
    path = page.path.parent / name if name else page.path
    return path.exists() and (not anchor or anchor in Page(path).anchors())


@on_every_page
def test_no_page_names_a_machine_or_a_registry(page: Page) -> None:
    assert MACHINE_PATH.findall(page.text) == []
    assert REGISTRY.findall(page.text) == []
