"""The reviewed lists of names that ship with the package: one lower-case name a line."""

from __future__ import annotations

from pathlib import Path


def packaged_names(file_name: str) -> tuple[str, ...]:
    """The names of a packaged list, lower case, without comments, in the file's order."""
    text = (Path(__file__).parent / file_name).read_text(encoding="utf-8")
    lines = (line.split("#", 1)[0].strip().lower() for line in text.splitlines())
    return tuple(dict.fromkeys(line for line in lines if line))
