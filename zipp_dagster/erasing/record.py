"""Recording an erasure: tombstones, and which monthly tables hold the person or the item.

Names and ids are known in clear only here, while the command runs; what is kept are keyed hashes
and the names of tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from assets.sources import erasures_file, pseudonymizer
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.versions import Version
from zipp_dagster.reddit.dumps import Kind
from zipp_dagster.reddit.erasure import (
    ErasureError,
    Mark,
    Request,
    read_tombstones,
    record_marks,
    write_tombstones,
)
from zipp_dagster.reddit.traces import find_rows, mentions_any, rejected_may_hold

RAW: tuple[Kind, ...] = ("comments", "submissions")
"""The assets that dumps become: whatever the platform knows of people is made from these."""

OF_A_USER = "an item of an erased user"


@dataclass(frozen=True)
class Recorded:
    """What `record` did. `unknown` counts the named users and items of which nothing is kept."""

    added: int
    known_before: int
    unknown: int
    items_of_users: int
    rows: int


def table_name(asset: str, partition: str | None) -> str:
    """`comments[2024-01]`: how tables are named in tombstones and receipts."""
    return asset if partition is None else f"{asset}[{partition}]"


def raw_versions(platform: Platform) -> Iterator[tuple[Kind, str | None, list[Version]]]:
    """Every partition of the raw tables with all its kept versions, rejected ones included."""
    for asset in RAW:
        for partition in platform.lake.every_partition(asset):
            yield asset, partition, platform.lake.versions(asset, partition)


def record(platform: Platform, request: Request, reason: str = "") -> Recorded:
    """Adds tombstones for a request, and notes in them which tables must be made again.

    A user's items get tombstones of their own, so that answers to them lose the reference too.
    Recording the same again changes nothing; after a kill it completes what is missing.

    Raises:
        ErasureError: the key is not the one that the tables or the tombstones were made with.
    """
    path, hidden = erasures_file(platform), pseudonymizer(platform)
    foreign = _made_with_another_key(platform, hidden.fingerprint)
    marks = request.marks(hidden)
    fresh = record_marks(path, marks, hidden.fingerprint, reason)
    known = len(request.users) + len(request.items) - len(fresh)
    looked = {stone.mark for stone in read_tombstones(path) if stone.partitions is not None}
    if looked.issuperset(marks):
        return Recorded(0, known, 0, 0, 0)
    users = frozenset(map(hidden.user, request.users))
    tables, names, seen, rows = _located(platform, users, frozenset(request.items))
    own = sorted(names - set(request.items))
    items = [Mark("item", hidden.item(name)) for name in own]
    record_marks(path, items, hidden.fingerprint, OF_A_USER)
    _note_tables(path, {*marks, *items}, tables | foreign)
    missing = {item[3:] for item in request.items} - {name[3:] for name in names}
    unknown = len(users - seen) + len(missing)
    return Recorded(len(fresh), known, unknown, len(own), rows)


def _located(
    platform: Platform, users: frozenset[int], items: frozenset[str]
) -> tuple[set[str], set[str], set[int], int]:
    """Affected tables; full names of all rows found; users seen; rows in current versions."""
    tables, names, seen, rows = set[str](), set(items), set[int](), 0
    found_names = set[str]()
    for kind, partition, versions in raw_versions(platform):
        current = platform.lake.find(kind, partition)
        for version in versions:
            found = find_rows(version.files(), kind, users, items)
            if found.count:
                tables.add(table_name(kind, partition))
                rows += found.count if version == current else 0
            found_names |= found.names
            seen |= found.users
    names |= found_names
    for kind, partition, versions in raw_versions(platform):
        if table_name(kind, partition) in tables:
            continue
        for version in versions:
            rejected = version.files("rejected.parquet")
            if mentions_any(version.files(), kind, users, names) or rejected_may_hold(
                rejected, kind, users, names
            ):
                tables.add(table_name(kind, partition))
                break
    return tables, found_names, seen, rows


def _note_tables(path: object, marks: set[Mark], tables: set[str]) -> None:
    from pathlib import Path

    assert isinstance(path, Path)
    stones = [
        replace(stone, partitions=tuple(sorted(tables)))
        if stone.mark in marks and stone.partitions is None
        else stone
        for stone in read_tombstones(path)
    ]
    write_tombstones(path, stones)


def _made_with_another_key(platform: Platform, key: str) -> set[str]:
    """Tables with old versions of another key, in which nobody can be found any more.

    Raises ErasureError where a current version was made with another key.
    """
    tables = set()
    for kind, partition, versions in raw_versions(platform):
        current = platform.lake.find(kind, partition)
        for version in versions:
            used = version.manifest.metadata.get("pseudonym_key")
            if used in (None, key):
                continue
            if version == current:
                raise ErasureError(
                    f"{table_name(kind, partition)} was made with another pseudonym key than the one "
                    "that is set: nobody would be found. Set reddit.pseudonym_key or "
                    "reddit.pseudonym_key_file to that key; after a rotation, `zipp run` first"
                )
            tables.add(table_name(kind, partition))
    return tables
