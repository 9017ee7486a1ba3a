"""`docs/api.md` has everything that is public, as it is."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import lorchestra
import runstore
from lorchestra import errors, progress
from lorchestra.model import Outcome
from tests.docs.markdown import Page, Section, codes
from tests.docs.program import ROOT

PAGE = Page(ROOT / "docs" / "api.md")
PACKAGES: tuple[ModuleType, ...] = (runstore, lorchestra)

# What other modules of the same package call: no concern of a user.
INTERNAL = {
    *("Run.note_done", "Run.jobs_folder", "Report.add", "CurrentJob.close", "Options.stops"),
    *(
        f"{name}.definition"
        for name in (
            *("Shell", "Command", "Call", "SubPipeline", "Job", "Loop", "Parameter", "Retries"),
            *("Secret", "Stage"),
        )
    ),
    *("Job.rules", "Job.sha256", "Pipeline.sha256"),
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A heading that names something public, and what stands under it."""

    name: str
    signature: str | None
    section: Section

    @property
    def thing(self) -> Any:
        """What is meant: `runstore.Run`, or `Run.job` of the first package that has it."""
        first, _, rest = self.name.partition(".")
        for package in PACKAGES:
            if first == package.__name__:
                return getattr(package, rest)
            if owner := getattr(package, first, None):
                return inspect.getattr_static(owner, rest)
        return getattr(getattr(lorchestra, first), rest)

    @property
    def told_to_raise(self) -> set[str]:
        """The errors that the page names."""
        lines = [line for line in self.section.prose if line.startswith("- raises ")]
        return {codes(line)[0] for line in lines}


def entries() -> Iterator[Entry]:
    """Every heading that names something public."""
    for section in PAGE.sections:
        for name, signature in re.findall(r"((?:\w+\.)+\w+)(\(.*\).*)?(?:, |$)", section.title):
            yield Entry(name, signature or None, section)


def shown_by(package: ModuleType) -> dict[str, Any]:
    """The public names of a package, which imports each when it is asked for."""
    return {name: getattr(package, name) for name in package.__all__}


ENTRIES = list(entries())
of_every_entry = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
with_signature = pytest.mark.parametrize(
    "entry", [entry for entry in ENTRIES if entry.signature], ids=lambda entry: entry.name
)
with_attributes = pytest.mark.parametrize(
    "entry",
    [entry for entry in ENTRIES if inspect.isclass(entry.thing) and entry.thing.__doc__],
    ids=lambda entry: entry.name,
)


def parameters(signature: inspect.Signature) -> list[tuple[str, Any, Any]]:
    """Names, kinds and defaults."""
    return [
        (each.name, each.kind, each.default)
        for each in signature.parameters.values()
        if each.name != "self"
    ]


def shown_signature(text: str) -> inspect.Signature:
    """The signature that a heading shows."""
    names: dict[str, Any] = {"Hooks": lorchestra.Hooks}
    exec(f"from __future__ import annotations\ndef shown{text}: pass", names)
    return inspect.signature(names["shown"])


def real_signature(thing: Any) -> inspect.Signature:
    """The signature of a function or a class; a default that is made anew each time is shown."""
    signature = inspect.signature(thing)
    if not dataclasses.is_dataclass(thing):
        return signature
    made = {
        field.name: field.default_factory()
        for field in dataclasses.fields(thing)
        if field.default_factory is not dataclasses.MISSING
    }
    return signature.replace(
        parameters=[
            each.replace(default=made.get(each.name, each.default))
            for each in signature.parameters.values()
        ]
    )


@with_signature
def test_a_signature_is_shown_as_it_is(entry: Entry) -> None:
    shown, real = shown_signature(str(entry.signature)), real_signature(entry.thing)
    assert parameters(shown) == parameters(real)
    if not inspect.isclass(entry.thing):
        assert shown.return_annotation == real.return_annotation


def documented_errors(docstring: str) -> set[str]:
    """The errors in the `Raises:` part of a docstring."""
    _, _, rest = inspect.cleandoc(docstring).partition("Raises:\n")
    names = re.findall(r"^    ([\w., ]+):", rest.partition("\n\n")[0], re.MULTILINE)
    return {name.split(".")[-1] for line in names for name in line.split(", ")}


@with_signature
def test_every_error_of_a_docstring_is_told(entry: Entry) -> None:
    thing = entry.thing.__init__ if inspect.isclass(entry.thing) else entry.thing
    if f"Raises as `{entry.name.split('.')[0]}." in "\n".join(entry.section.prose):
        return
    documented = documented_errors(thing.__doc__ or "")
    assert documented <= entry.told_to_raise


