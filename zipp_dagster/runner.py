"""`zipp run`: materialises what is stale, in order, as runs of the Dagster instance.

First what the dumps need (the sample world, erasures), then one run for each month, then the
rest in one run. Everything shows in the Dagster UI as if it had been started there.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assets.catalogue import catalogue
from assets.sources import months_in_folder
from resources import default_resources
from resources.settings import SettingsResource
from zipp_dagster.dead_runs import LOCK_TAG, RUNNING, close_dead_runs
from zipp_dagster.operation.instance import instance_folder, open_instance, set_pools
from zipp_dagster.platform.catalogue import Catalogue, Platform
from zipp_dagster.platform.dagster_assets import FORCE_TAG, MONTHS, platform_of
from zipp_dagster.platform.locks import locked
from zipp_dagster.platform.observer import Observer
from zipp_dagster.platform.plan import Step, plan
from zipp_dagster.platform.versions import NotMaterialised

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def local_platform() -> Platform:
    """The platform of this process's settings, without a Dagster run."""

    class _Resources:
        pass

    resources = _Resources()
    for name, resource in default_resources().items():
        setattr(resources, name, resource)
    return platform_of(resources)


@dataclass
class RunResult:
    """What a `zipp run` did."""

    made: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)

    @property
    def succeeded(self) -> bool:
        """Nothing failed."""
        return not self.failed


def known_months(entries: Catalogue, platform: Platform) -> list[str]:
    """The months of the dump folder and those ingested before from the same source."""
    active = set(entries.active_partitions(platform))
    # Before the sample world is made, its months are not known yet.
    with contextlib.suppress(NotMaterialised):
        active |= set(months_in_folder(platform))
    return sorted(active)


def full_plan(
    platform: Platform, selection: set[str] | None = None, partition: str | None = None
) -> list[Step]:
    """What a run would do now."""
    entries = catalogue()
    months = [partition] if partition else known_months(entries, platform)
    return plan(entries, platform, months, selection)


def run(
    platform: Platform,
    selection: set[str],
    partition: str | None = None,
    *,
    observer: Observer | None = None,
    force: bool = False,
    months: Sequence[str] | None = None,
) -> RunResult:
    """Materialises the selected artifacts that are not up to date.

    Of the monthly ones `partition` alone, or `months`, or all months that there are.

    Raises:
        SettingsError, DumpError: before anything runs, if settings or the dump folder are unusable.
    """
    lock = instance_folder(platform.home) / RUNNING / f"{secrets.token_hex(8)}.lock"
    with locked(lock):
        session = _Session(catalogue(), platform, observer, force, lock)
        chosen = [partition] if partition else months
        return _run_in_order(session, platform, selection, chosen)


def _run_in_order(
    session: _Session, platform: Platform, selection: set[str], chosen: Sequence[str] | None
) -> RunResult:
    entries = session.entries
    first = {n for n in selection if not entries[n].partitioned and _feeds_months(entries, n)}
    monthly = {n for n in selection if entries[n].partitioned}
    session.phase(first, None)
    if session.result.failed and monthly:
        return session.result
    months = known_months(entries, platform) if chosen is None else list(chosen)
    if months:
        session.instance.add_dynamic_partitions(MONTHS.name or "", months)
    for month in months if monthly else []:
        session.phase(monthly, month)
    rest = selection - first - monthly
    blocked = rest & session.downstream_of_failures()
    session.phase(rest - blocked, None)
    session.leave(blocked)
    _show_again(entries, platform)
    return session.result


def _show_again(entries: Catalogue, platform: Platform) -> None:
    """What follows a publication once more: a kill may have come between the two."""
    for entry in entries.values():
        version = platform.lake.find(entry.name) if entry.after_publish else None
        if entry.after_publish and version is not None and not version.skipped:
            entry.after_publish(platform, version)


def _feeds_months(entries: Catalogue, name: str) -> bool:
    return any(entries[other].partitioned for other in entries.downstream(name))


class _Session:
    """The Dagster side of one `zipp run`: the instance, the job, the tally."""

    def __init__(
        self,
        entries: Catalogue,
        platform: Platform,
        observer: Observer | None,
        force: bool,
        lock: Path,
    ) -> None:
        from zipp_dagster.definitions import defs

        self.entries = entries
        self.platform = platform
        self.observer = observer
        self.tags = {LOCK_TAG: str(lock)} | ({FORCE_TAG: "true"} if force else {})
        self.force = force
        self.instance = open_instance(platform.home)
        close_dead_runs(self.instance, lock.parent, platform.registry.close_runs_of)
        set_pools(self.instance, platform.settings.operation.pools)
        self.definitions = defs
        self.result = RunResult()

    def phase(self, names: set[str], month: str | None) -> None:
        """One Dagster run over those of some artifacts that are not up to date."""
        months = [month] if month else known_months(self.entries, self.platform)
        steps = plan(self.entries, self.platform, months, names)
        todo = [step for step in steps if self.force or step.state != "fresh"]
        self.result.fresh += [step.name for step in steps if step not in todo]
        if todo:
            self._run(todo, month)

    def downstream_of_failures(self) -> set[str]:
        """What cannot be made, because something that it is made from failed in this session.

        Tried nevertheless, it would bury the one clear error, or be made of some months only.
        """
        failed = {name.partition("[")[0] for name in self.result.failed}
        return {below for name in failed for below in self.entries.downstream(name)}

    def leave(self, names: set[str]) -> None:
        """Counts artifacts as not made, without trying."""
        steps = plan(self.entries, self.platform, known_months(self.entries, self.platform), names)
        self.result.failed += [step.name for step in steps]

    def _run(self, steps: Sequence[Step], month: str | None) -> None:
        import dagster as dg

        from zipp_dagster.automation import FULL_PIPELINE

        job: Any = self.definitions.resolve_job_def(FULL_PIPELINE)
        SettingsResource.watching = self.observer
        try:
            outcome = job.execute_in_process(
                instance=self.instance,
                asset_selection=[dg.AssetKey(step.asset) for step in steps],
                partition_key=month,
                run_config=QUIET,
                tags=self.tags,
                raise_on_error=False,
            )
        finally:
            SettingsResource.watching = None
        self.result.runs.append(outcome.run_id)
        done = {
            event.asset_key.path[-1]
            for event in outcome.get_asset_materialization_events()
            if event.asset_key
        }
        for step in steps:
            (self.result.made if step.asset in done else self.result.failed).append(step.name)
