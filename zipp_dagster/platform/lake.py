"""The lake: immutable, hashed version directories, one `current` pointer an asset partition.

    <root>/<asset>/<partition or _>/<version>/      data files and manifest.json
    <root>/<asset>/<partition or _>/<version>/      only erased.json, if it was erased on request
    <root>/<asset>/<partition or _>/current         the name of the current version
    <root>/.drafts/                                 what is being written
    <root>/.scratch/<asset>/<partition>/<key>/      partial work that outlives a killed run

A version is published by writing it under `.drafts`, fsync, one rename, and an atomic swap of
`current`: a kill at any moment leaves the previous version current and readable. The lake is
not a database: it knows neither schemas nor queries.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zipp_dagster.platform.erased import erase_version, erased_record, leftovers
from zipp_dagster.platform.files import disk_is_full, fsync, fsync_tree, sha256_of
from zipp_dagster.platform.locks import locked
from zipp_dagster.platform.partial_work import (
    DRAFTS,
    LOCK,
    SCRATCH,
    UsefulWork,
    discard_scratch,
    sweep,
)
from zipp_dagster.platform.versions import (
    MANIFEST,
    TABLE_FILES,
    WHOLE,
    FileEntry,
    LakeError,
    Manifest,
    NotMaterialised,
    Version,
)

STAMP = "%Y%m%dT%H%M%S%f"
"""The moment at the front of a version's name."""


@dataclass
class Draft:
    """A version being written: fill `directory`, keep partial work in `scratch`."""

    asset: str
    partition: str | None
    directory: Path
    scratch: Path
    before: Any = None
    """What was current when the work began, for a lake that compares before it swaps."""
    again: Version | None = None
    """The current version, where all there is to do is to try again what failed for now in it."""

    def path(self, name: str) -> Path:
        """A path inside the draft."""
        return self.directory / name

    def files(self, pattern: str = TABLE_FILES) -> list[Path]:
        """The files written so far that match a glob, sorted."""
        return sorted(path for path in self.directory.glob(pattern) if path.is_file())

    def discard_scratch(self) -> None:
        """Forgets the partial work: of no use once its version is current."""
        shutil.rmtree(self.scratch, ignore_errors=True)


