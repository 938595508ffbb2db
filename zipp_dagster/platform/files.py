"""Files on a disk: their hashes, making them last, and errors of a disk that is full."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

FULL_DISK_WORDS = ("No space left on device", "disk is full")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hex, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fsync(path: Path) -> None:
    """Returns when a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(directory: Path) -> None:
    """`fsync` of a folder and all below it."""
    for path in directory.rglob("*"):
        fsync(path)
    fsync(directory)


def disk_is_full(error: BaseException | None) -> bool:
    """Also sees the full disk behind engines (DuckDB, SQLite) that wrap it in their exceptions."""
    return any(
        (isinstance(one, OSError) and one.errno in (errno.ENOSPC, errno.EDQUOT))
        or any(words in str(one) for words in FULL_DISK_WORDS)
        for one in raised_from(error)
    )


def raised_from(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those that it was raised from, each once: they may name one another."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
