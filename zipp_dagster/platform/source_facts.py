"""What a source file means, as far as code versions need it: hashes, names, imports, literals.

Walking the syntax trees of all files takes ten times as long as hashing their texts, so facts can be
kept (`kept_facts`). How they make up a code version is in `code_version`.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec

from zipp_dagster.platform.kept_facts import kept, own_release

LONGEST_FILE_NAME = 80


class Import(msgspec.Struct, frozen=True, array_like=True):
    """One name bound by an import: `from module import name as bound`; `name` is "" for modules."""

    module: str
    name: str
    bound: str


class Fragment(msgspec.Struct, frozen=True, array_like=True):
    """The meaning of a piece of code: SHA-256 of its tree, and literals that may name files."""

    meaning: str
    literals: tuple[str, ...]


class Definition(msgspec.Struct, frozen=True, array_like=True):
    """A function, class or constant of a module: its code, the names it reads, its own imports."""

    code: Fragment
    names: tuple[str, ...]
    imports: tuple[Import, ...]


class SourceFacts(msgspec.Struct, frozen=True):
    """What one source file means."""

    code: Fragment
    definitions: dict[str, Definition]
    imports: tuple[Import, ...]


def source_facts(path: Path, folder: Path | None = None) -> SourceFacts:
    """The facts of a source file; with a `folder`, from there where its text is the same.

    Raises:
        SyntaxError: it is no Python.
    """
    text = path.read_bytes()
    return kept(folder, path, text, _reader(), SourceFacts, lambda: read_facts(text.decode()))


def read_facts(text: str) -> SourceFacts:
    """The facts of a source text."""
    whole = hashlib.sha256()
    literals: set[str] = set()
    definitions: dict[str, Definition] = {}
    imports: list[Import] = []
    for statement in _without_docstring(ast.parse(text).body):
        facts = _read(statement)
        whole.update(facts.code.meaning.encode())
        literals.update(facts.code.literals)
        if isinstance(statement, ast.Import | ast.ImportFrom):
            imports += facts.imports
        definitions.update((name, facts) for name in _defined(statement))
    code = Fragment(whole.hexdigest(), tuple(sorted(literals)))
    return SourceFacts(code, definitions, tuple(imports))


@cache
def _reader() -> str:
    """What the facts depend on besides the text: this module, and Python's syntax trees."""
    return f"{sys.version_info.major}.{sys.version_info.minor} {own_release(__file__)}"


def _defined(node: ast.stmt) -> list[str]:
    """The names that a statement of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.AnnAssign):
        return [node.target.id] if node.value and isinstance(node.target, ast.Name) else []
    if isinstance(node, ast.Assign):
        parts = (part for target in node.targets for part in ast.walk(target))
        return [part.id for part in parts if isinstance(part, ast.Name)]
    return []


def _read(statement: ast.stmt) -> Definition:
    reader = _Reader()
    stripped = reader.visit(statement)
    dumped = ast.dump(stripped, include_attributes=False, annotate_fields=False) if stripped else ""
    literals = tuple(sorted(filter(_may_name_a_file, reader.literals)))
    code = Fragment(hashlib.sha256(dumped.encode()).hexdigest(), literals)
    return Definition(code, tuple(reader.names), tuple(reader.imports))


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, "", (alias.asname or alias.name).split(".")[0])
    elif node.module and node.level == 0:
        for alias in node.names:
            yield Import(node.module, alias.name, alias.asname or alias.name)


def _may_name_a_file(literal: str) -> bool:
    return (
        0 < len(literal) <= LONGEST_FILE_NAME
        and not literal.startswith((".", "/"))
        and literal.isprintable()
    )


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        return body[1:] or [ast.Pass()]
    return body


class _Reader(ast.NodeTransformer):
    """Notes names, imports and texts, and drops what means nothing, in one walk.

    Dropped are docstrings, annotations of functions and variables, and `@artifact`. The annotations
    of a class's fields stay: dataclasses and msgspec build on them.
    """

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self.imports: list[Import] = []
        self.literals: set[str] = set()

    def visit_Name(self, node: ast.Name) -> ast.AST:
        self.names[node.id] = None
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str):
            self.literals.add(node.value)
        return node

    def visit_Import(self, node: ast.Import) -> ast.AST:
        self.imports += _imports(node)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        self.imports += _imports(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = _without_docstring(node.body)
        # A field is walked as it is; `visit` would drop its annotation.
        fields = {field for field in node.body if isinstance(field, ast.AnnAssign)}
        for field in fields:
            self.generic_visit(field)
        node.body = [field if field in fields else self.visit(field) for field in node.body]
        for part in (*node.bases, *node.keywords, *node.decorator_list):
            self.visit(part)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        target, value = self.visit(node.target), self.visit(node.value)
        return ast.Assign([target], value, lineno=node.lineno)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body = _without_docstring(node.body)
        node.returns = None
        node.decorator_list = [d for d in node.decorator_list if not _is_artifact(d)]
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        return self.generic_visit(node)


def _is_artifact(decorator: ast.expr) -> bool:
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(call, ast.Name) and call.id == "artifact"
