"""Locks that the system releases when their process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock file of this process's own, and removes it afterwards.

    A process id in a file would not do: after a kill, and always in containers, another process
    soon has the same one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _held(path):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Holds the file that is there: `remove_unused` may take one away before it is locked."""
    while True:
        with path.open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            try:
                same = os.path.samestat(os.fstat(stream.fileno()), path.stat())
            except FileNotFoundError:
                same = False
            if same:
                yield
                return


def remove_unused(path: Path) -> bool:
    """Removes the lock file of a process that is gone; False where one lives."""
    try:
        with path.open() as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return True
    return True


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Waits until no other process is inside; the file stays, so that all lock the same one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def in_use(path: Path) -> bool:
    """Whether a living process holds the lock."""
    try:
        with path.open() as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
