"""What a killed run leaves below a lake's root, and what of it still has a use.

    <root>/.drafts/                                 what is being written
    <root>/.scratch/<asset>/<partition>/<key>/      partial work that outlives a killed run

Making drafts and publishing them is `lake`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from zipp_dagster.platform.locks import in_use, remove_unused
from zipp_dagster.platform.versions import WHOLE
from zipp_dagster.platform.work_locks import LOCKS

DRAFTS = ".drafts"
SCRATCH = ".scratch"
LOCK = ".lock"
ABANDONED_AFTER_SECONDS = 24 * 3600
UsefulWork = Callable[[str, str | None, str], bool]
"""Whether a run would go on with partial work: asset, partition, and the key of `Lake.draft`."""


def discard_scratch(root: Path, assets: Iterable[str]) -> int:
    """Removes the scratch folders of some assets; returns how many."""
    folders = [path for name in assets for path in (root / SCRATCH / name).glob("*/*")]
    for path in folders:
        shutil.rmtree(path, ignore_errors=True)
    return len(folders)


def sweep(root: Path, useful: UsefulWork | None = None) -> None:
    """Removes drafts and locks whose process is gone, pointer leftovers, and partial work of no use."""
    for lock in (root / LOCKS).glob("*/*.lock"):
        remove_unused(lock)
    at_work = set()
    for path in (root / DRAFTS).glob("*"):
        lock = path.with_suffix(LOCK)
        if in_use(lock):
            at_work.add(path.stem.rsplit("-", 1)[0])
        else:
            shutil.rmtree(path, ignore_errors=True)
            lock.unlink(missing_ok=True)
    for path in root.glob("*/*/.current-*"):
        path.unlink(missing_ok=True)
    horizon = time.time() - ABANDONED_AFTER_SECONDS
    for path in (root / SCRATCH).glob("*/*/*"):
        asset, folder, key = path.relative_to(root / SCRATCH).parts
        partition = None if folder == WHOLE else folder
        old = path.stat().st_mtime < horizon
        wanted = useful is None or asset in at_work or useful(asset, partition, key)
        if old or not wanted:
            shutil.rmtree(path, ignore_errors=True)
