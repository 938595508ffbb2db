"""Records become Arrow columns: authors replaced by pseudonyms, deleted and erased ones left out.

The schemas here are those of the `comments`, `submissions` and `rejected_lines` tables.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from zipp_dagster.reddit.bots import AUTO_MODERATOR
from zipp_dagster.reddit.dumps import HEAD_BYTES, Kind
from zipp_dagster.reddit.erasure import Tombstones
from zipp_dagster.reddit.images import image_url, media_key
from zipp_dagster.reddit.pseudonyms import Pseudonymizer
from zipp_dagster.reddit.records import (
    Comment,
    Record,
    Submission,
    is_gone,
    is_taken_down,
    was_removed,
)

KEPT, DELETED, ERASED = 0, 1, 2

COMMENTS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("user_id", pa.uint64()),
        ("subreddit", pa.string()),
        ("link_id", pa.string()),
        ("parent_id", pa.string()),
        ("body", pa.string()),
        ("score", pa.int64()),
        ("created_at", pa.timestamp("us")),
        ("is_bot", pa.bool_()),
    ]
)
SUBMISSIONS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("user_id", pa.uint64()),
        ("subreddit", pa.string()),
        ("title", pa.string()),
        ("selftext", pa.string()),
        ("url", pa.string()),
        ("domain", pa.string()),
        ("media_key", pa.string()),
        ("score", pa.int64()),
        ("num_comments", pa.int64()),
        ("over_18", pa.bool_()),
        ("is_image", pa.bool_()),
        ("created_at", pa.timestamp("us")),
        ("is_bot", pa.bool_()),
    ]
)
REJECTED_SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("line", pa.int64()),
        ("byte_offset", pa.int64()),
        ("reason", pa.string()),
        ("head", pa.binary()),
    ]
)

_MENTION = re.compile(r"(?<!\w)/?(?:u|user)/[\w-]{3,20}", re.IGNORECASE)
_NAME_IN_LINE = re.compile(rb'("author(?:_fullname)?"\s*:\s*")([^"\\]*)')
_ID_IN_LINE = re.compile(rb'"id"\s*:\s*"([a-z0-9]+)"')
_CACHED_PEOPLE = 500_000  # about 100 MB of names at most


class Person(NamedTuple):
    """What ingestion knows of an author name."""

    user_id: int
    is_bot: bool
    status: int  # KEPT, DELETED (the placeholder name) or ERASED
    is_author: bool  # counted among the authors: everybody but AutoModerator


class People(dict[str, Person]):
    """Author names looked up once: pseudonym, bot or not, erased or not. Lives in memory only."""

    def __init__(
        self, pseudonymizer: Pseudonymizer, tombstones: Tombstones, bots: frozenset[str]
    ) -> None:
        super().__init__()
        self._pseudonymizer, self._tombstones, self._bots = pseudonymizer, tombstones, bots

    def __missing__(self, name: str) -> Person:
        user_id, lower = self._pseudonymizer.user(name), name.lower()
        status = KEPT
        if is_gone(name):
            status = DELETED
        elif user_id in self._tombstones.users:
            status = ERASED
        person = Person(user_id, lower in self._bots, status, lower != AUTO_MODERATOR)
        if len(self) >= _CACHED_PEOPLE:
            self.clear()
        self[name] = person
        return person


def without_names(text: str) -> str:
    """Text with `u/name` mentions masked: names of users do not pass ingestion."""
    # Looking for one character first is several times faster than the pattern, on most texts.
    return _MENTION.sub("u/[user]", text) if "/" in text else text


def community(name: str, pseudonymizer: Pseudonymizer) -> str:
    """A community's name; a user's own profile page (`u_name`) under the pseudonym instead."""
    if name[:2] in ("u_", "U_"):
        return f"u_{pseudonymizer.user(name[2:]):016x}"
    return name


class ColumnMaker:
    """Turns normalised records of one kind into statuses and Arrow tables."""

    def __init__(
        self,
        kind: Kind,
        pseudonymizer: Pseudonymizer,
        tombstones: Tombstones,
        bots: frozenset[str],
    ) -> None:
        self.kind = kind
        self.schema = COMMENTS_SCHEMA if kind == "comments" else SUBMISSIONS_SCHEMA
        self._prefix = "t1_" if kind == "comments" else "t3_"
        self._pseudonymizer = pseudonymizer
        self._tombstones = tombstones
        self._people = People(pseudonymizer, tombstones, bots)
        self.auto_moderator = pseudonymizer.user(AUTO_MODERATOR)

    def people(self, records: Sequence[Record]) -> list[Person]:
        """The author of every record."""
        found = self._people
        return [found[cast(str, record.author)] for record in records]

    def statuses(self, records: Sequence[Record], people: Sequence[Person]) -> NDArray[np.uint8]:
        """KEPT, DELETED or ERASED for every record, uint8 [records]; erasure wins."""
        if self.kind == "comments":
            comments = cast(Sequence[Comment], records)
            status = [
                person.status
                or (
                    (record.body[:1] == "[" and is_taken_down(record.body))  # type: ignore[index]
                    or (record.meta is not None and was_removed(record.meta))
                )
                for record, person in zip(comments, people)
            ]
        else:
            status = [person.status or record.deleted for record, person in zip(records, people)]
        result = np.array(status, dtype=np.uint8)
        if self._tombstones.items:
            token, erased = self._pseudonymizer.item, self._tombstones.items
            result[[token(self._prefix + record.id) in erased for record in records]] = ERASED
        return result

    def table(self, records: Sequence[Record], people: Sequence[Person]) -> pa.Table:
        """The Arrow table of records to keep, in the schema of their kind."""
        columns: dict[str, object] = {
            "id": [r.id for r in records],
            "user_id": np.array([p.user_id for p in people], dtype=np.uint64),
            "subreddit": [community(cast(str, r.subreddit), self._pseudonymizer) for r in records],
            "score": [r.score for r in records],
            "created_at": np.array([r.created_utc for r in records], dtype="datetime64[s]"),
            "is_bot": [p.is_bot for p in people],
        }
        if self.kind == "comments":
            comments = cast(Sequence[Comment], records)
            columns |= {
                "link_id": [r.link_id for r in comments],
                "parent_id": [r.parent_id for r in comments],
                "body": [without_names(cast(str, r.body)) for r in comments],
            }
        else:
            submissions = cast(Sequence[Submission], records)
            keys = [media_key(r) for r in submissions]
            columns |= {
                "title": [without_names(cast(str, r.title)) for r in submissions],
                "selftext": [without_names(r.selftext or "") for r in submissions],
                "url": [image_url(r) for r in submissions],
                "domain": [r.domain for r in submissions],
                "media_key": keys,
                "num_comments": [r.num_comments for r in submissions],
                "over_18": [bool(r.over_18) for r in submissions],
                "is_image": [key is not None for key in keys],
            }
        return pa.table(
            [pa.array(columns[field.name], field.type) for field in self.schema],
            schema=self.schema,
        )

    def is_erased_line(self, line: bytes) -> bool:
        """True where a rejected line shows the name or the id of something erased."""
        name, item = _NAME_IN_LINE.search(line), _ID_IN_LINE.search(line)
        if name and self._pseudonymizer.user(_text(name[2])) in self._tombstones.users:
            return True
        return bool(
            item
            and self._pseudonymizer.item(self._prefix + _text(item[1])) in self._tombstones.items
        )


def safe_head(line: bytes) -> bytes:
    """The first 200 bytes of a rejected line, the author's name masked."""
    return _NAME_IN_LINE.sub(rb"\1***", line[: 20 * HEAD_BYTES])[:HEAD_BYTES]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
