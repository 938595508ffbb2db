"""How long work reports its progress, without knowing who shows it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with the units done so far, the total (0 where unknown) and a short note."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Reports progress."""


def silent(done: int, total: int, note: str = "") -> None:
    """Shows nothing: the default of every domain function."""


def in_words(seconds: float) -> str:
    """A time that is left, as a person says it: 40 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{max(seconds, 0.0):.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
