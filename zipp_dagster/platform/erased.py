"""Versions that were erased on request: their bytes are gone, what they were stays on record.

An erased version's folder holds `erased.json` and nothing else: the manifest without anything that
came from the data, with the moment and the receipt. Which versions hold something that must go is
decided here by lineage; whose data it is, is not known here.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zipp_dagster.platform.versions import (
    ERASED,
    MANIFEST,
    WHOLE,
    FileEntry,
    InputRef,
    LakeError,
    Version,
)


@dataclass(frozen=True)
class ErasedVersion:
    """What is still known of an erased version."""

    asset: str
    partition: str | None
    version: str
    erased_at: str
    receipt: str
    created: str = ""
    code_version: str = ""
    run_id: str | None = None
    rows: int | None = None
    inputs: tuple[InputRef, ...] = ()
    external_files: tuple[FileEntry, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON types."""
        document = dict(self.__dict__)
        document["inputs"] = [entry.to_json() for entry in self.inputs]
        document["external_files"] = [entry.__dict__ for entry in self.external_files]
        return document

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> ErasedVersion:
        """The inverse of `to_json`."""
        fields = dict(document)
        fields["inputs"] = tuple(InputRef.from_json(entry) for entry in fields["inputs"])
        fields["external_files"] = tuple(FileEntry(**e) for e in fields["external_files"])
        return cls(**fields)


def erase_version(version: Version, receipt: str, erased_at: str) -> None:
    """Removes a version's bytes and leaves its record; finishes what a killed erasure began.

    The record is written first: a kill in between leaves an erased version with leftovers, which
    `verify` reports and the next call removes.
    """
    folder = version.folder
    if not (folder / ERASED).is_file():
        draft = folder / f".{ERASED}"
        with draft.open("w") as file:
            file.write(record_text(version, receipt, erased_at))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / ERASED)
    clear_erased(folder)


def clear_erased(folder: Path) -> None:
    """Removes all but the record of erasure, the manifest first."""
    (folder / MANIFEST).unlink(missing_ok=True)
    for path in leftovers(folder):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def leftovers(folder: Path) -> list[Path]:
    """What is left beside the record of an erased version."""
    return sorted(path for path in folder.iterdir() if path.name != ERASED)


def erased_record(folder: Path) -> ErasedVersion | None:
    """The record of an erased version's folder; None where the version is not erased."""
    path = folder / ERASED
    if not path.is_file():
        return None
    try:
        return ErasedVersion.from_json(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise LakeError(f"{path} cannot be read ({error}): restore it from a backup") from error


def erased_versions(root: Path) -> Iterator[ErasedVersion]:
    """The records of all erased versions of a lake, by asset, partition and time."""
    for path in sorted(root.glob(f"[!.]*/*/*/{ERASED}")):
        record = erased_record(path.parent)
        assert record is not None
        yield record


def holders(
    root: Path, seeds: Iterable[str], doubtful: Callable[[InputRef], bool] = lambda ref: False
) -> frozenset[str]:
    """The names of all versions that were made from one of `seeds`, those included.

    Args:
        root: the lake's folder.
        seeds: version names.
        doubtful: asked about inputs that are not in the lake any more: whether they may have held
            the data.
    """
    inputs = dict(_all_inputs(root))
    known = dict.fromkeys(seeds, True)

    def holds(version: str) -> bool:
        if version not in known:
            known[version] = False  # no cycles in a lineage: only against endless recursion
            known[version] = any(
                holds(ref.version)
                if ref.version in inputs or ref.version in known
                else doubtful(ref)
                for ref in inputs[version]
            )
        return known[version]

    return frozenset(version for version in inputs if holds(version))


def _all_inputs(root: Path) -> Iterator[tuple[str, tuple[InputRef, ...]]]:
    """Version name → its inputs, erased versions included."""
    for folder in sorted(root.glob("[!.]*/*/*/")):
        record = erased_record(folder)
        if record is not None:
            yield record.version, record.inputs
        elif (folder / MANIFEST).is_file():
            version = Version(folder)
            yield version.id, version.manifest.inputs


def record_text(version: Version, receipt: str, erased_at: str) -> str:
    """What `erased.json` says of a version that is about to go."""
    return json.dumps(_record(version, receipt, erased_at).to_json(), indent=1, sort_keys=True)


def _record(version: Version, receipt: str, erased_at: str) -> ErasedVersion:
    try:
        manifest = version.manifest
    except LakeError:  # damaged, or already gone: the bytes must go all the same
        return ErasedVersion(version.asset, version.partition, version.id, erased_at, receipt)
    return ErasedVersion(
        asset=version.asset,
        partition=version.partition,
        version=version.id,
        erased_at=erased_at,
        receipt=receipt,
        created=manifest.created,
        code_version=manifest.code_version,
        run_id=manifest.run_id,
        rows=manifest.rows,
        inputs=manifest.inputs,
        external_files=manifest.external_files,
    )


def folder_of(root: Path, ref: InputRef) -> Path:
    """Where a version lies, or lay."""
    return root / ref.asset / (ref.partition or WHOLE) / ref.version
