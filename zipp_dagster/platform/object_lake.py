"""The lake in S3-compatible object storage, with a cache of versions on this machine's disk.

    s3://bucket/prefix/<asset>/<partition>/<version>/    data files, then manifest.json
    s3://bucket/prefix/<asset>/<partition>/current       the name of the current version

The keys are the paths of a lake on disk. A version is written on disk first, uploaded file by file
with its manifest last, and becomes current by a conditional write: the store replaces `current` only
if it is still the one that was there when the work began. The root folder holds drafts, a copy of
the manifests, and the files of versions that were read (`version_cache`). The store's state counts;
the folder may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from zipp_dagster.platform import lake as local
from zipp_dagster.platform import partial_work
from zipp_dagster.platform.erased import clear_erased, record_text
from zipp_dagster.platform.lake import Draft, Lake
from zipp_dagster.platform.object_store import (
    Conflict,
    ObjectStore,
    Stored,
    StoreUnreachable,
    Tagged,
)
from zipp_dagster.platform.partial_work import UsefulWork
from zipp_dagster.platform.version_cache import AT_ONCE, CACHED, VersionCache
from zipp_dagster.platform.versions import (
    ERASED,
    MANIFEST,
    WHOLE,
    FileEntry,
    LakeError,
    Manifest,
    Version,
)

CURRENT = "current"
MANIFESTS_AT_ONCE = 16


class ObjectLake(Lake):
    """Publishes and finds versions below one URL.

    Of two processes that publish the same partition at once, one wins and the other gets Conflict;
    both versions stay. No clock decides anything: the order of publications is the store's.

    Args:
        store: where the lake is.
        root: the folder of drafts, manifests and cached versions.
        cache_bytes: how much of the versions that nobody uses may stay in it.
    """

    def __init__(self, store: ObjectStore, root: Path, cache_bytes: int) -> None:
        super().__init__(root)
        self.store = store
        self.cache = VersionCache(self.root, cache_bytes, self._bring)
        self._before_of: dict[str, Tagged | None] = {}

    def assets(self) -> list[str]:
        """Names of the assets that have any version."""
        return [name for name in self.store.folders() if not name.startswith(".")]

    def partitions(self, asset: str) -> list[str | None]:
        """The partitions of an asset that have a current version, sorted."""
        keys = (key.split("/") for key in self.store.listing(asset))
        return local.partitions_of(key[1] for key in keys if key[2:] == [CURRENT])

    def every_partition(self, asset: str) -> list[str | None]:
        """The partitions of an asset that have any version, sorted."""
        return local.partitions_of(self.store.folders(asset))

    # --- writing -----------------------------------------------------------------------------

    def publish(self, draft: Draft, *, make_current: bool = True, **fields: Any) -> Version:
        """Uploads a draft as a version; its files stay in the cache.

        Raises:
            StoreUnreachable: the store did not take it; nothing became current.
            Conflict: somebody else published the partition since the draft was begun.
        """
        published = super().publish(draft, make_current=False, **fields)
        self.cache.add(published)
        if make_current:
            self.point(published)
            draft.discard_scratch()
        return published

    def point(self, version: Version) -> None:
        """Makes a published version the current one, if the one that it replaces still is.

        Raises:
            Conflict: another one became current since the work on this one began.
            StoreUnreachable: whether it became current is not known.
        """
        pointer = f"{self._key(version.folder.parent)}/{CURRENT}"
        known = version.id in self._before_of
        before = self._before_of.pop(version.id) if known else self.store.read(pointer)
        try:
            self.store.swap(pointer, f"{version.id}\n".encode(), before.tag if before else None)
        except Conflict as error:
            now = self.store.read(pointer)
            state = f"{now.content.decode().strip()} is current" if now else "it was withdrawn"
            raise Conflict(
                f"{version.asset} was published by somebody else while it was made here: {state}, "
                f"{version.id} is kept beside it. Run again: what is up to date stays as it is"
            ) from error
        except StoreUnreachable as error:
            raise StoreUnreachable(
                f"{error}. Whether {version.asset} {version.id} became current shows `zipp status`"
            ) from error

    def erase(self, version: Version, receipt: str, erased_at: str) -> None:
        """Removes a version's bytes for good and leaves the record that it was erased.

        Other machines drop their copies when they next look at the partition.
        """
        self._refuse_current(version)
        key = self._key(version.folder)
        if self.store.read(f"{key}/{ERASED}") is None:
            record = record_text(version, receipt, erased_at)
            self.store.write(f"{key}/{ERASED}", record.encode())
        self._delete(key, keep=ERASED)
        self._refresh(version.folder)

    def withdraw(self, asset: str, partition: str | None = None) -> None:
        """Takes the `current` pointer away: the partition then counts as never materialised."""
        self.store.delete([f"{asset}/{partition or WHOLE}/{CURRENT}"])

    # --- what is stored, for `verify` -----------------------------------------------------------

    def stored(self, version: Version) -> dict[str, int]:
        """The objects of a version with their sizes."""
        key = self._key(version.folder)
        found = self.store.listing(key)
        return {name.removeprefix(f"{key}/"): entry.size for name, entry in found.items()}

    def digest(self, version: Version, name: str) -> str:
        """SHA-256 in hex of an object's bytes, which are read whole and not kept."""
        digest = hashlib.sha256()
        for chunk in self.store.chunks(f"{self._key(version.folder)}/{name}"):
            digest.update(chunk)
        return digest.hexdigest()

    def unerased(self, version: Version) -> list[str]:
        """Objects beside the record of an erased version."""
        return sorted(self.stored(version).keys() - {ERASED})

    def check(self) -> str:
        """Whether the store can be used, and how full the cache is, in words."""
        found = self.store.check()
        size, limit = self.cache.size / 2**30, self.cache.limit / 2**30
        return f"{found}; {size:.1f} of {limit:.0f} GiB cached in {self.root}"

    # --- hooks -------------------------------------------------------------------------------

    def _version(self, folder: Path) -> Version:
        return Version(folder, self.cache.need)

    def _bring(self, version: Version, entry: FileEntry, path: Path) -> str:
        return self.store.download(f"{self._key(version.folder)}/{entry.path}", path)

    def _pointer(self, asset: str, partition: str | None) -> str | None:
        found = self._before(asset, partition)
        if found is None:
            return None
        name = found.content.decode().strip()
        self._copy(self._folder(asset, partition) / name, MANIFEST)
        return name

    def _before(self, asset: str, partition: str | None) -> Tagged | None:
        return self.store.read(f"{asset}/{partition or WHOLE}/{CURRENT}")

    def _moment(self, now: datetime, draft: Draft) -> datetime:
        """Later than that of the version that is replaced, however far apart the clocks are."""
        if draft.before is None:
            return now
        stamp = draft.before.content.decode().split("-")[0]
        replaced = datetime.strptime(stamp, local.STAMP).replace(tzinfo=UTC)
        return max(now, replaced + timedelta(microseconds=1))

    def _store(self, draft: Draft, target: Path, manifest: Manifest) -> None:
        key = self._key(target)

        def upload(entry: FileEntry) -> None:
            self.store.write(f"{key}/{entry.path}", draft.directory / entry.path)

        _all_at_once(upload, manifest.files, AT_ONCE)
        there = self.stored(Version(target))
        short = [entry.path for entry in manifest.files if there.get(entry.path) != entry.size]
        if short:
            raise LakeError(
                f"{self.store.url}/{key} lost {', '.join(short)} while it was uploaded; nothing was "
                "published. Does another program delete objects there? Run again"
            )
        self.store.write(f"{key}/{MANIFEST}", draft.directory / MANIFEST)
        self._before_of[target.name] = draft.before

    def _refresh(self, folder: Path, *, reread: bool = False) -> None:
        # Looked at before the listing: what is published in between is not taken for pruned.
        had = self._copies(folder)
        found = self._by_version(self.store.listing(self._key(folder)))
        erased = [self.root / key for key, names in found.items() if ERASED in names]
        kept = [
            self.root / key
            for key, names in found.items()
            if MANIFEST in names and ERASED not in names
        ]
        _all_at_once(lambda f: self._copy(f, MANIFEST, again=reread), kept, MANIFESTS_AT_ONCE)
        _all_at_once(lambda f: self._copy(f, ERASED), erased, MANIFESTS_AT_ONCE)
        for gone in erased:
            self.cache.drop(Version(gone))
            if gone.is_dir():
                clear_erased(gone)
        for gone in had.difference(kept, erased):
            self._forget(Version(gone))

    def _discard(self, version: Version) -> None:
        self._delete(self._key(version.folder))
        self._forget(version)

    def _sweep(self, useful: UsefulWork | None = None) -> None:
        """Also removes what killed uploads left: objects of versions that never got a manifest.

        Their age is told by the store's clock alone.
        """
        super()._sweep(useful)
        half = {
            key: names
            for key, names in self._by_version(self.store.listing()).items()
            if not {MANIFEST, ERASED} & names.keys()
        }
        if not half:
            return
        horizon = self.store.now() - timedelta(seconds=partial_work.ABANDONED_AFTER_SECONDS)
        for key, names in half.items():
            if max(entry.modified for entry in names.values()) <= horizon:
                self._delete(key)

    # --- keys and copies ---------------------------------------------------------------------

    def _key(self, folder: Path) -> str:
        key = folder.relative_to(self.root).as_posix()
        return "" if key == "." else key

    @staticmethod
    def _by_version(listing: dict[str, Stored]) -> dict[str, dict[str, Stored]]:
        """Version key → its objects by name."""
        found: dict[str, dict[str, Stored]] = defaultdict(dict)
        for key, entry in listing.items():
            asset, *rest = key.split("/")
            if len(rest) >= 3 and not asset.startswith("."):
                found["/".join((asset, *rest[:2]))]["/".join(rest[2:])] = entry
        return found

    def _copies(self, folder: Path) -> set[Path]:
        """The version folders on this disk, below a folder or that folder itself."""
        levels = ("[!.]*", "*", "*")[len(folder.relative_to(self.root).parts) :]
        if not levels:
            return {folder} if folder.is_dir() else set()
        return set(folder.glob("/".join(levels) + "/"))

    def _copy(self, folder: Path, name: str, *, again: bool = False) -> None:
        """Has a copy of a manifest, or of a record of erasure; nothing where the store has none."""
        path = folder / name
        if path.is_file() and not again:
            return
        found = self.store.read(f"{self._key(folder)}/{name}")
        if found is None or (path.is_file() and path.read_bytes() == found.content):
            return
        folder.mkdir(parents=True, exist_ok=True)
        fresh = self.root / CACHED / secrets.token_hex(8)
        fresh.parent.mkdir(exist_ok=True)
        fresh.write_bytes(found.content)
        fresh.replace(path)

    def _forget(self, version: Version) -> None:
        """Removes a version's copy."""
        self.cache.drop(version)
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            super()._discard(version)

    def _delete(self, key: str, keep: str | None = None) -> None:
        """Removes a version's objects, the manifest first: half of one is no version."""
        self.store.delete([f"{key}/{MANIFEST}"])
        self.store.delete(k for k in self.store.listing(key) if k != f"{key}/{keep}")


def open_lake(url: str | None, home: Path, cache_gib: float) -> Lake:
    """The lake below `home`, or at a URL with its cache below `home`."""
    if url is None:
        return Lake(home / "lake")
    store = ObjectStore(url)
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    name = hashlib.sha256(json.dumps([store.url, endpoint]).encode()).hexdigest()[:16]
    return ObjectLake(store, home / "lake-cache" / name, int(cache_gib * 2**30))


def _all_at_once(function: Callable[[Any], None], items: Iterable[Any], threads: int) -> None:
    todo = list(items)
    if todo:
        with ThreadPoolExecutor(min(threads, len(todo))) as pool:
            list(pool.map(function, todo))
