"""Source files as their syntax trees: what each imports, calls and asks of a module."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Import:
    """One name that a module takes from another.

    Attributes:
        line: Where it does so.
        module: The dotted name of the other.
        name: What it takes: the name of a `from` import, or an attribute of an imported module;
            None for the `import` itself.
    """

    line: int
    module: str
    name: str | None = None

    def __str__(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


class Module:
    """A source file, and what it imports."""

    def __init__(self, path: str, source: str) -> None:
        self.path = path
        self.tree = ast.parse(source, path)
        parts = PurePosixPath(path).with_suffix("").parts
        self.is_package = parts[-1] == "__init__"
        self.name = ".".join(parts[:-1] if self.is_package else parts)
        self.package = parts[0]
        self.component = parts[1]
        self.imports = list(self._imports())

    def _imports(self) -> Iterator[Import]:
        for node in ast.walk(self.tree):
            match node:
                case ast.Import(names=names):
                    for name in names:
                        yield Import(node.lineno, name.name)
                        yield from self._uses(name)
                case ast.ImportFrom(names=names):
                    for name in names:
                        yield Import(node.lineno, self._absolute(node), name.name)

    def _uses(self, imported: ast.alias) -> Iterator[Import]:
        bound = imported.asname or imported.name
        for node in ast.walk(self.tree):
            match node:
                case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name == bound:
                    yield Import(node.lineno, imported.name, attribute)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        here = self.name.split(".")
        depth = len(here) - node.level + self.is_package
        return ".".join([*here[:depth], *([node.module] if node.module else [])])

    def calls(self) -> Iterator[tuple[int, str | None, str]]:
        """Each call: line, the expression whose method it is (None: a function), name."""
        for node in ast.walk(self.tree):
            match node:
                case ast.Call(func=ast.Name(id=name)):
                    yield node.lineno, None, name
                case ast.Call(func=ast.Attribute(value=owner, attr=name)):
                    yield node.lineno, ast.unparse(owner), name


class Project:
    """The source files of both packages, by dotted name."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        modules = [Module(path, source) for path, source in sources.items()]
        self.modules = {module.name: module for module in modules}

    def target(self, found: Import) -> Module | None:
        """The module of ours that an import leads to; None: it is not ours."""
        submodule = self.modules.get(f"{found.module}.{found.name}")
        return submodule or self.modules.get(found.module)

    def public(self, package: str) -> set[str]:
        """The names in `__all__` of a package."""
        for node in self.modules[package].tree.body:
            match node:
                case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                    return set(ast.literal_eval(value))
        return set()
