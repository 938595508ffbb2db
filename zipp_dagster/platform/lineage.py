"""Lineage from the lake's manifests alone: what a version was made from, whether its bytes are
intact, and why two versions differ. Works without the Dagster database.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from zipp_dagster.platform.erased import ErasedVersion, erased_record, folder_of
from zipp_dagster.platform.files import sha256_of
from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.staleness import current_versions
from zipp_dagster.platform.versions import (
    MANIFEST,
    FileEntry,
    InputRef,
    LakeError,
    Manifest,
    Version,
)
from zipp_dagster.progress import Progress, silent

FileState = Literal["changed", "missing", "unlisted", "absent", "damaged", "not erased"]


@dataclass
class LineageNode:
    """A version and the versions that it was made from."""

    asset: str
    partition: str | None
    version: str
    run: str | None
    created: str
    code_version: str
    rows: int | None
    skipped: str | None
    external_files: list[str]
    kept: bool = True
    erased: dict[str, str] | None = None
    inputs: list[LineageNode] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The tree as JSON types; only a version's first entry lists its inputs.

        Written out at every place where it is used, a report of three months would have more than
        a hundred thousand entries.
        """
        return self._to_json(set())

    def _to_json(self, shown: set[str]) -> dict[str, Any]:
        if self.version in shown:
            return {**self.__dict__, "inputs": [], "repeated": True}
        shown.add(self.version)
        inputs = [node._to_json(shown) for node in self.inputs]
        return {**self.__dict__, "inputs": inputs, "repeated": False}

    def walk(self) -> Iterator[LineageNode]:
        """The node itself and all below it, each once."""
        todo, seen = [self], {self.version}
        while todo:
            node = todo.pop(0)
            yield node
            fresh = [other for other in node.inputs if other.version not in seen]
            seen.update(other.version for other in fresh)
            todo += fresh


def lineage_tree(
    lake: Lake, asset: str, partition: str | None = None, version: str | None = None
) -> LineageNode:
    """The provenance of an asset's current version, or of a named one, down to the dump files.

    A version that has been pruned since stays in the tree, with `kept` false; one that was erased
    has `erased` with the moment and the receipt, and its own inputs. Nodes that several others
    share are the same object.
    """
    known: dict[str, LineageNode] = {}
    index = lake.index()

    def node(name: str, part: str | None, version: str) -> LineageNode:
        if version in known:
            return known[version]
        gone = erased_record(folder_of(index, InputRef(name, part, version, "")))
        if gone is not None:
            return _erased_node(gone, known, node)
        try:
            manifest = lake.version(name, version, part).manifest
        except LakeError:
            known[version] = LineageNode(name, part, version, None, "", "", None, None, [], False)
            return known[version]
        known[version] = result = LineageNode(
            asset=name,
            partition=part,
            version=version,
            run=manifest.run_id,
            created=manifest.created,
            code_version=manifest.code_version,
            rows=manifest.rows,
            skipped=manifest.skipped,
            external_files=[entry.path for entry in manifest.external_files],
        )
        result.inputs = [node(e.asset, e.partition, e.version) for e in manifest.inputs]
        return result

    if version is None:
        return node(asset, partition, lake.current(asset, partition).id)
    if erased_record(folder_of(index, InputRef(asset, partition, version, ""))) is None:
        lake.version(asset, version, partition)  # LakeError for a version that never was
    return node(asset, partition, version)


def _erased_node(
    gone: ErasedVersion,
    known: dict[str, LineageNode],
    node: Callable[[str, str | None, str], LineageNode],
) -> LineageNode:
    known[gone.version] = result = LineageNode(
        asset=gone.asset,
        partition=gone.partition,
        version=gone.version,
        run=gone.run_id,
        created=gone.created,
        code_version=gone.code_version,
        rows=None,
        skipped=None,
        external_files=[entry.path for entry in gone.external_files],
        kept=False,
        erased={"at": gone.erased_at, "receipt": gone.receipt},
    )
    result.inputs = [node(e.asset, e.partition, e.version) for e in gone.inputs]
    return result


@dataclass(frozen=True)
class Damage:
    """A file that is not what its manifest says."""

    asset: str
    partition: str | None
    version: str
    file: str
    state: FileState

    @property
    def serious(self) -> bool:
        """External files may have been moved away since; everything else is damage."""
        return self.state != "absent"


@dataclass(frozen=True)
class Verification:
    """What `verify` read and found."""

    versions: int
    files: int
    bytes: int
    damages: tuple[Damage, ...]
    erased: tuple[ErasedVersion, ...] = ()

    @property
    def passed(self) -> bool:
        """No file is damaged."""
        return not any(damage.serious for damage in self.damages)


