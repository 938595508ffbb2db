"""Records become Arrow columns: authors replaced by pseudonyms, deleted and erased ones left out.

The schemas here are those of the `comments`, `submissions` and `rejected_lines` tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from zipp_dagster.reddit.arrays import booleans, fixed, strings
from zipp_dagster.reddit.blocks import Rows
from zipp_dagster.reddit.bots import AUTO_MODERATOR
from zipp_dagster.reddit.bytescan import next_slash
from zipp_dagster.reddit.dumps import Kind
from zipp_dagster.reddit.erasure import Tombstones
from zipp_dagster.reddit.images import key_of_url
from zipp_dagster.reddit.lines import HEAD_BYTES
from zipp_dagster.reddit.pseudonyms import Pseudonymizer
from zipp_dagster.reddit.vectors import borrowed

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


def without_names(text: str) -> str:
    """Text with `u/name` mentions masked: names of users do not pass ingestion."""
    return _MENTION.sub("u/[user]", text)


def community(name: str, pseudonymizer: Pseudonymizer) -> str:
    """A community's name; a user's own profile page (`u_name`) under the pseudonym instead."""
    if name[:2] in ("u_", "U_"):
        return f"u_{pseudonymizer.user(name[2:]):016x}"
    return name


class ColumnMaker:
    """Turns the rows of one kind into statuses and Arrow tables."""

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
        self._erased_users = _sorted_tokens(tombstones.users)
        self._erased_items = _sorted_tokens(tombstones.items)
        self._bots = _sorted_tokens(pseudonymizer.user(name) for name in bots)
        self.auto_moderator = pseudonymizer.user(AUTO_MODERATOR)

    def users(self, rows: Rows) -> NDArray[np.uint64]:
        """The pseudonym of every row's author, uint64 [n]; zero for unusable lines."""
        found, scan, at = self._pseudonymizer, rows.scan, rows.slot("author")
        users = found.users_in(rows.data, scan.starts[at], scan.lengths[at], ~rows.strict)
        strict = np.flatnonzero(rows.strict & rows.usable)
        for row, name in zip(strict.tolist(), rows.text("author", strict).to_pylist()):
            users[row] = found.user(name)
        return users

    def statuses(self, rows: Rows, users: NDArray[np.uint64]) -> NDArray[np.uint8]:
        """KEPT, DELETED or ERASED for every row, uint8 [n]; erasure wins."""
        status = np.where(rows.deleted, DELETED, KEPT).astype(np.uint8)
        if len(self._erased_users):
            status[_within(users, self._erased_users)] = ERASED
        if len(self._erased_items):
            status[_within(self._items(rows), self._erased_items)] = ERASED
        return status

    def _items(self, rows: Rows) -> NDArray[np.uint64]:
        found, scan, at = self._pseudonymizer, rows.scan, rows.slot("id")
        kind, places = self._prefix.encode(), (scan.starts[at], scan.lengths[at])
        items = found.items_in(kind, rows.data, *places, ~rows.strict)
        strict = np.flatnonzero(rows.strict & rows.usable)
        for row, name in zip(strict.tolist(), rows.text("id", strict).to_pylist()):
            items[row] = found.item(self._prefix + name)
        return items

    def bots(self, users: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """True for the pseudonyms of listed accounts."""
        return _within(users, self._bots)

    def table(
        self,
        rows: Rows,
        kept: NDArray[np.int64],
        users: NDArray[np.uint64],
        bots: NDArray[np.bool_],
    ) -> pa.Table:
        """The Arrow table of the rows to keep, in the schema of their kind.

        Shapes: kept int64 [k], places in `rows`; users uint64 [k], their authors; bots bool [k].
        """
        columns: dict[str, pa.Array] = {
            "id": rows.text("id", kept),
            "user_id": fixed(users, pa.uint64()),
            "subreddit": self._communities(rows.text("subreddit", kept)),
            "score": rows.number("score", kept),
            "created_at": rows.time("created_utc", kept),
            "is_bot": booleans(bots),
        }
        if self.kind == "comments":
            columns |= {
                "link_id": rows.text("link_id", kept),
                "parent_id": rows.text("parent_id", kept),
                "body": masked(rows.text("body", kept)),
            }
        else:
            columns |= _submission_columns(rows, kept)
        return pa.table([columns[name] for name in self.schema.names], schema=self.schema)

    def _communities(self, names: pa.Array) -> pa.Array:
        profile = _marked(names, _mark_profiles)
        return _replaced(names, profile, lambda name: community(name, self._pseudonymizer))

    def is_erased_line(self, line: bytes) -> bool:
        """True where a rejected line shows the name or the id of something erased."""
        name, item = _NAME_IN_LINE.search(line), _ID_IN_LINE.search(line)
        if name and self._pseudonymizer.user(_text(name[2])) in self._tombstones.users:
            return True
        return bool(
            item
            and self._pseudonymizer.item(self._prefix + _text(item[1])) in self._tombstones.items
        )


def masked(texts: pa.Array) -> pa.Array:
    """Texts with mentions of users masked, see `without_names`."""
    return _replaced(texts, _marked(texts, _mark_mentions), without_names)


def _marked(texts: pa.Array, mark: Callable[..., None]) -> NDArray[np.bool_]:
    _, offsets, values = texts.buffers()
    likely = np.zeros(len(texts), dtype=bool)
    if values is not None and values.size:
        places = np.frombuffer(offsets, dtype=np.int32)
        mark(places, np.frombuffer(values, dtype=np.uint8), likely)
    return likely


@njit(cache=True, nogil=True)
def _mark_mentions(offsets, values, likely):  # type: ignore[no-untyped-def]
    # A mention has u/ or user/ in it: looking for u/ and er/ sorts out nearly all texts.
    values = borrowed(values)
    for row in range(len(likely)):
        first, end = offsets[row], offsets[row + 1]
        k = next_slash(values, first + 1, end)
        while k < end:
            before = values[k - 1] | 32
            if before == ord("u") or (
                before == ord("r") and k > first + 1 and values[k - 2] | 32 == ord("e")
            ):
                likely[row] = True
                break
            k = next_slash(values, k + 1, end)


@njit(cache=True, nogil=True)
def _mark_profiles(offsets, values, likely):  # type: ignore[no-untyped-def]
    for row in range(len(likely)):
        at = offsets[row]
        if offsets[row + 1] - at > 1:
            likely[row] = values[at] | 32 == ord("u") and values[at + 1] == ord("_")


def _submission_columns(rows: Rows, kept: NDArray[np.int64]) -> dict[str, pa.Array]:
    url, other = rows.text("url", kept), rows.text("url_overridden_by_dest", kept)
    url = pc.coalesce(_not_empty(url), _not_empty(other))
    url = pc.replace_substring(url, "&amp;", "&")
    hints, is_self = rows.text("post_hint", kept).to_pylist(), rows.flag("is_self", kept).tolist()
    keys = [
        None if own else key_of_url(link, hint)
        for link, hint, own in zip(url.to_pylist(), hints, is_self)
    ]
    media = pa.array(keys, pa.string())
    return {
        "title": masked(rows.text("title", kept)),
        "selftext": pc.fill_null(masked(rows.text("selftext", kept)), ""),
        "url": url,
        "domain": rows.text("domain", kept),
        "media_key": media,
        "num_comments": rows.number("num_comments", kept),
        "over_18": booleans(rows.flag("over_18", kept)),
        "is_image": pc.is_valid(media),
    }


def _not_empty(texts: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _replaced(texts: pa.Array, chosen: NDArray[np.bool_], change: Callable[[str], str]) -> pa.Array:
    if not chosen.any():
        return texts
    picked = texts.take(fixed(np.flatnonzero(chosen), pa.int64()))
    changed = strings([change(text) for text in picked.to_pylist()])
    return pc.replace_with_mask(texts, booleans(chosen), changed)


def _sorted_tokens(tokens: Iterable[int]) -> NDArray[np.uint64]:
    return np.array(sorted(set(tokens)), dtype=np.uint64)


def _within(values: NDArray[np.uint64], tokens: NDArray[np.uint64]) -> NDArray[np.bool_]:
    if not len(tokens):
        return np.zeros(len(values), dtype=bool)
    place = np.minimum(np.searchsorted(tokens, values), len(tokens) - 1)
    return tokens[place] == values


def safe_head(line: bytes) -> bytes:
    """The first 200 bytes of a rejected line, the author's name masked."""
    return _NAME_IN_LINE.sub(rb"\1***", line[: 20 * HEAD_BYTES])[:HEAD_BYTES]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
