"""Who watches a run: told when an artifact starts, how far it is, and how it ended."""

from __future__ import annotations

from typing import Protocol

from zipp_dagster.platform.materialise import Outcome


class Observer(Protocol):
    """Shows a run to a person; the command line has one, the Dagster UI needs none."""

    def started(self, asset: str, partition: str | None) -> None:
        """An artifact's body is about to run."""

    def progressed(self, done: int, total: int, note: str = "") -> None:
        """The running artifact reports its progress."""

    def finished(self, outcome: Outcome) -> None:
        """An artifact was made, left as it was, skipped, or rejected by a check."""

    def failed(self, asset: str, partition: str | None, error: BaseException) -> None:
        """An artifact's body raised."""
