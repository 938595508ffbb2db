"""Writes the records of a dump as `part-*.parquet`: row groups of bounded size, in a thread."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_BYTES = 32 * 1024 * 1024
ROWS_PER_PART = 4_000_000


class Parts:
    """Writes tables as row groups of `part-*.parquet`, one row group behind, in a thread."""

    def __init__(self, out_dir: Path, schema: pa.Schema) -> None:
        self._out_dir, self._schema = out_dir, schema
        self._waiting: list[pa.Table] = []
        self._bytes = 0
        self._rows = 0
        self._number = 0
        self._writer: pq.ParquetWriter | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="parquet")
        self._pending: Future | None = None

    def __enter__(self) -> Parts:
        self._open()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                self._flush()
            if self._pending is not None:
                self._pending.result()
        finally:
            self._thread.shutdown()
            if self._writer is not None:
                self._writer.close()

    def add(self, table: pa.Table) -> None:
        """Queues a table for writing."""
        self._waiting.append(table)
        self._bytes += table.nbytes
        if self._bytes >= ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._pending is not None:
            self._pending.result()
        if self._waiting:
            self._pending = self._thread.submit(self._write, pa.concat_tables(self._waiting))
        self._waiting, self._bytes = [], 0

    def _write(self, table: pa.Table) -> None:
        if self._rows >= ROWS_PER_PART:
            self._open()
        assert self._writer is not None
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._rows += table.num_rows

    def _open(self) -> None:
        if self._writer is not None:
            self._writer.close()
        path = self._out_dir / f"part-{self._number:05d}.parquet"
        self._writer = part_writer(path, self._schema)
        self._number, self._rows = self._number + 1, 0


def part_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A Parquet writer for records; only columns that repeat themselves get a dictionary.

    The least and the greatest text of a row group would sort out nothing, and show two texts.
    """
    repeated = [name for name in ("user_id", "subreddit", "domain") if name in schema.names]
    ordered = [name for name in schema.names if not pa.types.is_string(schema.field(name).type)]
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=repeated,
        write_statistics=ordered,
    )
