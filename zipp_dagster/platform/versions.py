"""What a version in the lake is: its manifest, its inputs, its files. Reading only.

Publishing, finding and removing versions is in `lake`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

WHOLE = "_"
"""The folder name of an unpartitioned asset's only partition."""


TABLE_FILES = "part-*.parquet"
"""The data files of a table; other Parquet files of a version are side products."""


MANIFEST = "manifest.json"


ERASED = "erased.json"
"""The record that takes the place of an erased version's manifest and files; see `erased`."""


MANIFEST_FORMAT = 1


class LakeError(Exception):
    """Something in the lake is missing, damaged or in the way; the message says what to do."""


class NotMaterialised(LakeError):
    """An asset partition has no current version."""


@dataclass(frozen=True)
class InputRef:
    """One input of a version: which version of which asset partition was read."""

    asset: str
    partition: str | None
    version: str
    data_version: str
    run_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The entry of `zipp/inputs`."""
        return {
            "asset": self.asset,
            "partition": self.partition,
            "version": self.version,
            "data_version": self.data_version,
            "run": self.run_id,
        }

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> InputRef:
        """The inverse of `to_json`."""
        return cls(
            entry["asset"],
            entry["partition"],
            entry["version"],
            entry["data_version"],
            entry.get("run"),
        )


@dataclass(frozen=True)
class FileEntry:
    """A file of a version: path relative to it, bytes, SHA-256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a version is and what it was made from; written as `manifest.json` inside it."""

    asset: str
    partition: str | None
    version: str
    data_version: str
    code_version: str
    config_hash: str
    config: dict[str, Any]
    inputs: tuple[InputRef, ...]
    files: tuple[FileEntry, ...]
    created: str
    run_id: str | None
    seconds: float
    rows: int | None = None
    skipped: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    checks: tuple[dict[str, Any], ...] = ()
    external_files: tuple[FileEntry, ...] = ()
    by_content: bool = False
    """The data version follows from content outside the lake, not from the inputs' versions."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files)

    @property
    def rejected(self) -> bool:
        """A blocking check failed: kept for inspection, never current."""
        return any(
            check["blocking"] and not check["passed"] and check["severity"] == "error"
            for check in self.checks
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON document, stable in its key order."""
        document = dict(self.__dict__)
        document["format"] = MANIFEST_FORMAT
        document["inputs"] = [entry.to_json() for entry in self.inputs]
        document["files"] = [entry.__dict__ for entry in self.files]
        document["external_files"] = [entry.__dict__ for entry in self.external_files]
        document["checks"] = list(self.checks)
        return document

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Manifest:
        """The inverse of `to_json`; raises LakeError on a format of another release."""
        fields = dict(document)
        if fields.pop("format", None) != MANIFEST_FORMAT:
            raise LakeError(
                f"a manifest of {fields.get('asset')} has format {document.get('format')}, this release "
                f"reads {MANIFEST_FORMAT}: materialise the asset again"
            )
        fields["inputs"] = tuple(InputRef.from_json(entry) for entry in fields["inputs"])
        fields["files"] = tuple(FileEntry(**entry) for entry in fields["files"])
        fields["external_files"] = tuple(FileEntry(**e) for e in fields["external_files"])
        fields["checks"] = tuple(fields["checks"])
        return cls(**fields)


@dataclass(frozen=True)
class Version:
    """A published version: where it lies, its manifest and its files.

    Equal to another of the same folder. `fetch` is called before the files are read, where they may
    have to be brought into the folder first; the manifest, or the record of erasure, is always there.
    """

    folder: Path
    fetch: Callable[[Version], None] | None = field(default=None, compare=False, repr=False)

    @property
    def directory(self) -> Path:
        """The folder with all the files in it."""
        if self.fetch is not None:
            self.fetch(self)
        return self.folder

    @cached_property
    def manifest(self) -> Manifest:
        """Read once; LakeError where it is missing or not JSON."""
        path = self.folder / MANIFEST
        try:
            return Manifest.from_json(json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LakeError(f"{path} cannot be read ({error}): materialise it again") from error

    @property
    def id(self) -> str:
        """The version's name, sortable by time."""
        return self.folder.name

    @property
    def asset(self) -> str:
        """The asset's name."""
        return self.folder.parent.parent.name

    @property
    def partition(self) -> str | None:
        """The partition, None for an unpartitioned asset."""
        name = self.folder.parent.name
        return None if name == WHOLE else name

    @property
    def skipped(self) -> str | None:
        """Why nothing was made, None where something was."""
        return self.manifest.skipped

    @property
    def kept(self) -> bool:
        """Whether its files are there: neither pruned nor erased."""
        return (self.folder / MANIFEST).is_file() and not (self.folder / ERASED).is_file()

    def ref(self) -> InputRef:
        """The version as somebody's input."""
        manifest = self.manifest
        return InputRef(self.asset, self.partition, self.id, manifest.data_version, manifest.run_id)

    def files(self, pattern: str = TABLE_FILES) -> list[Path]:
        """The data files that match a glob, sorted."""
        found = self.directory.glob(pattern)
        return sorted(path for path in found if path.is_file() and path.name != MANIFEST)
