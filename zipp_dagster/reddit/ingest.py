"""One dump file in, Parquet out: every line is kept, deleted, erased, a duplicate or rejected.

Memory is bounded: decompression runs a few blocks ahead in a thread, row groups are written by
another, and only ids (a bit or two bytes each) are held for the whole file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zipp_dagster.progress import Progress, silent
from zipp_dagster.reddit.blocks import BlockDecoder, Rejected, Rows
from zipp_dagster.reddit.bots import known_bots
from zipp_dagster.reddit.columns import (
    DELETED,
    ERASED,
    KEPT,
    REJECTED_SCHEMA,
    ColumnMaker,
    safe_head,
)
from zipp_dagster.reddit.dumps import DumpFile, dump_file
from zipp_dagster.reddit.erasure import NO_TOMBSTONES, Tombstones
from zipp_dagster.reddit.identifiers import DistinctIds, SeenIds
from zipp_dagster.reddit.lines import Block, read_blocks
from zipp_dagster.reddit.parts import Parts, part_writer
from zipp_dagster.reddit.prefetch import prefetch
from zipp_dagster.reddit.pseudonyms import Pseudonymizer
from zipp_dagster.reddit.records import LineDecoder, Record

OnRejected = Callable[[int, int, bytes, str], None]


@dataclass
class IngestReport:
    """What became of every line of a dump. `bots` and `authors` describe the kept records."""

    file: str
    kind: str
    month: str | None
    lines: int = 0
    kept: int = 0
    deleted: int = 0
    duplicates: int = 0
    rejected: int = 0
    erased: int = 0
    bots: int = 0
    authors: int = 0
    compressed_bytes: int = 0
    uncompressed_bytes: int = 0
    rejected_reasons: dict[str, int] = field(default_factory=dict)

    @property
    def conserved(self) -> bool:
        """True where the counts add up to the lines."""
        parts = self.kept + self.deleted + self.duplicates + self.rejected + self.erased
        return self.lines == parts

    def as_dict(self) -> dict[str, object]:
        """The report as plain values, for metadata."""
        return asdict(self)


def iter_records(
    path: Path, on_rejected: OnRejected | None = None, progress: Progress = silent
) -> Iterator[Record]:
    """Streams the typed records of one dump, deleted ones and duplicates included.

    Args:
        path: a file with a dump's name, see `dump_file`.
        on_rejected: called with line number, byte offset, bytes and reason of unusable lines.
        progress: gets compressed bytes.

    Raises:
        DumpError: the file is truncated, damaged, empty or misnamed.
    """
    dump = dump_file(path)
    decoder = LineDecoder(dump.kind)
    for block in prefetch(read_blocks(path)):
        progress(block.read, dump.size, path.name)
        records, rejected = decoder.block(block)
        for place in rejected:
            if on_rejected is not None:
                on_rejected(*place)
        yield from records


def dump_to_parquet(
    dump: DumpFile,
    out_dir: Path,
    pseudonymizer: Pseudonymizer,
    tombstones: Tombstones = NO_TOMBSTONES,
    progress: Progress = silent,
    *,
    bots: frozenset[str] | None = None,
) -> IngestReport:
    """Writes `part-*.parquet` and `rejected.parquet` of a dump, and counts every line.

    Deleted, erased and duplicate records are never stored; a record whose later copy is marked
    deleted is taken out again. Same dump, key and lists: same bytes.

    Args:
        dump: from `find_dumps` or `dump_file`.
        out_dir: an existing, empty directory.
        pseudonymizer: holds the key that replaces author names.
        tombstones: what was erased on request.
        progress: gets compressed bytes.
        bots: lower-case account names to flag; the packaged list if left out.

    Raises:
        DumpError: the file is truncated, damaged or empty; what was written must be discarded.
    """
    bots = known_bots() if bots is None else bots
    maker = ColumnMaker(dump.kind, pseudonymizer, tombstones, bots)
    ingest = _Ingest(dump, maker)
    with ExitStack() as stack:
        parts = stack.enter_context(Parts(out_dir, maker.schema))
        rejects = stack.enter_context(
            pq.ParquetWriter(out_dir / "rejected.parquet", REJECTED_SCHEMA, compression="zstd")
        )
        # Inflating, scanning, making tables and writing run beside one another, in order.
        decoded = prefetch(_decoded(dump))
        stack.callback(decoded.close)  # type: ignore[attr-defined]
        for block, rows, rejected in decoded:
            ingest.report.lines += block.lines
            ingest.report.uncompressed_bytes += block.oversized or len(block.data)
            if rejected:
                rejects.write_table(ingest.reject(rejected))
            if rows is not None:
                parts.add(ingest.keep(rows))
            block.release()
            progress(block.read, dump.size, dump.path.name)
    if ingest.withdrawn:
        _take_out(out_dir, ingest, maker.auto_moderator)
    report = ingest.finish()
    if not report.conserved:
        raise RuntimeError(f"the lines of {dump.path} do not add up: {report}")
    return report


def _decoded(dump: DumpFile) -> Iterator[tuple[Block, Rows | None, Rejected]]:
    decoder = BlockDecoder(dump.kind)
    with closing(prefetch(read_blocks(dump.path))) as blocks:  # type: ignore[type-var]
        for block in blocks:
            yield block, *decoder.rows(block)


class _Ingest:
    """The counts and the memory of one pass over one dump."""

    def __init__(self, dump: DumpFile, maker: ColumnMaker) -> None:
        self.report = IngestReport(
            dump.path.name, dump.kind, dump.month, compressed_bytes=dump.size
        )
        self.withdrawn: dict[str, int] = {}
        self._maker = maker
        self._seen = SeenIds()
        self.authors = DistinctIds()
        self._reasons: Counter[str] = Counter()

    def keep(self, rows: Rows) -> pa.Table:
        """The table of the rows that stay; the others are counted."""
        users = self._maker.users(rows)
        usable = np.flatnonzero(rows.usable)
        status = self._maker.statuses(rows, users)[usable]
        duplicate = self._seen.add(rows.id_numbers[usable])
        taken = usable[duplicate & (status != KEPT)]
        if len(taken):
            again = status[duplicate & (status != KEPT)].tolist()
            self.withdrawn.update(zip(rows.text("id", taken).to_pylist(), again))
        stays = ~duplicate & (status == KEPT)
        report = self.report
        report.duplicates += int(duplicate.sum())
        report.deleted += int((~duplicate & (status == DELETED)).sum())
        report.erased += int((~duplicate & (status == ERASED)).sum())
        report.kept += int(stays.sum())
        kept = usable[stays]
        users = users[kept]
        bots = self._maker.bots(users)
        report.bots += int(bots.sum())
        self.authors.add(users[users != np.uint64(self._maker.auto_moderator)])
        return self._maker.table(rows, kept, users, bots)

    def reject(self, rejected: Rejected) -> pa.Table:
        """The table of rejected lines; those that show something erased are only counted."""
        rows = []
        for line, offset, data, reason in rejected:
            if self._maker.is_erased_line(data):
                self.report.erased += 1
                continue
            self.report.rejected += 1
            self._reasons[reason] += 1
            rows.append((self.report.file, line, offset, reason, safe_head(data)))
        columns = zip(*rows) if rows else [[]] * len(REJECTED_SCHEMA)
        return pa.table(
            [pa.array(column, kind.type) for column, kind in zip(columns, REJECTED_SCHEMA)],
            schema=REJECTED_SCHEMA,
        )

    def finish(self) -> IngestReport:
        """The complete report."""
        self.report.authors = len(self.authors)
        self.report.rejected_reasons = dict(sorted(self._reasons.items()))
        return self.report


def _take_out(out_dir: Path, ingest: _Ingest, auto_moderator: int) -> None:
    """Removes kept records whose later copy in the same dump is deleted or erased."""
    ids = pa.array(sorted(ingest.withdrawn), pa.string())
    report, ingest.authors = ingest.report, DistinctIds()
    for path in sorted(out_dir.glob("part-*.parquet")):
        draft = path.with_suffix(".rewritten")
        source = pq.ParquetFile(path)
        with part_writer(draft, source.schema_arrow) as writer:
            for group in range(source.num_row_groups):
                table = source.read_row_group(group)
                gone = pc.is_in(table["id"], ids)
                for row in table.filter(gone).select(["id", "is_bot"]).to_pylist():
                    erased = ingest.withdrawn[row["id"]] == ERASED
                    report.kept -= 1
                    report.bots -= row["is_bot"]
                    report.erased += erased
                    report.deleted += not erased
                stays = table.filter(pc.invert(gone))
                writer.write_table(stays, row_group_size=max(1, stays.num_rows))
                users = stays["user_id"].to_numpy()
                ingest.authors.add(users[users != np.uint64(auto_moderator)])
        draft.replace(path)
