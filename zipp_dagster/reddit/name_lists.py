"""The reviewed lists that ship with the package: one lower-case name a line, or a name and its category."""

from __future__ import annotations

from pathlib import Path


def packaged_names(file_name: str) -> tuple[str, ...]:
    """The names of a packaged list, lower case, without comments, in the file's order."""
    text = (Path(__file__).parent / file_name).read_text(encoding="utf-8")
    lines = (line.split("#", 1)[0].strip().lower() for line in text.splitlines())
    return tuple(dict.fromkeys(line for line in lines if line))


def packaged_categories(file_name: str) -> dict[str, str]:
    """Name → category of a packaged list whose lines hold both, in the file's order.

    Raises:
        ValueError: a line does not hold exactly a name and a category, or repeats a name.
    """
    found: dict[str, str] = {}
    for line in packaged_names(file_name):
        parts = line.split()
        if len(parts) != 2 or parts[0] in found:
            raise ValueError(f"{file_name}: {line!r} is not one new name and its category")
        found[parts[0]] = parts[1]
    return found
