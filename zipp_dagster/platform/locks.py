"""Locks that the system releases when their process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

Waits = Callable[[], object]
"""Called once when a lock is not free, before waiting for it: to tell a person why."""


def _silent() -> None:
    """Nobody is told."""


@contextmanager
def locked(path: Path, waits: Waits = _silent) -> Iterator[None]:
    """Holds a lock file, and removes it afterwards; waits while another process or thread holds it.

    A process id in a file would not do: after a kill, and always in containers, another process
    soon has the same one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _held(path, waits):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def _held(path: Path, waits: Waits) -> Iterator[None]:
    """Holds the file that is there: whoever held it before may have taken it away."""
    while True:
        with path.open("w") as stream:
            _flock(stream, fcntl.LOCK_EX, waits)
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
def exclusive(path: Path, waits: Waits = _silent) -> Iterator[None]:
    """Waits until nobody else is inside; the file stays, so that all lock the same one."""
    with _inside(path, fcntl.LOCK_EX, waits):
        yield


@contextmanager
def shared(path: Path, waits: Waits = _silent) -> Iterator[None]:
    """Waits until nobody is inside exclusively; others may be inside as well."""
    with _inside(path, fcntl.LOCK_SH, waits):
        yield


@contextmanager
def _inside(path: Path, kind: int, waits: Waits) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        _flock(stream, kind, waits)
        yield


def _flock(stream: IO[str], kind: int, waits: Waits) -> None:
    try:
        fcntl.flock(stream, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        waits()
        fcntl.flock(stream, kind)


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
