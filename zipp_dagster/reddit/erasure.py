"""Tombstones: what was erased on request, as keyed hashes. Names and ids themselves are not kept.

The file grows by whole lines and is the input of every ingest: a record whose author or id has a
tombstone is counted and left out. What was published before is pruned by the platform.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from zipp_dagster.reddit.pseudonyms import Pseudonymizer

ERASURES_SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("token", pa.uint64()),
        ("recorded_at", pa.timestamp("us")),
        ("reason", pa.string()),
    ]
)


class ErasureError(ValueError):
    """A tombstone file is damaged, or a request is malformed."""


@dataclass(frozen=True)
class Tombstones:
    """Tokens of erased users (their pseudonyms) and of erased items."""

    users: frozenset[int] = frozenset()
    items: frozenset[int] = frozenset()


NO_TOMBSTONES = Tombstones()


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
    """
    moment = (recorded_at or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None)
    rows = _read(path)
    known = {(row["kind"], row["token"]) for row in rows}
    wanted = [("user", pseudonymizer.user(_bare_name(name))) for name in users]
    wanted += [
        ("item", pseudonymizer.item(name)) for item in items for name in _full_names(item.strip())
    ]
    added = 0
    for kind, token in dict.fromkeys(wanted):
        if (kind, token) not in known:
            rows.append({"kind": kind, "token": token, "recorded_at": moment, "reason": reason})
            added += 1
    if added:
        _write(path, rows)
    return added


def load_tombstones(path: Path | None) -> Tombstones:
    """The tombstones of a file; none where there is no file."""
    rows = _read(path) if path is not None else []
    return Tombstones(
        frozenset(row["token"] for row in rows if row["kind"] == "user"),
        frozenset(row["token"] for row in rows if row["kind"] == "item"),
    )


def tombstone_table(path: Path | None) -> pa.Table:
    """The `erasures` table: kind, token, recorded_at, reason; empty where there is no file."""
    return pa.Table.from_pylist(_read(path) if path is not None else [], schema=ERASURES_SCHEMA)


def _bare_name(name: str) -> str:
    bare = name.strip().removeprefix("/").removeprefix("u/")
    if not bare:
        raise ErasureError("a user name to erase is empty")
    return bare


def _full_names(item: str) -> list[str]:
    if not item:
        raise ErasureError("an item id to erase is empty; expected t1_… or t3_…")
    return [item] if item.startswith(("t1_", "t3_")) else [f"t1_{item}", f"t3_{item}"]


def _read(path: Path) -> list[dict]:
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            row["token"] = int(row["token"], 16)
            row["recorded_at"] = datetime.fromisoformat(row["recorded_at"])
            if row["kind"] not in ("user", "item"):
                raise ValueError(row["kind"])
        except (ValueError, KeyError, TypeError) as error:
            raise ErasureError(
                f"{path}, line {number} is no tombstone ({error!r}). Restore the file: an ingest "
                "without it would bring erased data back."
            ) from error
        rows.append(row)
    return rows


def _write(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as file:
        for row in rows:
            text = {
                "kind": row["kind"],
                "token": f"{row['token']:016x}",
                "recorded_at": row["recorded_at"].isoformat(),
                "reason": row["reason"],
            }
            file.write(json.dumps(text) + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
