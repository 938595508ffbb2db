"""Runs of `zipp run` processes that were killed: closed by the next one, an erasure, or `zipp bootstrap`.

Dagster believes such a run to be at work for ever, and keeps its places in the concurrency pools:
after as many kills as a pool has places, every later run would wait there without end.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from zipp_dagster.platform.locks import in_use, remove_unused

RUNNING = "running"
"""The folder of the locks of running `zipp run` processes, in a ZIPP_HOME's folder of Dagster."""
LOCK_TAG = "zipp/lock"
"""The run's tag with the path of the lock that its process holds."""


def close_dead_runs(
    instance: Any, folder: Path, clear: Callable[[str], object] = lambda run_id: None
) -> list[str]:
    """Marks as failed the unfinished runs whose lock in `folder` nobody holds; frees their places.

    `clear` is told each such run before, to close what it left open elsewhere. The mark comes last: a
    kill on the way leaves a run that is found again.

    Runs without such a lock were started by Dagster's own daemon or web server, and are its to
    watch; so are those that it started again, with the tags of before. Returns the ids of the
    closed runs.
    """
    import dagster as dg
    from dagster._core.storage.tags import GRPC_INFO_TAG

    status = dg.DagsterRunStatus
    unfinished = [status.NOT_STARTED, status.STARTING, status.STARTED]
    closed = []
    for run in instance.get_runs(dg.RunsFilter(statuses=unfinished)):
        lock = Path(run.tags.get(LOCK_TAG, "/"))
        if lock.parent == folder and GRPC_INFO_TAG not in run.tags and not in_use(lock):
            clear(run.run_id)
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            instance.report_run_failed(run, "The process of this run was killed.")
            closed.append(run.run_id)
    # Of those runs, and of processes that died before their first.
    for lock in folder.glob("*.lock"):
        remove_unused(lock)
    return closed
