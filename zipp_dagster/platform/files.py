"""Files on a disk: their hashes, making them last, and errors of a disk that is full."""

from __future__ import annotations

import errno
import hashlib
import os
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
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(words in str(error) for words in FULL_DISK_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
