"""Recording an erasure: tombstones, and which monthly tables hold the person or the item.

Names and ids are known in clear only here, while the command runs; what is kept are keyed hashes
and the names of tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from assets.sources import erasures_file, pseudonymizer
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.locks import exclusive
from zipp_dagster.platform.versions import Version
from zipp_dagster.platform.work_locks import Told, being_made, making
from zipp_dagster.reddit.dumps import Kind
from zipp_dagster.reddit.erasure import (
    ErasureError,
    Mark,
    Request,
    Tombstone,
    read_tombstones,
    record_marks,
    unearth,
    write_tombstones,
)
from zipp_dagster.reddit.pseudonyms import Pseudonymizer
from zipp_dagster.reddit.traces import find_rows, mentions_any, rejected_may_hold

RAW: tuple[Kind, ...] = ("comments", "submissions")
"""The assets that dumps become: whatever the platform knows of people is made from these."""

OF_A_USER = "an item of an erased user"


@dataclass(frozen=True)
class Recorded:
    """What `record` did. `unknown` counts, of those who were new, whose data is nowhere kept."""

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


def tombstones_lock(platform: Platform) -> AbstractContextManager[None]:
    """Held by whoever reads the tombstone file and writes it again; the search is part of that."""
    path = erasures_file(platform)
    return exclusive(path.with_name(f"{path.name}.lock"))


def record(platform: Platform, request: Request, reason: str = "") -> Recorded:
    """Adds tombstones for a request, and notes in them which tables must be made again.

    A user's items get tombstones of their own, so that answers to them lose the reference too.
    Recording the same again searches again: where nothing is left, it changes nothing.

    Raises:
        ErasureError: the key is not the one that the tables or the tombstones were made with.
    """
    hidden = pseudonymizer(platform)
    foreign = _made_with_another_key(platform, hidden.fingerprint)
    if not request.users and not request.items:
        return Recorded(0, 0, 0, 0, 0)
    with tombstones_lock(platform):
        looked = {
            stone.mark
            for stone in read_tombstones(erasures_file(platform), hidden.fingerprint)
            if stone.partitions is not None
        }
        known, new = request.split(hidden, looked)
        first = _record(platform, hidden, new, reason, foreign)
        again = _search_known(platform, hidden, known)
    return Recorded(
        first.added,
        len(request.users) + len(request.items) - first.added,
        first.unknown,
        first.items_of_users + again.items_of_users,
        first.rows + again.rows,
    )


def search_what_was_being_made(platform: Platform, told: Told) -> None:
    """Searches the tables that were being made when somebody was recorded, once they are made.

    Whoever made them had read older tombstones: rows of the person are in them, and the names of the
    person's items were not known yet.
    """
    path, hidden = erasures_file(platform), pseudonymizer(platform)
    tables = {table for stone in read_tombstones(path) for table in stone.unsearched}
    for table in sorted(tables):
        asset, _, partition = table.removesuffix("]").partition("[")
        with making(platform.lake.root, asset, partition, told):
            pass
    if not tables:
        return
    with tombstones_lock(platform):
        stones = [s for s in read_tombstones(path) if tables.intersection(s.unsearched)]
        users = {unearth(hidden, s.mark.token) for s in stones if s.mark.kind == "user"}
        found = _located(platform, frozenset(users), frozenset(), rejected=False)
        _note(platform, hidden, {stone.mark for stone in stones}, found.names, found.tables)
        settled = [
            replace(stone, unsearched=tuple(sorted({*stone.unsearched} - tables)))
            for stone in read_tombstones(path)
        ]
        write_tombstones(path, settled)


def _record(
    platform: Platform,
    hidden: Pseudonymizer,
    request: Request,
    reason: str,
    doubtful: Set[str],
) -> Recorded:
    """Records who was not searched for before."""
    if not request.users and not request.items:
        return Recorded(0, 0, 0, 0, 0)
    marks = request.marks(hidden)
    fresh = record_marks(erasures_file(platform), marks, hidden.fingerprint, reason)
    # Before the search: what is published meanwhile is searched, what is not yet is named here.
    # Whoever begins later reads the new tombstones.
    underway = _being_ingested(platform)
    users = frozenset(map(hidden.user, request.users))
    found = _located(platform, users, frozenset(request.items))
    own = found.names - set(request.items)
    tables = found.tables | doubtful | underway
    _note(platform, hidden, set(marks), own, tables, underway)
    missing = {item[3:] for item in request.items} - {name[3:] for name in found.names}
    unknown = len(users - found.users) + len(missing)
    return Recorded(len(fresh), 0, unknown, len(own), found.rows)


def _search_known(platform: Platform, hidden: Pseudonymizer, request: Request) -> Recorded:
    """Searches again for those recorded before: somebody may have restored an old version.

    Not in the heads of rejected lines, which look the same whoever was erased.
    """
    if not request.users and not request.items:
        return Recorded(0, 0, 0, 0, 0)
    users = frozenset(map(hidden.user, request.users))
    found = _located(platform, users, frozenset(request.items), rejected=False)
    own = found.names - set(request.items)
    _note(platform, hidden, set(request.marks(hidden)), own, found.tables)
    return Recorded(0, 0, 0, len(own), found.rows)


def _being_ingested(platform: Platform) -> set[str]:
    """The raw tables that somebody makes now: perhaps without the newest tombstones."""
    root = platform.lake.root
    return {table_name(asset, part) for asset in RAW for part in being_made(root, asset)}


@dataclass(frozen=True)
class _Found:
    """Affected tables; full names of all rows found; whose; how many in current versions."""

    tables: set[str]
    names: set[str]
    users: set[int]
    rows: int


def _located(
    platform: Platform, users: frozenset[int], items: frozenset[str], *, rejected: bool = True
) -> _Found:
    """Searches all kept versions for users (pseudonyms) and items (full names)."""
    found = _Found(set(), set(), set(), 0)
    rows = 0
    for kind, partition, versions in raw_versions(platform):
        current = platform.lake.find(kind, partition)
        for version in versions:
            here = find_rows(version.files(), kind, users, items)
            if here.count:
                found.tables.add(table_name(kind, partition))
                rows += here.count if version == current else 0
            found.names.update(here.names)
            found.users.update(here.users)
    names = found.names | items
    for kind, partition, versions in raw_versions(platform):
        if table_name(kind, partition) in found.tables:
            continue
        for version in versions:
            heads = version.files("rejected.parquet") if rejected else []
            if mentions_any(version.files(), kind, users, names) or rejected_may_hold(
                heads, kind, users, names
            ):
                found.tables.add(table_name(kind, partition))
                break
    return replace(found, rows=rows)


def _note(
    platform: Platform,
    hidden: Pseudonymizer,
    marks: set[Mark],
    own: Set[str],
    tables: set[str],
    underway: Set[str] = frozenset(),
) -> None:
    """Gives users' items their tombstones, and notes in all of them which tables hold the data.

    Where something is found of an erasure that was completed, it waits to be carried out again.
    """
    path = erasures_file(platform)
    items = [Mark("item", hidden.item(name)) for name in sorted(own)]
    record_marks(path, items, hidden.fingerprint, OF_A_USER)
    concerned = {*marks, *items}

    def noted(stone: Tombstone) -> Tombstone:
        if stone.mark not in concerned or (stone.partitions is not None and not tables):
            return stone
        return replace(
            stone,
            partitions=tuple(sorted(tables.union(stone.partitions or ()))),
            unsearched=tuple(sorted({*stone.unsearched, *underway})),
            receipt=None,
        )

    write_tombstones(path, [noted(stone) for stone in read_tombstones(path)])


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
