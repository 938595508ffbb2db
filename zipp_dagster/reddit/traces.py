"""Where erased people and items show in ingested tables, and how mentions of them are masked.

Looks into the Parquet files of `comments` and `submissions`: whose rows they are, which rows answer
an erased item, which stand on an erased person's own page. Knows no lake.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zipp_dagster.reddit.dumps import Kind
from zipp_dagster.reddit.erasure import Tombstones
from zipp_dagster.reddit.pseudonyms import Pseudonymizer

PREFIXES: dict[Kind, str] = {"comments": "t1_", "submissions": "t3_"}
REFERENCES = ("link_id", "parent_id")
ERASED_PAGE = "u_[erased]"
"""The community of an erased person's own page: the page's name holds the pseudonym."""

_BATCH_ROWS = 1 << 18
_MASKED_AUTHOR = b"***"
_ID_IN_HEAD = re.compile(rb'"id"\s*:\s*"([a-z0-9]+)"')


@dataclass
class Rows:
    """Rows of erased people and items in one table: how many, their full names, whose."""

    count: int = 0
    names: set[str] = field(default_factory=set)
    users: set[int] = field(default_factory=set)


def find_rows(
    files: Iterable[Path], kind: Kind, users: frozenset[int], items: frozenset[str]
) -> Rows:
    """The rows that are by one of `users` (pseudonyms) or are one of `items` (full names)."""
    prefix = PREFIXES[kind]
    wanted = pa.array(sorted(i[3:] for i in items if i.startswith(prefix)), pa.string())
    authors = pa.array(sorted(users), pa.uint64())
    found = Rows()
    for batch in _batches(files, ["id", "user_id"]):
        hit = pc.or_(pc.is_in(batch["user_id"], authors), pc.is_in(batch["id"], wanted))
        rows = batch.filter(hit)
        found.count += rows.num_rows
        found.names.update(prefix + text for text in rows["id"].to_pylist())
        found.users.update(users.intersection(rows["user_id"].to_pylist()))
    return found


def mentions_any(files: Iterable[Path], kind: Kind, users: frozenset[int], names: set[str]) -> bool:
    """Whether a row of somebody else answers one of `names`, or stands on one of `users`' pages."""
    pages = pa.array([page_of(user) for user in sorted(users)], pa.string())
    answered = pa.array(sorted(names), pa.string())
    columns = ["subreddit", *(REFERENCES if kind == "comments" else ())]
    for batch in _batches(files, columns):
        if pc.any(pc.is_in(batch["subreddit"], pages)).as_py():
            return True
        for column in columns[1:]:
            if pc.any(pc.is_in(batch[column], answered)).as_py():
                return True
    return False


def rejected_may_hold(
    files: Iterable[Path], kind: Kind, users: frozenset[int], names: set[str]
) -> bool:
    """Whether the kept heads of rejected lines may show something of the erased.

    The author of a rejected line is masked and cannot be told apart: with a user to erase, every
    head that had an author counts.
    """
    for path in files:
        for head in pq.read_table(path, columns=["head"])["head"].to_pylist():
            if users and _MASKED_AUTHOR in head:
                return True
            item = _ID_IN_HEAD.search(head)
            if item and PREFIXES[kind] + item[1].decode() in names:
                return True
    return False


def mask_mentions(
    out_dir: Path, kind: Kind, tombstones: Tombstones, pseudonymizer: Pseudonymizer
) -> int:
    """Masks, in freshly ingested part files, what other people's rows say of erased ones.

    The id of an erased item becomes null in `link_id` and `parent_id`, an erased person's page
    becomes `u_[erased]`. Returns the number of changed rows; files without one are not touched.
    """
    if not tombstones.users and not tombstones.items:
        return 0
    changed = 0
    pages = pa.array([page_of(user) for user in sorted(tombstones.users)], pa.string())
    is_erased = _erased_names(tombstones, pseudonymizer)
    for path in sorted(out_dir.glob("part-*.parquet")):
        source = pq.ParquetFile(path)
        columns = [c for c in ("subreddit", *REFERENCES) if c in source.schema_arrow.names]
        hits = sum(
            int(pc.sum(_hits(batch, pages, is_erased)).as_py() or 0)
            for batch in source.iter_batches(_BATCH_ROWS, columns=columns)
        )
        if hits:
            _rewrite(path, source, pages, is_erased)
            changed += hits
    return changed


def page_of(user: int) -> str:
    """The community name under which ingestion keeps a person's own page."""
    return f"u_{user:016x}"


Erased = Callable[[pa.Array], pa.Array]


def _erased_names(tombstones: Tombstones, pseudonymizer: Pseudonymizer) -> Erased:
    """Marks the full names that have a tombstone; each distinct name is hashed once a batch."""

    def marked(names: pa.Array) -> pa.Array:
        distinct = pc.unique(names).drop_null().to_pylist() if tombstones.items else []
        erased = [name for name in distinct if pseudonymizer.item(name) in tombstones.items]
        return pc.is_in(names, pa.array(erased, pa.string()))

    return marked


def _hits(batch: pa.RecordBatch | pa.Table, pages: pa.Array, is_erased: Erased) -> pa.Array:
    hit = np.asarray(pc.is_in(batch["subreddit"], pages))
    for column in REFERENCES:
        if column in batch.schema.names:
            hit = hit | np.asarray(is_erased(_flat(batch[column])))
    return pa.array(hit)


def _rewrite(path: Path, source: pq.ParquetFile, pages: pa.Array, is_erased: Erased) -> None:
    """The same rows in the same row groups, with the mentions masked."""
    from zipp_dagster.reddit.parts import part_writer

    draft = path.with_suffix(".masked")
    with part_writer(draft, source.schema_arrow) as writer:
        for group in range(source.num_row_groups):
            table = source.read_row_group(group)
            for name in ("subreddit", *REFERENCES):
                if name not in table.schema.names:
                    continue
                column = _flat(table[name])
                gone = pc.is_in(column, pages) if name == "subreddit" else is_erased(column)
                instead = pa.scalar(ERASED_PAGE if name == "subreddit" else None, pa.string())
                position = table.schema.get_field_index(name)
                table = table.set_column(position, name, pc.if_else(gone, instead, column))
            writer.write_table(table, row_group_size=max(1, table.num_rows))
    draft.replace(path)


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _batches(files: Iterable[Path], columns: list[str]) -> Iterator[pa.RecordBatch]:
    for path in files:
        yield from pq.ParquetFile(path).iter_batches(_BATCH_ROWS, columns=columns)
