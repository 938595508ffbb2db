"""What the Dagster instance remembers of single materialisations, and how to make it forget.

A materialisation's events carry pictures and tables of a synthetic world's people. Dagster can
delete whole runs only; here the events of one step of a run go, and the rest of its history stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any


def forget_steps(instance: Any, steps: Iterable[tuple[str, str]]) -> int:
    """Deletes the events of (run id, asset name) pairs; returns how many rows went.

    The space is overwritten where the store is SQLite. The asset's page shows its later
    materialisations; of the run only the deleted steps are missing.
    """
    from dagster import AssetKey
    from dagster._core.storage.event_log.schema import (
        AssetCheckExecutionsTable,
        SqlEventLogStorageTable,
    )

    events, checks = SqlEventLogStorageTable, AssetCheckExecutionsTable
    storage = instance.event_log_storage
    removed, runs = 0, set()
    for run_id, asset in sorted(set(steps)):
        key = AssetKey(asset).to_string()
        of_step = (events.c.run_id == run_id) & (
            (events.c.step_key == asset) | (events.c.asset_key == key)
        )
        with storage.run_connection(run_id) as connection:
            removed += connection.execute(events.delete().where(of_step)).rowcount
        with storage.index_connection() as connection:
            removed += connection.execute(events.delete().where(of_step)).rowcount
            of_asset = (checks.c.run_id == run_id) & (checks.c.asset_key == key)
            removed += connection.execute(checks.delete().where(of_asset)).rowcount
        runs.add(run_id)
    return removed


def forget_asset(instance: Any, asset: str) -> None:
    """Tells Dagster that an asset has no materialisation any more."""
    from dagster import AssetKey

    instance.event_log_storage.wipe_asset(AssetKey(asset))


def compact_sqlite(folder: Path) -> int:
    """Rewrites all SQLite files below a folder, so that deleted rows leave no bytes behind.

    Returns how many there were. Nobody else may be writing.
    """
    import sqlite3
    from contextlib import closing

    files = sorted(folder.rglob("*.db"))
    for path in files:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return len(files)
