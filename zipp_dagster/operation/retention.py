"""What Dagster may forget: old runs that made nothing that is kept, and old ticks.

A run stays as long as a kept version of the lake was made by it: its page tells that version's
story. Versions themselves are pruned by the lake, MLflow's runs by the registry.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.versions import LakeError, Version


@dataclass(frozen=True)
class Forgotten:
    """Ids of runs, and how many ticks, that went or would go."""

    runs: tuple[str, ...]
    ticks: int


def kept_versions(lake: Lake, going: Collection[str] = ()) -> list[Version]:
    """The versions of a lake but for those that are about to go (named by their ids)."""
    return [
        version
        for asset in lake.assets()
        for partition in lake.every_partition(asset)
        for version in lake.versions(asset, partition)
        if version.id not in going
    ]


def forget_history(
    instance: Any, kept: Collection[Version], days: int, *, dry_run: bool
) -> Forgotten:
    """Deletes finished runs and ticks older than some days; runs that made a kept version stay."""
    before = datetime.now(UTC) - timedelta(days=days)
    needed = set(_runs_of(kept))
    runs = [run for run in _finished(instance, before) if run not in needed]
    ticks = 0
    for state in instance.all_instigator_state():
        origin, selector = state.instigator_origin_id, state.selector_id
        # The latest tick stays: it says when a schedule fired last.
        latest = instance.get_ticks(origin, selector, limit=1)
        horizon = min([before.timestamp(), *(tick.timestamp for tick in latest)])
        ticks += len(instance.get_ticks(origin, selector, before=horizon))
        if not dry_run:
            instance.purge_ticks(origin, selector, horizon)
    if not dry_run:
        for run in runs:
            instance.delete_run(run)
    return Forgotten(tuple(runs), ticks)


def _runs_of(versions: Collection[Version]) -> Iterator[str]:
    for version in versions:
        try:
            run = version.manifest.run_id
        except LakeError:  # a damaged manifest is `verify`'s to report
            continue
        if run:
            yield run


def _finished(instance: Any, before: datetime) -> Iterator[str]:
    import dagster as dg

    ended = [
        dg.DagsterRunStatus.SUCCESS,
        dg.DagsterRunStatus.FAILURE,
        dg.DagsterRunStatus.CANCELED,
    ]
    old = dg.RunsFilter(statuses=ended, updated_before=before)
    for record in instance.get_run_records(old):
        yield record.dagster_run.run_id
