"""Tombstones: what was erased on request, as keyed hashes. Names and ids themselves are not kept.

The file grows by whole lines and is the input of every ingest: a record whose author or id has a
tombstone is counted and left out. Where the data lies is found by `traces`; what was published
before is rebuilt and removed by `zipp_dagster.erasing`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from zipp_dagster.reddit.pseudonyms import Pseudonymizer

ERASURES_SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("token", pa.uint64()),
        ("recorded_at", pa.timestamp("us")),
        ("reason", pa.string()),
        ("key", pa.string()),
    ]
)


_ROUNDS = 4
_HALF = 0xFFFFFFFF


class ErasureError(ValueError):
    """A tombstone file is damaged, the key is another one, or a request is malformed."""


class Mark(NamedTuple):
    """What one tombstone hides: a user's pseudonym, enciphered, or a keyed hash of an item's name.

    A pseudonym as it stands would be a list of who was erased, to be held against older copies.
    """

    kind: Literal["user", "item"]
    token: int


@dataclass(frozen=True)
class Tombstone:
    """One recorded erasure.

    `key` is the fingerprint of the pseudonym key under which it was recorded: under another one it would
    match nothing. `partitions` names the monthly tables that hold or held the data (`comments[2024-01]`); None
    while nobody has looked, which counts as all. `unsearched` are those of them that were being made when
    somebody looked: a user's items in them are not known yet. `receipt` is set once the old versions are gone.
    """

    mark: Mark
    recorded_at: datetime
    reason: str
    key: str
    partitions: tuple[str, ...] | None = None
    receipt: str | None = None
    unsearched: tuple[str, ...] = ()

    def concerns(self, partition: str) -> bool:
        """Whether a monthly table has to be made again because of it."""
        return self.partitions is None or partition in self.partitions


@dataclass(frozen=True)
class Tombstones:
    """In memory: the pseudonyms of erased users, and the keyed hashes of erased items' names."""

    users: frozenset[int] = frozenset()
    items: frozenset[int] = frozenset()


NO_TOMBSTONES = Tombstones()


@dataclass(frozen=True)
class Request:
    """Who and what is to be erased, in clear: lives in memory only, for one command.

    `users` are bare names, `items` full names (`t1_…`, `t3_…`).
    """

    users: tuple[str, ...] = ()
    items: tuple[str, ...] = ()

    @classmethod
    def of(cls, users: Iterable[str] = (), items: Iterable[str] = ()) -> Request:
        """From what a person typed: names with or without `u/`; a bare id means both kinds."""
        names = tuple(dict.fromkeys(_bare_name(name).lower() for name in users))
        full = (name for item in items for name in _full_names(item.strip().lower()))
        return cls(names, tuple(dict.fromkeys(full)))

    def marks(self, pseudonymizer: Pseudonymizer) -> list[Mark]:
        """The tombstones' marks, users first."""
        users = [Mark("user", bury(pseudonymizer, name)) for name in self.users]
        return users + [Mark("item", pseudonymizer.item(name)) for name in self.items]

    def split(
        self, pseudonymizer: Pseudonymizer, known: Collection[Mark]
    ) -> tuple[Request, Request]:
        """Those whose marks are among the known ones, and the others."""
        hides = [mark in known for mark in self.marks(pseudonymizer)]
        users, items = hides[: len(self.users)], hides[len(self.users) :]

        def among(wanted: bool) -> Request:
            return Request(
                tuple(
                    name
                    for name, is_known in zip(self.users, users, strict=True)
                    if is_known is wanted
                ),
                tuple(
                    name
                    for name, is_known in zip(self.items, items, strict=True)
                    if is_known is wanted
                ),
            )

        return among(True), among(False)


def add_tombstones(
    path: Path,
    pseudonymizer: Pseudonymizer,
    *,
    users: Iterable[str] = (),
    items: Iterable[str] = (),
    reason: str = "",
    recorded_at: datetime | None = None,
) -> int:
    """Records erasures and returns how many were new.

    Args:
        path: the tombstone file; created if missing, replaced as a whole so that a kill loses
            nothing.
        pseudonymizer: with the key of the ingest, or nothing would match.
        users: user names, with or without `u/`.
        items: `t1_…` (comment) or `t3_…` (submission); a bare id erases both.
        reason: a short note; it must name nobody.
        recorded_at: time of the request; now if left out.

    Raises:
        ErasureError: the file is damaged, or was written under another key.
    """
    marks = Request.of(users, items).marks(pseudonymizer)
    return len(record_marks(path, marks, pseudonymizer.fingerprint, reason, recorded_at))


def record_marks(
    path: Path,
    marks: Sequence[Mark],
    key: str,
    reason: str = "",
    recorded_at: datetime | None = None,
) -> list[Mark]:
    """Adds the marks that are not in the file yet, and returns those."""
    moment = (recorded_at or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None)
    stones = read_tombstones(path, key)
    known = {stone.mark for stone in stones}
    fresh = [mark for mark in dict.fromkeys(marks) if mark not in known]
    if fresh:
        write_tombstones(path, [*stones, *(Tombstone(m, moment, reason, key) for m in fresh)])
    return fresh