def verify(lake: Lake, progress: Progress = silent) -> Verification:
    """Re-hashes every file of every kept version, and the dump files that they name.

    A dump file may be replaced by a corrected one: what an older version read is then "absent".
    Versions that were erased on request are listed as such; files left beside their record are
    damage.
    """
    versions = lake.every_version(reread=True)
    damages: list[Damage] = []
    erased: list[ErasedVersion] = []
    current = {version.id for version in current_versions(lake)}
    seen_external: dict[FileEntry, FileState | None] = {}
    files = size = 0
    for position, version in enumerate(versions):
        progress(position, len(versions), f"{version.asset}")
        record = erased_record(version.folder)
        if record is not None:
            erased.append(record)
            left = lake.unerased(version)
            damages += [_damage(version, name, "not erased") for name in left]
            continue
        try:
            manifest = version.manifest
        except LakeError:
            damages.append(_damage(version, MANIFEST, "damaged"))
            continue
        stored = lake.stored(version)
        for entry in manifest.files:
            files, size = files + 1, size + entry.size
            if entry.path not in stored:
                damages.append(_damage(version, entry.path, "missing"))
            elif stored[entry.path] != entry.size or (
                lake.digest(version, entry.path) != entry.sha256
            ):
                damages.append(_damage(version, entry.path, "changed"))
        listed = {MANIFEST, *(entry.path for entry in manifest.files)}
        for name in sorted(stored.keys() - listed):
            damages.append(_damage(version, name, "unlisted"))
        for entry in manifest.external_files:
            if entry not in seen_external:
                seen_external[entry] = _external_state(entry)
                files, size = files + 1, size + entry.size
            external = seen_external[entry]
            if external == "missing" or (external and version.id not in current):
                external = "absent"
            if external:
                damages.append(_damage(version, entry.path, external))
    damages += _pointer_damages(lake)
    progress(len(versions), len(versions), "done")
    kept = len(versions) - len(erased)
    return Verification(kept, files, size, tuple(damages), tuple(erased))


def _pointer_damages(lake: Lake) -> Iterator[Damage]:
    for asset in lake.assets():
        for partition in lake.partitions(asset):
            try:
                lake.find(asset, partition)
            except LakeError:
                yield Damage(asset, partition, "current", "current", "missing")


def _damage(version: Version, file: str, state: FileState) -> Damage:
    return Damage(version.asset, version.partition, version.id, file, state)


def _external_state(entry: FileEntry) -> FileState | None:
    path = Path(entry.path)
    if not path.is_file():
        return "missing"
    if path.stat().st_size != entry.size or sha256_of(path) != entry.sha256:
        return "changed"
    return None


@dataclass(frozen=True)
class Difference:
    """One reason why two versions differ."""

    asset: str
    partition: str | None
    kind: Literal["code", "config", "input", "external"]
    what: str
    before: str
    after: str


def diff(lake: Lake, before: Version, after: Version) -> list[Difference]:
    """Why two versions of an asset differ: the changes at the roots, not their consequences.

    Walks from the versions up to inputs that differ; an input that differs only because its own
    inputs do is not listed itself.
    """
    found: list[Difference] = []
    visited: set[tuple[str, str]] = set()

    def compare(old: Version, new: Version) -> None:
        if old.id == new.id or (old.id, new.id) in visited:
            return
        visited.add((old.id, new.id))
        a, b = old.manifest, new.manifest
        if a.code_version != b.code_version:
            found.append(
                Difference(new.asset, new.partition, "code", "code", a.code_version, b.code_version)
            )
        for key, left, right in _config_changes(a.config, b.config):
            found.append(Difference(new.asset, new.partition, "config", key, left, right))
        for left_file, right_file in _external_changes(a.external_files, b.external_files):
            name = right_file.path if right_file else left_file.path if left_file else ""
            found.append(
                Difference(
                    new.asset,
                    new.partition,
                    "external",
                    name,
                    left_file.sha256[:12] if left_file else "none",
                    right_file.sha256[:12] if right_file else "none",
                )
            )
        if a.data_version != b.data_version and _same_in_the_lake(a, b):
            found.append(
                Difference(
                    new.asset, new.partition, "external", "state outside the lake", old.id, new.id
                )
            )
        _compare_inputs(old, new)

    def _compare_inputs(old: Version, new: Version) -> None:
        left = {(e.asset, e.partition): e for e in old.manifest.inputs}
        right = {(e.asset, e.partition): e for e in new.manifest.inputs}
        for key in sorted(set(left) | set(right), key=str):
            if key in left and key in right:
                if left[key].data_version == right[key].data_version:
                    continue
                try:
                    compare(
                        lake.version(key[0], left[key].version, key[1]),
                        lake.version(key[0], right[key].version, key[1]),
                    )
                    continue
                except LakeError:
                    pass  # one of the two was pruned: then the input itself is the finest answer
            found.append(
                Difference(
                    new.asset,
                    new.partition,
                    "input",
                    key[0] if key[1] is None else f"{key[0]}[{key[1]}]",
                    left[key].version if key in left else "none",
                    right[key].version if key in right else "none",
                )
            )

    compare(before, after)
    return found


def _same_in_the_lake(a: Manifest, b: Manifest) -> bool:
    """Same code, settings, files and inputs: then an alias, a key or a folder was another one."""
    return (
        a.code_version == b.code_version
        and a.config == b.config
        and not any(_external_changes(a.external_files, b.external_files))
        and {(e.asset, e.partition, e.data_version) for e in a.inputs}
        == {(e.asset, e.partition, e.data_version) for e in b.inputs}
    )


def _config_changes(
    before: dict[str, Any], after: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str, str]]:
    for key in sorted(set(before) | set(after)):
        left, right = before.get(key), after.get(key)
        if isinstance(left, dict) and isinstance(right, dict):
            yield from _config_changes(left, right, f"{prefix}{key}.")
        elif left != right:
            yield f"{prefix}{key}", json.dumps(left), json.dumps(right)


def _external_changes(
    before: tuple[FileEntry, ...], after: tuple[FileEntry, ...]
) -> Iterator[tuple[FileEntry | None, FileEntry | None]]:
    left = {Path(entry.path).name: entry for entry in before}
    right = {Path(entry.path).name: entry for entry in after}
    for name in sorted(set(left) | set(right)):
        a, b = left.get(name), right.get(name)
        if a is None or b is None or a.sha256 != b.sha256:
            yield a, b
