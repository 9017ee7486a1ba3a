"""Source files as their syntax trees: what each imports, calls and asks of a module."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Import:
    """One name that a module imports: `from module import name`, or `import module`."""

    line: int
    module: str
    name: str | None = None
    alias: str | None = None


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
                        yield Import(node.lineno, name.name, alias=name.asname)
                case ast.ImportFrom(names=names):
                    for name in names:
                        yield Import(node.lineno, self._absolute(node), name.name)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        here = self.name.split(".")
        depth = len(here) - node.level + self.is_package
        return ".".join([*here[:depth], *([node.module] if node.module else [])])

    def attributes(self) -> Iterator[tuple[int, str, str]]:
        """Each `name.attribute` of a plain name: line, name, attribute."""
        for node in ast.walk(self.tree):
            match node:
                case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                    yield node.lineno, name, attribute

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
