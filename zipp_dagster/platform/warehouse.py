"""DuckDB connections with the limits of the settings: in process, in memory, spilling to disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Warehouse:
    """Opens in-memory DuckDB databases over the lake's Parquet files."""

    memory_limit: str
    threads: int
    spill_directory: Path

    @contextmanager
    def connect(self) -> Iterator[Any]:
        """A fresh connection; nothing outlives it."""
        import duckdb

        self.spill_directory.mkdir(parents=True, exist_ok=True)
        connection = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": self.memory_limit,
                "threads": self.threads,
                "temp_directory": str(self.spill_directory),
                "preserve_insertion_order": True,
            },
        )
        try:
            yield connection
        finally:
            connection.close()
