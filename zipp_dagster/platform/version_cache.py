"""Copies of versions on this machine's disk, for memory-mapped reads: whole, verified, bounded.

    <root>/<asset>/<partition>/<version>/    the manifest, and the files while they are cached
    <root>/.cached/<asset>/<partition>/<version>.json    size and time of each file when it was verified
    <root>/.cached/readers/<token>           versions in use by a living process, which holds its lock

The entry under `.cached` is there before the first file and until the last one is gone, so that all
bytes are counted; a file whose time is not yet noted in it is verified before use. The entry's own
time is that of the last use. Several processes of one machine share a cache.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import IO

from zipp_dagster.platform.files import disk_is_full, fsync, sha256_of
from zipp_dagster.platform.locks import exclusive, in_use
from zipp_dagster.platform.versions import MANIFEST, FileEntry, LakeError, Version

CACHED = ".cached"
READERS = "readers"
Bring = Callable[[Version, FileEntry, Path], str]
"""Writes a file of a version to a path; returns its SHA-256 in hex."""
Times = dict[str, list[int]]
AT_ONCE = 4
"""Files fetched at once: many small ones wait for the network, one large one fills it."""


@dataclass
class _Use:
    """What a process uses of one cache, whichever object asked for it."""

    process: int
    stream: IO[str]
    ready: set[str]


_uses: dict[Path, _Use] = {}
_uses_lock = threading.Lock()


class VersionCache:
    """The cached versions below a root folder, which together stay below a limit.

    Versions that a living process has asked for are never evicted, so that paths stay good until it
    ends; they may hold the cache above its limit.

    Args:
        root: the folder of the manifests.
        limit: bytes.
        bring: gets a file that is not there.
    """

    def __init__(self, root: Path, limit: int, bring: Bring) -> None:
        self.root, self.limit, self.bring = root, limit, bring

    def need(self, version: Version) -> None:
        """Has the version's files there, verified, and keeps them until this process ends.

        Raises:
            LakeError: a file cannot be had, is damaged where it comes from, or finds no room.
        """
        if self._ready(version) and self._entry(version).exists():
            return
        if not version.kept:
            raise LakeError(
                f"{version.asset} {version.id} is not kept any more: it was pruned or erased"
            )
        self._register(version)
        with exclusive(self._entry(version).with_suffix(".lock")):
            brought = self._complete(version)
        _uses[self.root].ready.add(version.id)
        if brought:
            self.shrink()

    def add(self, version: Version) -> None:
        """Takes a version whose files were just written into its folder."""
        self._register(version)
        times = {
            entry.path: _times(version.folder / entry.path) for entry in version.manifest.files
        }
        self._note(version, times)
        _uses[self.root].ready.add(version.id)
        self.shrink()

    def drop(self, version: Version) -> None:
        """Forgets a version whose bytes go; its folder is the caller's to remove."""
        if self._ready(version):
            _uses[self.root].ready.discard(version.id)
        with exclusive(self.root / CACHED / "lock"):
            self._entry(version).unlink(missing_ok=True)
            self._entry(version).with_suffix(".lock").unlink(missing_ok=True)

    def release(self) -> None:
        """Ends this process's use of all versions below the root: their paths are good no longer."""
        with _uses_lock:
            use = _uses.pop(self.root, None)
            if use is not None:
                use.stream.close()

    def shrink(self, limit: int | None = None) -> int:
        """Evicts what was not used for the longest time until the rest fits; returns bytes freed."""
        limit = self.limit if limit is None else limit
        freed = 0
        with exclusive(self.root / CACHED / "lock"):
            used = self._used()
            entries = []
            for path in (self.root / CACHED).glob("*/*/*.json"):
                status, times = path.stat(), _read(path)
                entries.append((status.st_mtime_ns, path, sum(size for size, _ in times.values())))
            total = sum(size for _, _, size in entries)
            for _, path, size in sorted(entries):
                if total - freed <= limit:
                    break
                if path.stem not in used:
                    self._evict(path)
                    freed += size
        return freed

    @property
    def size(self) -> int:
        """Bytes of all cached versions."""
        entries = (self.root / CACHED).glob("*/*/*.json")
        return sum(size for path in entries for size, _ in _read(path).values())

    def _complete(self, version: Version) -> bool:
        """Brings what is missing or not as it was verified; returns whether anything came."""
        known = _read(self._entry(version))
        wanted = [
            entry
            for entry in version.manifest.files
            if not self._intact(version.folder / entry.path, entry, known.get(entry.path))
        ]
        if wanted:
            try:
                self._fetch(version, wanted)
            except BaseException as error:
                if not disk_is_full(error):
                    raise
                self._fetch_into_full_disk(version, wanted, error)
        self._note(
            version,
            {entry.path: _times(version.folder / entry.path) for entry in version.manifest.files},
        )
        return bool(wanted)

    def _fetch_into_full_disk(
        self, version: Version, wanted: list[FileEntry], error: BaseException
    ) -> None:
        """Once more without anything that is not in use; else the one clear error."""
        if self.shrink(0):
            try:
                self._fetch(version, wanted)
                return
            except BaseException as again:
                if not disk_is_full(again):
                    raise
                error = again
        free = shutil.disk_usage(self.root).free
        size = sum(entry.size for entry in wanted)
        raise LakeError(
            f"the disk that holds {self.root} is full ({free / 2**20:.0f} MiB free) while "
            f"{version.asset} {version.id} ({size / 2**20:.0f} MiB) was fetched; the lake is as it was. "
            "Free some space or point ZIPP_HOME to a larger disk, and run again"
        ) from error

    def _fetch(self, version: Version, wanted: list[FileEntry]) -> None:
        unverified = {entry.path: [entry.size, 0] for entry in version.manifest.files}
        self._note(version, unverified | _read(self._entry(version)))
        self.shrink()
        with ThreadPoolExecutor(min(AT_ONCE, len(wanted))) as pool:
            list(pool.map(lambda entry: self._fetch_file(version, entry), wanted))

    def _fetch_file(self, version: Version, entry: FileEntry) -> None:
        path = version.folder / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.part")
        try:
            got = self.bring(version, entry, fresh)
            if got != entry.sha256 or fresh.stat().st_size != entry.size:
                raise LakeError(
                    f"{entry.path} of {version.asset} {version.id} is damaged in the store "
                    f"(SHA-256 {got[:12]}, the manifest says {entry.sha256[:12]}): see "
                    "`zipp lineage verify`, and materialise it again"
                )
            fsync(fresh)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)

    def _intact(self, path: Path, entry: FileEntry, verified: list[int] | None) -> bool:
        if not path.is_file():
            return False
        if _times(path) == verified:
            return True
        return path.stat().st_size == entry.size and sha256_of(path) == entry.sha256

    def _evict(self, entry: Path) -> None:
        _, asset, partition, name = entry.relative_to(self.root).parts
        version = Version(self.root / asset / partition / name.removesuffix(".json"))
        for path in sorted(version.folder.rglob("*"), reverse=True):
            if path.is_dir():
                path.rmdir()
            elif path.name != MANIFEST or path.parent != version.folder:
                path.unlink()
        entry.unlink()

    def _entry(self, version: Version) -> Path:
        folder = version.folder.relative_to(self.root)
        return (self.root / CACHED / folder).with_name(f"{version.id}.json")

    def _note(self, version: Version, times: Times) -> None:
        path = self._entry(version)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{secrets.token_hex(8)}")
        fresh.write_text(json.dumps(times))
        fresh.replace(path)

    # --- which versions living processes use ------------------------------------------------------

    def _ready(self, version: Version) -> bool:
        use = _uses.get(self.root)
        # After a fork nothing is: the lock is the parent's, and ends with it.
        return use is not None and use.process == os.getpid() and version.id in use.ready

    def _register(self, version: Version) -> None:
        with _uses_lock, exclusive(self.root / CACHED / "lock"):
            use = _uses.get(self.root)
            if use is None or use.process != os.getpid():
                path = self.root / CACHED / READERS / secrets.token_hex(8)
                path.parent.mkdir(exist_ok=True)
                use = _Use(os.getpid(), path.open("w"), set())
                flock(use.stream, LOCK_EX)
                _uses[self.root] = use
            use.stream.write(f"{version.id}\n")
            use.stream.flush()

    def _used(self) -> set[str]:
        used = set()
        for path in (self.root / CACHED / READERS).glob("*"):
            if in_use(path):
                used.update(path.read_text().split())
            else:
                path.unlink(missing_ok=True)
        return used


def _times(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _read(entry: Path) -> Times:
    """What an entry says; nothing where there is none, or only half of one after a power cut."""
    try:
        times: Times = json.loads(entry.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return times
