"""Fetched images by content, and what became of every url: a fetch resumes from here.

    <folder>/blobs/ab/<sha256>     the bytes of an image
    <folder>/index.db              url hash → content, facts or the permanent failure

Urls themselves are not kept. Erasure drops what no current submission points to any more.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from zipp_dagster.reddit.image_facts import ImageFacts

_SCHEMA = """
CREATE TABLE IF NOT EXISTS fetched (
    url TEXT PRIMARY KEY, sha256 TEXT, dhash TEXT, width INTEGER, height INTEGER, reason TEXT
) WITHOUT ROWID
"""


@dataclass(frozen=True)
class Result:
    """What became of a url: the facts of its image, or the reason why there is none."""

    facts: ImageFacts | None = None
    reason: str = ""
    permanent: bool = True


class MediaCache:
    """A folder of fetched images. Used by one process at a time for writing; a kill loses nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._index = sqlite3.connect(folder / "index.db", isolation_level=None, timeout=60)
        self._index.execute("PRAGMA journal_mode = DELETE")
        self._index.execute("PRAGMA secure_delete = ON")
        self._index.execute(_SCHEMA)

    def __enter__(self) -> MediaCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._index.close()

    def find(self, url: str) -> Result | None:
        """What is known of a url for good; None where it is to be fetched."""
        row = self._index.execute(
            "SELECT sha256, dhash, width, height, reason FROM fetched WHERE url = ?", [_key(url)]
        ).fetchone()
        if row is None:
            return None
        if row[4] is not None:
            return Result(reason=row[4])
        facts = ImageFacts(row[0], int(row[1], 16), row[2], row[3])
        return Result(facts) if self._blob(facts.sha256).is_file() else None

    def keep(self, url: str, facts: ImageFacts, data: bytes) -> None:
        """Stores an image; the bytes first, so that the index never names what is not there."""
        path = self._blob(facts.sha256)
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        row = [_key(url), facts.sha256, f"{facts.dhash:016x}", facts.width, facts.height]
        self._index.execute("INSERT OR REPLACE INTO fetched VALUES (?, ?, ?, ?, ?, NULL)", row)

    def fail(self, url: str, reason: str) -> None:
        """Stores that a url has no usable image, for good."""
        self._index.execute(
            "INSERT OR REPLACE INTO fetched VALUES (?, NULL, NULL, NULL, NULL, ?)",
            [_key(url), reason],
        )

    def read(self, facts: ImageFacts) -> bytes:
        """The bytes of a kept image."""
        return self._blob(facts.sha256).read_bytes()

    def keep_only(self, urls: Iterable[str]) -> int:
        """Drops all that none of these urls points to; returns how many files and entries went."""
        wanted = {_key(url) for url in urls}
        known = [row[0] for row in self._index.execute("SELECT url FROM fetched")]
        gone = [key for key in known if key not in wanted]
        self._index.executemany("DELETE FROM fetched WHERE url = ?", [[key] for key in gone])
        rows = self._index.execute("SELECT sha256 FROM fetched WHERE sha256 IS NOT NULL")
        blobs = {row[0] for row in rows}
        files = [p for p in (self.folder / "blobs").glob("*/*") if p.name not in blobs]
        for path in files:
            path.unlink()
        return len(gone) + len(files)

    def _blob(self, digest: str) -> Path:
        return self.folder / "blobs" / digest[:2] / digest


def _key(url: str) -> str:
    return sha256(url.encode("utf-8", "surrogatepass")).hexdigest()
