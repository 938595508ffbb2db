"""The compute seam: one function over many items, whichever engine runs it.

Everything that fans out calls `Compute.map`. The local engine uses threads of this process: the
mapped functions spend their time in DuckDB, zstd, torch or numba, which release the lock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from zipp_dagster.platform.config import ComputeSettings
from zipp_dagster.progress import Progress, silent

Item = TypeVar("Item")
Result = TypeVar("Result")


class ItemError(Exception):
    """A mapped function failed; names the item's position."""


@dataclass(frozen=True)
class Compute:
    """Maps functions over items with a bounded number at once."""

    workers: int = 1

    @classmethod
    def from_settings(cls, settings: ComputeSettings) -> Compute:
        """The engine that the settings name."""
        return cls(settings.workers)

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        progress: Progress = silent,
    ) -> list[Result]:
        """Results in the order of the items; the first failure ends the map.

        Raises:
            ItemError: chained to what the function raised.
        """
        results: list[Result] = []
        with ThreadPoolExecutor(max_workers=self.workers) as pool:
            futures = [pool.submit(function, item) for item in items]
            for position, future in enumerate(futures):
                try:
                    results.append(future.result())
                except Exception as error:
                    for other in futures:
                        other.cancel()
                    raise ItemError(f"item {position} of {len(items)}: {error}") from error
                progress(position + 1, len(items))
        return results
