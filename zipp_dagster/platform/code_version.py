"""Code versions: a hash of what an asset's code *means*, from syntax trees and imports.

The code version of an asset covers its function's syntax tree (without docstring, comments,
annotations and decorators), the helpers of its module that it names, and every project module
that those import, transitively (grimp). A data file that a covered module names by a string
literal, such as "bots.txt", is covered too. Left out: the platform, which runs all assets alike,
and settings sections (`config.py`), which enter a version by their values.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from zipp_dagster.platform.source_facts import Fragment, Import, SourceFacts, source_facts

PROJECT_PACKAGES = ("zipp_dagster", "assets")
INFRASTRUCTURE = (
    "zipp_dagster.platform",
    "zipp_dagster.section",
    "zipp_dagster.progress",
    "zipp_dagster.fanout",
)
SETTINGS_MODULE_SUFFIX = "config"
VERSION_LENGTH = 16


class CodeVersions:
    """Computes code versions over some importable packages; reads each file once.

    `kept` is the folder where what was read of source files is kept for other processes.
    """

    def __init__(
        self, packages: tuple[str, ...] = PROJECT_PACKAGES, kept: Path | None = None
    ) -> None:
        self.packages = packages
        self.kept = kept
        self._facts: dict[Path, SourceFacts] = {}
        self._entries: dict[Path, frozenset[str]] = {}
        self._data: dict[Path, bytes] = {}

    @cached_property
    def _graph(self) -> Any:
        import grimp

        return grimp.build_graph(*self.packages, exclude_type_checking_imports=True, cache_dir=None)

    def of_function(self, function: Callable[..., Any]) -> str:
        """The code version of an asset function."""
        path = _source_of(function)
        fragments, modules = self._reachable(self._facts_of(path), function.__name__)
        digest = hashlib.sha256()
        for fragment in fragments:
            digest.update(self._hash(fragment, path.parent))
        for name in sorted(self._closure(modules)):
            digest.update(f"{name}:".encode() + self._module_hash(name))
        return digest.hexdigest()[:VERSION_LENGTH]

    def modules_of_function(self, function: Callable[..., Any]) -> frozenset[str]:
        """The project modules that the function's code version covers."""
        facts = self._facts_of(_source_of(function))
        return self._closure(self._reachable(facts, function.__name__)[1])

    def _facts_of(self, path: Path) -> SourceFacts:
        if path not in self._facts:
            self._facts[path] = source_facts(path, self.kept)
        return self._facts[path]

    def _reachable(self, facts: SourceFacts, name: str) -> tuple[list[Fragment], set[str]]:
        """The module-level definitions that a function uses, and the modules they import."""
        imports: dict[str, set[str]] = {}
        for entry in facts.imports:
            imports.setdefault(entry.bound, set()).update(self._imported(entry))
        fragments: list[Fragment] = []
        modules: set[str] = set()
        seen: set[str] = set()
        todo = [name]
        while todo:
            wanted = todo.pop(0)
            if wanted in seen:
                continue
            seen.add(wanted)
            modules |= imports.get(wanted, set())
            definition = facts.definitions.get(wanted)
            if definition is None:
                continue
            fragments.append(definition.code)
            todo += definition.names
            for entry in definition.imports:
                modules.update(self._imported(entry))
        return fragments, modules

    def _imported(self, entry: Import) -> Iterator[str]:
        """The project module that an import binds, if it is one."""
        if entry.module.split(".")[0] in self.packages:
            inner = f"{entry.module}.{entry.name}"
            yield inner if entry.name and inner in self._graph.modules else entry.module

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
    def _module_hash(self, module: str) -> bytes:
        path = _source_path(module)
        return self._hash(self._facts_of(path).code, path.parent)

    def _hash(self, fragment: Fragment, folder: Path) -> bytes:
        """The hash of a piece of code and of the data files that it names."""
        digest = hashlib.sha256(fragment.meaning.encode())
        for path in sorted(self._data_files(fragment, folder)):
            digest.update(path.relative_to(folder).as_posix().encode())
            if path not in self._data:
                self._data[path] = hashlib.sha256(path.read_bytes()).digest()
            digest.update(self._data[path])
        return digest.digest()

    def _data_files(self, fragment: Fragment, folder: Path) -> set[Path]:
        """Files beside a module that one of its literals names, or that lie in such a folder."""
        if folder not in self._entries:
            self._entries[folder] = frozenset(entry.name for entry in folder.iterdir())
        found: set[Path] = set()
        for name in fragment.literals:
            if name.split("/", 1)[0] not in self._entries[folder]:
                continue
            path = folder / name
            if path.is_file():
                found |= {path} if path.suffix != ".py" else set()
            elif path.is_dir() and not (path / "__init__.py").exists():
                found.update(inner for inner in path.rglob("*") if inner.is_file())
        return {path for path in found if "__pycache__" not in path.parts}


def _source_of(function: Callable[..., Any]) -> Path:
    module = inspect.getmodule(function)
    if module is None or module.__file__ is None:
        raise ValueError(f"{function!r} does not live in a module with a file")
    return Path(module.__file__)


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