@of_every_entry
def test_every_error_that_is_told_exists(entry: Entry) -> None:
    known = {**shown_by(runstore), **vars(errors), **vars(__import__("builtins"))}
    for name in entry.told_to_raise:
        assert issubclass(known[name], BaseException)


def described_attributes(section: Section) -> set[str]:
    """What the first column of the section's table has."""
    return {code for row in section.rows() for code in codes(row[0])}


def own_attributes(kind: type) -> set[str]:
    """The public attributes of a class: fields, properties, and what its docstring lists."""
    _, _, listed = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
    names = set(re.findall(r"^    (\w+):", listed, re.MULTILINE))
    names |= {name for name, value in vars(kind).items() if isinstance(value, property)}
    if dataclasses.is_dataclass(kind):
        names |= {field.name for field in dataclasses.fields(kind)}
    names |= set(getattr(kind, "_fields", ()))
    return {name for name in names if not name.startswith("_")}


@with_attributes
def test_every_attribute_of_a_class_is_described_and_no_other(entry: Entry) -> None:
    kind = entry.thing
    if entry.signature and not dataclasses.is_dataclass(kind):
        described = described_attributes(entry.section)
        assert described == {name for name, *_ in parameters(inspect.signature(kind))}
    elif entry.section.rows():
        assert described_attributes(entry.section) == own_attributes(kind)
    else:
        assert own_attributes(kind) <= set(codes(entry.section.title)) | told(entry.section)


def told(section: Section) -> set[str]:
    """Every word of a section: of a class so small that it needs no table."""
    words = re.findall(r"\w+", section.title + " ".join(section.prose))
    return set(words)


def public_methods(kind: type) -> set[str]:
    """The methods of a class that a user may call."""
    names = {name for name, value in vars(kind).items() if inspect.isfunction(value)}
    return {f"{kind.__name__}.{name}" for name in names if not name.startswith("_")} - INTERNAL


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_everything_public_has_a_heading_or_a_row_among_the_errors(package: ModuleType) -> None:
    told_of = {entry.name for entry in ENTRIES}
    told_of |= {f"runstore.{name}" for name in PAGE.section("Errors of runstore").column()}
    public = {f"{package.__name__}.{name}" for name in package.__all__}
    kinds = [kind for name in package.__all__ if inspect.isclass(kind := getattr(package, name))]
    methods = set().union(*map(public_methods, kinds))
    assert public | methods <= told_of


def test_no_heading_is_of_something_private() -> None:
    for entry in ENTRIES:
        first, _, rest = entry.name.partition(".")
        package = next((each for each in PACKAGES if each.__name__ == first), None)
        assert package is None or rest in package.__all__
        assert entry.name not in INTERNAL


@pytest.mark.parametrize(
    ("module", "title", "base"),
    [
        (runstore, "Errors of runstore", runstore.RunStoreError),
        (errors, "Errors of lorchestra", errors.LorchestraError),
    ],
)
def test_the_errors_are_all_in_their_table_with_their_bases(
    module: ModuleType, title: str, base: type[Exception]
) -> None:
    rows = {codes(row[0])[0]: set(codes(row[1])) for row in PAGE.section(title).rows()}
    kinds = {
        name: kind
        for name, kind in (vars(module) | (shown_by(module) if module in PACKAGES else {})).items()
        if inspect.isclass(kind) and issubclass(kind, base)
    }
    assert rows == {
        name: {each.__name__ for each in kind.__bases__} - {base.__name__, "Exception"}
        for name, kind in kinds.items()
    }


def test_the_events_are_all_in_their_table_with_their_attributes() -> None:
    rows = {codes(row[0])[0]: codes(row[1]) for row in PAGE.section("Events").rows()}
    assert rows == {
        name: [field.name for field in dataclasses.fields(kind)]
        for name in progress.__all__
        if dataclasses.is_dataclass(kind := getattr(progress, name))
    }


def test_every_attribute_of_an_outcome_is_told() -> None:
    line = next(line for line in PAGE.section("Events").prose if line.startswith("An `outcome`"))
    assert set(codes(line)) - {"outcome"} == own_attributes(Outcome)


def test_what_a_page_imports_is_public() -> None:
    programs = [block.text for block in PAGE.blocks if block.language == "python"]
    for node in (node for text in programs for node in ast.walk(ast.parse(text))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(("run", "lor")):
            module = {"runstore": runstore, "lorchestra": lorchestra}.get(
                str(node.module), progress
            )
            assert {name.name for name in node.names} <= set(module.__all__)
