"""How long work reports its progress, without knowing who shows it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with the units done so far, the total (0 where unknown) and a short note."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Reports progress."""


def silent(done: int, total: int, note: str = "") -> None:
    """Shows nothing: the default of every domain function."""
