"""Fetched images by content, and what became of every url: a fetch resumes from here.

    <folder>/blobs/ab/<sha256>     the bytes of an image
    <folder>/index.db              url hash → content, facts or the permanent failure;
                                   on which days a published month was tried again in vain

A failure that settings decide (`RULED`) is kept with the setting, and known only while it holds.
Urls themselves are not kept. Erasure drops what no current submission points to any more.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from zipp_dagster.reddit.image_facts import ImageFacts

PASSING = frozenset(
    {"timeout", "cut_off", "no_connection", "host_unreachable", "bad_answer", "empty_answer"}
    | {"private_address", "http_401", "http_403", "http_408", "http_425", "http_429"}
)
"""Reasons that may pass, as may every `http_5xx`: never known for good."""

RULED = frozenset(
    {"host_not_allowed", "not_https", "too_large", "too_many_pixels", "too_many_redirects"}
)
"""Reasons that are good for as long as the settings are the same."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS fetched (
    url TEXT PRIMARY KEY, sha256 TEXT, dhash TEXT, width INTEGER, height INTEGER, reason TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tried (
    version TEXT, day TEXT, PRIMARY KEY (version, day)
) WITHOUT ROWID;
"""


def may_pass(reason: str) -> bool:
    """Whether an image that failed for this reason may be there another day."""
    return reason in PASSING or reason.startswith("http_5")


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
        self._index.executescript(_SCHEMA)

    def __enter__(self) -> MediaCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._index.close()

    def find(self, url: str, rules: Mapping[str, str] | None = None) -> Result | None:
        """What is known of a url for good; None where it is to be fetched.

        `rules` says what settings now stand behind each reason of `RULED`. Other releases kept
        failures without a rule, and some that may pass: those are not known.
        """
        row = self._index.execute(
            "SELECT sha256, dhash, width, height, reason FROM fetched WHERE url = ?", [_key(url)]
        ).fetchone()
        if row is None:
            return None
        if row[4] is not None:
            reason, _, rule = row[4].partition(" ")
            outdated = reason in RULED and (not rule or rule != (rules or {}).get(reason))
            return None if outdated or may_pass(reason) else Result(reason=reason)
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

    def fail(self, url: str, reason: str, rule: str = "") -> None:
        """Stores that a url has no usable image: for good, or for as long as `rule` stays."""
        self._index.execute(
            "INSERT OR REPLACE INTO fetched VALUES (?, NULL, NULL, NULL, NULL, ?)",
            [_key(url), f"{reason} {rule}" if rule else reason],
        )

    def read(self, facts: ImageFacts) -> bytes:
        """The bytes of a kept image."""
        return self._blob(facts.sha256).read_bytes()

    def size(self, facts: ImageFacts) -> int:
        """How many bytes a kept image has."""
        return self._blob(facts.sha256).stat().st_size

    def tried_in_vain(self, version: str, day: str) -> None:
        """Stores that what failed for now in a version of `media` failed again."""
        self._index.execute("INSERT OR IGNORE INTO tried VALUES (?, ?)", [version, day])

    def days_in_vain(self, version: str) -> list[str]:
        """On which days that was so, in order."""
        rows = self._index.execute(
            "SELECT day FROM tried WHERE version = ? ORDER BY day", [version]
        )
        return [row[0] for row in rows]

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