class Lake:
    """Publishes and finds versions below one root folder.

    Several processes may publish at once: each publication is one rename and one pointer
    swap; of two that publish the same partition, the later swap wins and both versions stay.

    `object_lake` keeps the same in object storage, by the hooks at the end of this class.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    # --- finding -----------------------------------------------------------------------------

    def assets(self) -> list[str]:
        """Names of the assets that have any version."""
        if not self.root.is_dir():
            return []
        return sorted(
            path.name
            for path in self.root.iterdir()
            if path.is_dir() and not path.name.startswith(".")
        )

    def partitions(self, asset: str) -> list[str | None]:
        """The partitions of an asset that have a current version, sorted."""
        folder = self.root / asset
        if not folder.is_dir():
            return []
        return partitions_of(path.parent.name for path in folder.glob("*/current"))

    def every_partition(self, asset: str) -> list[str | None]:
        """The partitions of an asset that have any version, sorted."""
        folder = self.root / asset
        if not folder.is_dir():
            return []
        return partitions_of(path.name for path in folder.iterdir())

    def versions(self, asset: str, partition: str | None = None) -> list[Version]:
        """All kept versions, oldest first."""
        folder = self._folder(asset, partition)
        self._refresh(folder)
        if not folder.is_dir():
            return []
        paths = sorted(folder.iterdir())
        return [version for path in paths if (version := self._version(path)).kept]

    def every_version(self, *, reread: bool = False) -> list[Version]:
        """Every version: kept or erased, current or rejected, with an intact manifest or not."""
        folders = sorted(self.index(reread=reread).glob("[!.]*/*/*/"))
        return [self._version(folder) for folder in folders]

    def index(self, *, reread: bool = False) -> Path:
        """The folder below which each version has its manifest, or the record of its erasure.

        A walk over all versions reads it: object storage is listed once, and not for each. With
        `reread` the manifests are read again where they are copies.
        """
        self._refresh(self.root, reread=reread)
        return self.root

    def find(self, asset: str, partition: str | None = None) -> Version | None:
        """The current version, None where there is none."""
        name = self._pointer(asset, partition)
        if name is None:
            return None
        version = self._version(self._folder(asset, partition) / name)
        if not version.kept:
            raise LakeError(
                f"{version.folder} is the current version of {asset} and is not there: restore it, "
                f"or choose another one with `zipp lineage show {asset}` and materialise again"
            )
        return version

    def current(self, asset: str, partition: str | None = None) -> Version:
        """The current version; NotMaterialised where there is none."""
        version = self.find(asset, partition)
        if version is None:
            where = asset if partition is None else f"{asset}[{partition}]"
            raise NotMaterialised(
                f"{where} has not been materialised yet: run `zipp run --select +{asset}`"
            )
        return version

    def version(self, asset: str, version: str, partition: str | None = None) -> Version:
        """One version by its name (time travel)."""
        directory = self._folder(asset, partition) / version
        self._refresh(directory)
        erased = erased_record(directory)
        if erased is not None:
            raise LakeError(
                f"{asset} {version} was erased on {erased.erased_at} (receipt {erased.receipt})"
            )
        if not (directory / MANIFEST).is_file():
            known = ", ".join(v.id for v in self.versions(asset, partition)) or "none"
            raise LakeError(f"{asset} has no version {version}; kept versions: {known}")
        return self._version(directory)

    def as_of(self, asset: str, moment: datetime, partition: str | None = None) -> Version:
        """The newest version of a moment (UTC) that its blocking checks let become current."""
        stamp = _stamp(moment)
        older = [
            version
            for version in self.versions(asset, partition)
            if version.id.split("-")[0] <= stamp and not version.manifest.rejected
        ]
        if not older:
            raise NotMaterialised(f"{asset} had no version at {moment.isoformat()}")
        return older[-1]

    # --- writing -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def draft(self, asset: str, partition: str | None, key: str) -> Iterator[Draft]:
        """A fresh draft folder, removed afterwards unless it was published.

        `key` names the work (the data version): a later draft with the same key finds the
        `scratch` folder as an interrupted one left it.
        """
        directory = self.root / DRAFTS / f"{asset}-{secrets.token_hex(8)}"
        scratch = self.root / SCRATCH / asset / (partition or WHOLE) / key[:16]
        try:
            with locked(directory.with_suffix(LOCK)):
                directory.mkdir()
                scratch.mkdir(parents=True, exist_ok=True)
                os.utime(scratch)
                yield Draft(asset, partition, directory, scratch, self._before(asset, partition))
        except BaseException as error:
            shutil.rmtree(directory, ignore_errors=True)
            if disk_is_full(error):
                free = shutil.disk_usage(self.root).free if self.root.exists() else 0
                raise LakeError(
                    f"the disk that holds {self.root} is full ({free / 2**20:.0f} MiB free) while "
                    f"{asset} was being written; nothing was published. Free some space (`zipp prune`) "
                    "or point ZIPP_HOME to a larger disk, and run again"
                ) from error
            raise
        finally:
            shutil.rmtree(directory, ignore_errors=True)
            with contextlib.suppress(OSError):
                scratch.rmdir()

    def publish(self, draft: Draft, *, make_current: bool = True, **fields: Any) -> Version:
        """Turns a draft into a version; keyword arguments are the Manifest's fields.

        With `make_current=False` (a blocking check failed) the version is kept for inspection,
        and the pointer stays where it was.
        """
        now = datetime.now(UTC)
        version = f"{_stamp(self._moment(now, draft))}-{fields['data_version'][:12]}-{secrets.token_hex(2)}"
        files = tuple(_hash_files(draft.directory))
        manifest = Manifest(
            asset=draft.asset,
            partition=draft.partition,
            version=version,
            files=files,
            created=now.isoformat(timespec="seconds"),
            **fields,
        )
        path = draft.directory / MANIFEST
        path.write_text(json.dumps(manifest.to_json(), indent=1, sort_keys=True))
        fsync_tree(draft.directory)
        folder = self._folder(draft.asset, draft.partition)
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / version
        self._store(draft, target, manifest)
        draft.directory.rename(target)
        fsync(folder)
        published = self._version(target)
        if make_current:
            self.point(published)
            draft.discard_scratch()
        return published

    def point(self, version: Version) -> None:
        """Makes a published version the current one, atomically."""
        folder = version.folder.parent
        fresh = folder / f".current-{secrets.token_hex(4)}"
        fresh.write_text(version.id + "\n")
        fsync(fresh)
        fresh.replace(folder / "current")
        fsync(folder)

    def erase(self, version: Version, receipt: str, erased_at: str) -> None:
        """Removes a version's bytes for good and leaves the record that it was erased.

        Raises LakeError if it is current: `withdraw` it first, or make a new one.
        """
        self._refuse_current(version)
        erase_version(version, receipt, erased_at)

    def withdraw(self, asset: str, partition: str | None = None) -> None:
        """Takes the `current` pointer away: the partition then counts as never materialised."""
        folder = self._folder(asset, partition)
        (folder / "current").unlink(missing_ok=True)
        if folder.is_dir():
            fsync(folder)

    def discard_partial_work(self, assets: Iterable[str]) -> int:
        """Removes dead drafts, and the scratch folders of some assets; returns how many."""
        drafts = len(list((self.root / DRAFTS).glob("*")))
        folders = discard_scratch(self.root, assets)
        self._sweep()
        return folders + drafts - len(list((self.root / DRAFTS).glob("*")))

    def prune(
        self,
        keep: int,
        protected: frozenset[str] = frozenset(),
        *,
        dry_run: bool = False,
        useful: UsefulWork | None = None,
    ) -> list[Version]:
        """Removes all but the newest `keep` versions of each partition; returns what went.

        Spares what is current, what is named in `protected` (version names, such as those of
        registered models), and every version that a current version was made from. Of killed runs'
        partial work that stays which is `useful` (asset, partition, key), for a day; without that
        function all of it.
        """
        spared = set(protected)
        for asset in self.assets():
            for partition in self.partitions(asset):
                version = self.find(asset, partition)
                if version is not None:
                    spared.add(version.id)
                    spared.update(entry.version for entry in version.manifest.inputs)
        removed = []
        for asset in self.assets():
            for partition in self.every_partition(asset):
                kept = self.versions(asset, partition)
                for version in kept[: max(len(kept) - keep, 0)]:
                    if version.id not in spared:
                        removed.append(version)
                        if not dry_run:
                            self._discard(version)
        if not dry_run:
            self._sweep(useful)
        return removed

    def _refuse_current(self, version: Version) -> None:
        current = self.find(version.asset, version.partition) if version.kept else None
        if current == version:
            raise LakeError(f"{version.asset} {version.id} is current and cannot be erased")

    def _discard(self, version: Version) -> None:
        """Removes a version whole: a kill in between leaves a dead draft, not half a version."""
        rubbish = self.root / DRAFTS / f"pruned-{secrets.token_hex(8)}"
        rubbish.parent.mkdir(exist_ok=True)
        version.folder.rename(rubbish)
        shutil.rmtree(rubbish)

    def _sweep(self, useful: UsefulWork | None = None) -> None:
        """Removes drafts whose process is gone, pointer leftovers, and partial work of no use."""
        sweep(self.root, useful)

    def _folder(self, asset: str, partition: str | None) -> Path:
        return self.root / asset / (partition or WHOLE)

    # --- what is stored, for `verify` -----------------------------------------------------------

    def stored(self, version: Version) -> dict[str, int]:
        """The files that lie in a version, listed in its manifest or not, with their sizes."""
        folder = version.folder
        files = (path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}

    def digest(self, version: Version, name: str) -> str:
        """SHA-256 in hex of one of these files, read again."""
        return sha256_of(version.folder / name)

    def unerased(self, version: Version) -> list[str]:
        """What lies beside the record of an erased version."""
        return [path.name for path in leftovers(version.folder)]

    # --- hooks: what is otherwise where the root is not the place of the bytes ------------------

    def _version(self, folder: Path) -> Version:
        return Version(folder)

    def _refresh(self, folder: Path, *, reread: bool = False) -> None:
        """Brings manifests and records of erasure below a folder up to date."""

    def _pointer(self, asset: str, partition: str | None) -> str | None:
        """The name of the current version."""
        try:
            return (self._folder(asset, partition) / "current").read_text().strip()
        except FileNotFoundError:
            return None

    def _before(self, asset: str, partition: str | None) -> Any:
        """What `Draft.before` is to hold."""
        return None

    def _moment(self, now: datetime, draft: Draft) -> datetime:
        """The moment by which a new version is named."""
        return now

    def _store(self, draft: Draft, target: Path, manifest: Manifest) -> None:
        """Puts a complete draft, manifest included, where its bytes are to stay."""


def partitions_of(folders: Iterable[str]) -> list[str | None]:
    """The partitions that some folders of an asset stand for, sorted."""
    return [None if name == WHOLE else name for name in sorted(folders)]


def _hash_files(directory: Path) -> Iterator[FileEntry]:
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            name = path.relative_to(directory).as_posix()
            yield FileEntry(name, path.stat().st_size, sha256_of(path))


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(STAMP)
