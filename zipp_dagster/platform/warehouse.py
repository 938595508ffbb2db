"""DuckDB connections with the limits of the settings: in process, in memory, spilling to disk."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

from zipp_dagster.fanout import Need

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
UNITS |= {f"{prefix}I": 2 ** (10 * power) for power, prefix in enumerate("KMGT", 1)}


IN_MEMORY = "duckdb:///:memory:"


@dataclass(frozen=True)
class Warehouse:
    """Opens in-memory DuckDB databases over the lake's Parquet files.

    `row_bytes` is what one input row of a grouped query may need in memory: a grouping state
    and its place in the sort. It decides into how many ranges a model is divided.
    """

    memory_limit: str
    threads: int
    spill_directory: Path
    row_bytes: int = 128

    @property
    def memory_bytes(self) -> int:
        """The memory limit in bytes."""
        match = re.fullmatch(r"([\d.]+)\s*([KMGT]?I?)B", self.memory_limit.upper())
        if match is None:
            raise ValueError(f"memory_limit {self.memory_limit!r} is no size such as 2GB or 512MiB")
        return int(float(match[1]) * UNITS[match[2]])

    def ranges(self, rows: int, weight: float = 1.0) -> int:
        """Into how many ranges a model over so many input rows is divided, to stay in memory.

        Half of the limit is for groups; the rest is for reading, sorting and writing. A model
        that needs more than was estimated spills to disk. `weight` is what a row needs in units
        of `row_bytes`: below 1 for a model that has far fewer groups than rows.
        """
        return max(1, math.ceil(rows * weight * self.row_bytes / (self.memory_bytes / 2)))

    @property
    def url(self) -> str:
        """An in-memory database with these limits, as SQLAlchemy names it."""
        self.spill_directory.mkdir(parents=True, exist_ok=True)
        return f"{IN_MEMORY}?{urlencode(self._limits)}"

    @property
    def _limits(self) -> dict[str, Any]:
        return {
            "memory_limit": self.memory_limit,
            "threads": self.threads,
            "temp_directory": str(self.spill_directory),
        }

    @property
    def need(self) -> Need:
        """What a query keeps busy."""
        return Need(cpus=self.threads, memory_bytes=self.memory_bytes)

    @contextmanager
    def connect(self) -> Iterator[Any]:
        """A fresh connection; nothing outlives it.

        It spills to a folder of its own: several machines may share the spill directory.
        """
        import duckdb

        self.spill_directory.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="duckdb-", dir=self.spill_directory) as folder:
            limits = self._limits | {"temp_directory": folder}
            connection = duckdb.connect(
                ":memory:", config=limits | {"preserve_insertion_order": True}
            )
            try:
                yield connection
            finally:
                connection.close()
