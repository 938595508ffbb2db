"""Who is at work in a lake: no two processes make the same, and nothing goes that one may read.

    <root>/.locks/<asset>/<partition or _>.lock     held by whoever makes it
    <root>/.locks/work                              shared by all who make anything
    <root>/.locks/gate                              through which they come in

Processes see each other's locks where they share the lake's root folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from zipp_dagster.platform.locks import exclusive, in_use, locked, shared
from zipp_dagster.platform.versions import WHOLE

LOCKS = ".locks"
Told = Callable[[str], object]
"""Is told what is waited for."""


@contextmanager
def making(root: Path, asset: str, partition: str | None, told: Told) -> Iterator[None]:
    """Alone makes one partition of an asset, from resolving its inputs to its publication.

    Waits while another run makes the same, and while `nobody_at_work` removes versions.
    """
    folder = root / LOCKS
    with ExitStack() as stack:
        with shared(folder / "gate", lambda: told("waits: erased versions are being removed")):
            stack.enter_context(shared(folder / "work"))
        own = folder / asset / f"{partition or WHOLE}.lock"
        stack.enter_context(locked(own, lambda: told("waits: another run makes the same")))
        yield


def being_made(root: Path, asset: str) -> list[str | None]:
    """The partitions of an asset that somebody makes now, or waits to make."""
    locks = sorted((root / LOCKS / asset).glob("*.lock"))
    return [None if lock.stem == WHOLE else lock.stem for lock in locks if in_use(lock)]


@contextmanager
def nobody_at_work(root: Path, told: Told) -> Iterator[None]:
    """Waits until all who make something have ended; who comes meanwhile waits outside."""
    folder = root / LOCKS
    with (
        exclusive(folder / "gate"),
        exclusive(folder / "work", lambda: told("waits for runs that may read what goes")),
    ):
        yield