def load_tombstones(path: Path | None, pseudonymizer: Pseudonymizer) -> Tombstones:
    """The tombstones of a file, ready to be compared with; none where there is no file.

    Raises:
        ErasureError: the file is damaged, or was written under another key: no tombstone would
            match, and the ingest would bring erased data back.
    """
    marks = [stone.mark for stone in read_tombstones(path, pseudonymizer.fingerprint)]
    return Tombstones(
        frozenset(unearth(pseudonymizer, mark.token) for mark in marks if mark.kind == "user"),
        frozenset(mark.token for mark in marks if mark.kind == "item"),
    )


def bury(pseudonymizer: Pseudonymizer, name: str) -> int:
    """The tombstone's token of a user: the pseudonym under a cipher with the same key.

    A Feistel network of four rounds over the halves of the 64 bits; its round function is the
    keyed hash of a text that is no item's name.
    """
    pseudonym = pseudonymizer.user(name)
    left, right = pseudonym >> 32, pseudonym & _HALF
    for number in range(_ROUNDS):
        left, right = right, left ^ _round(pseudonymizer, number, right)
    return left << 32 | right


def unearth(pseudonymizer: Pseudonymizer, token: int) -> int:
    """The pseudonym that `bury` made a token of."""
    left, right = token >> 32, token & _HALF
    for number in reversed(range(_ROUNDS)):
        left, right = right ^ _round(pseudonymizer, number, left), left
    return left << 32 | right


def _round(pseudonymizer: Pseudonymizer, number: int, half: int) -> int:
    return pseudonymizer.item(f"tombstone {number} {half:08x}") & _HALF


def tombstone_table(path: Path | None) -> pa.Table:
    """The `erasures` table: kind, token, recorded_at, reason, key; empty where there is no file."""
    rows = [
        {
            "kind": stone.mark.kind,
            "token": stone.mark.token,
            "recorded_at": stone.recorded_at,
            "reason": stone.reason,
            "key": stone.key,
        }
        for stone in read_tombstones(path)
    ]
    return pa.Table.from_pylist(rows, schema=ERASURES_SCHEMA)


def tombstones_fingerprint(path: Path | None, partition: str | None = None) -> str:
    """Changes with every new tombstone; given a monthly table, only with those that concern it."""
    digest = sha256()
    for stone in read_tombstones(path):
        if partition is None or stone.concerns(partition):
            digest.update(f"{stone.mark.kind} {stone.mark.token:016x} {stone.reason}\n".encode())
    return digest.hexdigest()


def read_tombstones(path: Path | None, key: str | None = None) -> list[Tombstone]:
    """All lines of a tombstone file; none where there is no file. Raises ErasureError."""
    if path is None or not path.exists():
        return []
    stones = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            stones.append(_from_json(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            raise ErasureError(
                f"{path}, line {number} is no tombstone ({type(error).__name__}). Restore the file: "
                "an ingest without it would bring erased data back."
            ) from error
    if key is not None and any(stone.key != key for stone in stones):
        raise ErasureError(
            f"{path} was written under another pseudonym key: none of its tombstones would match. "
            "Set reddit.pseudonym_key or reddit.pseudonym_key_file to the key of that time; after a "
            "rotation of the key, record the erasures again under the new one (docs/erasure.md)."
        )
    return stones


def write_tombstones(path: Path, stones: Sequence[Tombstone]) -> None:
    """Replaces the file as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as file:
        for stone in stones:
            file.write(json.dumps(_to_json(stone)) + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _bare_name(name: str) -> str:
    bare = name.strip().removeprefix("/").removeprefix("u/")
    if not bare:
        raise ErasureError("a user name to erase is empty")
    return bare


def _full_names(item: str) -> list[str]:
    if not item:
        raise ErasureError("an item id to erase is empty; expected t1_… or t3_…")
    return [item] if item.startswith(("t1_", "t3_")) else [f"t1_{item}", f"t3_{item}"]


def _from_json(row: dict[str, Any]) -> Tombstone:
    if row["kind"] not in ("user", "item"):
        raise ValueError(row["kind"])
    partitions = row.get("partitions")
    return Tombstone(
        Mark(row["kind"], int(row["token"], 16)),
        datetime.fromisoformat(row["recorded_at"]),
        row["reason"],
        _fingerprint(row["key"]),
        None if partitions is None else tuple(partitions),
        row.get("receipt"),
        tuple(row.get("unsearched", ())),
    )


def _fingerprint(key: object) -> str:
    if not isinstance(key, str) or not key:
        raise TypeError("key")
    return key


def _to_json(stone: Tombstone) -> dict[str, Any]:
    row = {
        "kind": stone.mark.kind,
        "token": f"{stone.mark.token:016x}",
        "recorded_at": stone.recorded_at.isoformat(),
        "reason": stone.reason,
        "key": stone.key,
        "partitions": None if stone.partitions is None else list(stone.partitions),
        "receipt": stone.receipt,
    }
    return row | ({"unsearched": list(stone.unsearched)} if stone.unsearched else {})
