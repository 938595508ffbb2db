"""Code versions: a hash of what an asset's code *means*, from syntax trees and imports.

The code version of an asset covers its function's syntax tree (without docstring, comments,
annotations and decorators), the helpers of its module that it names, and every project module
that those import, transitively (grimp). A data file that a covered module names by a string
literal, such as "bots.txt", is covered too. Left out: the platform, which runs all assets alike,
and settings sections (`config.py`), which enter a version by their values.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
from collections.abc import Callable, Iterable
from functools import cache, cached_property
from pathlib import Path
from typing import Any

PROJECT_PACKAGES = ("zipp_dagster", "assets")
INFRASTRUCTURE = ("zipp_dagster.platform", "zipp_dagster.section", "zipp_dagster.progress")
SETTINGS_MODULE_SUFFIX = "config"
VERSION_LENGTH = 16


class CodeVersions:
    """Computes code versions over some importable packages; parses each module once."""

    def __init__(self, packages: tuple[str, ...] = PROJECT_PACKAGES) -> None:
        self.packages = packages

    @cached_property
    def _graph(self) -> Any:
        import grimp

        return grimp.build_graph(*self.packages, exclude_type_checking_imports=True, cache_dir=None)

    def of_function(self, function: Callable[..., Any]) -> str:
        """The code version of an asset function."""
        module = inspect.getmodule(function)
        if module is None or module.__file__ is None:
            raise ValueError(f"{function!r} does not live in a module with a file")
        tree = ast.parse(Path(module.__file__).read_text())
        nodes, modules = self._reachable(tree, function.__name__)
        digest = hashlib.sha256()
        for node in nodes:
            digest.update(normalised(node).encode())
            _add_data_files(digest, node, Path(module.__file__).parent)
        for name in sorted(self._closure(modules)):
            digest.update(f"{name}:{self._module_hash(name)};".encode())
        return digest.hexdigest()[:VERSION_LENGTH]

    def modules_of_function(self, function: Callable[..., Any]) -> frozenset[str]:
        """The project modules that the function's code version covers."""
        module = inspect.getmodule(function)
        assert module is not None and module.__file__ is not None
        tree = ast.parse(Path(module.__file__).read_text())
        return self._closure(self._reachable(tree, function.__name__)[1])

    def _reachable(self, tree: ast.Module, name: str) -> tuple[list[ast.AST], set[str]]:
        """The module-level definitions that a function uses, and the modules they import."""
        definitions: dict[str, ast.AST] = {}
        imports: dict[str, set[str]] = {}
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                definitions[node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for part in (part for target in targets for part in ast.walk(target)):
                    if isinstance(part, ast.Name):
                        definitions[part.id] = node
            elif isinstance(node, ast.Import | ast.ImportFrom):
                for alias, bound in self._imported(node).items():
                    imports.setdefault(alias, set()).update(bound)
        nodes: list[ast.AST] = []
        modules: set[str] = set()
        seen: set[str] = set()
        todo = [name]
        while todo:
            wanted = todo.pop(0)
            if wanted in seen:
                continue
            seen.add(wanted)
            modules |= imports.get(wanted, set())
            definition = definitions.get(wanted)
            if definition is None:
                continue
            nodes.append(definition)
            for part in ast.walk(_stripped(definition)):
                if isinstance(part, ast.Name):
                    todo.append(part.id)
                elif isinstance(part, ast.Import | ast.ImportFrom):
                    modules.update(*self._imported(part).values())
        return nodes, modules

    def _imported(self, node: ast.Import | ast.ImportFrom) -> dict[str, set[str]]:
        """Local name → the project modules that an import statement binds to it."""
        bound: dict[str, set[str]] = {}
        if isinstance(node, ast.Import):
            for alias in node.names:
                if self._is_project(alias.name):
                    bound[(alias.asname or alias.name).split(".")[0]] = {alias.name}
        elif node.module and node.level == 0 and self._is_project(node.module):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                module = inner if inner in self._graph.modules else node.module
                bound[alias.asname or alias.name] = {module}
        return bound

    def _is_project(self, module: str) -> bool:
        return module.split(".")[0] in self.packages

    def _closure(self, modules: Iterable[str]) -> frozenset[str]:
        """All covered modules below some modules; not looking through infrastructure."""
        covered: set[str] = set()
        todo = [module for module in modules if _covers(module)]
        while todo:
            module = todo.pop()
            if module in covered or module not in self._graph.modules:
                continue
            covered.add(module)
            imported = self._graph.find_modules_directly_imported_by(module)
            todo.extend(other for other in imported if _covers(other))
        return frozenset(covered)

    @cache  # noqa: B019 - one instance lives as long as the process
    def _module_hash(self, module: str) -> str:
        return module_hash(_source_path(module))


def module_hash(path: Path) -> str:
    """The hash of a module's normalised syntax tree and of the data files it names."""
    tree = ast.parse(path.read_text())
    digest = hashlib.sha256(normalised(tree).encode())
    _add_data_files(digest, tree, path.parent)
    return digest.hexdigest()


def _add_data_files(digest: Any, tree: ast.AST, folder: Path) -> None:
    for data in _data_files(tree, folder):
        digest.update(data.name.encode())
        digest.update(hashlib.sha256(data.read_bytes()).digest())


def normalised(tree: ast.AST) -> str:
    """A syntax tree as text, without what does not change its meaning."""
    return ast.dump(_stripped(tree), annotate_fields=False, include_attributes=False)


class _Stripper(ast.NodeTransformer):
    """Drops docstrings, annotations of functions and variables, and `@artifact`.

    The annotations of a class's fields stay: dataclasses and msgspec build on them.
    """

    def _without_docstring(self, body: list[ast.stmt]) -> list[ast.stmt]:
        first = body[0] if body else None
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            return body[1:] or [ast.Pass()]
        return body

    def visit_Module(self, node: ast.Module) -> ast.AST:
        node.body = self._without_docstring(node.body)
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = self._without_docstring(node.body)
        node.body = [s if isinstance(s, ast.AnnAssign) else self.visit(s) for s in node.body]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        value = self.visit(node.value) if node.value else None
        return ast.Assign([node.target], value, lineno=node.lineno) if value else None

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body = self._without_docstring(node.body)
        node.returns = None
        node.decorator_list = [d for d in node.decorator_list if not _is_artifact(d)]
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        return self.generic_visit(node)


def _is_artifact(decorator: ast.expr) -> bool:
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(call, ast.Name) and call.id == "artifact"


def _stripped(tree: ast.AST) -> ast.AST:
    copy = ast.parse(ast.unparse(tree)) if not isinstance(tree, ast.Module) else tree
    return _Stripper().visit(copy)


def _covers(module: str) -> bool:
    if any(module == name or module.startswith(name + ".") for name in INFRASTRUCTURE):
        return False
    return not module.rsplit(".", 1)[-1].endswith(SETTINGS_MODULE_SUFFIX)


@cache
def _source_path(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"no source file for module {module}")
    return Path(spec.origin)


def _data_files(tree: ast.AST, folder: Path) -> list[Path]:
    """Files beside a module that one of its string literals names, or that lie in such a folder."""
    found: set[Path] = set()
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        name = node.value
        if not name or len(name) > 80 or name.startswith((".", "/")) or "\n" in name:
            continue
        path = folder / name
        if path.suffix == ".py" or "__pycache__" in path.parts:
            continue
        if path.is_file():
            found.add(path)
        elif path.is_dir() and not (path / "__init__.py").exists():
            found.update(p for p in path.rglob("*") if p.is_file() and p.suffix != ".pyc")
    return sorted(found)
