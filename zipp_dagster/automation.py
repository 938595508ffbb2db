"""When things run: jobs, the monthly schedule, the dump-folder sensor, automation conditions."""

import json
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg

from assets.sources import dumps_directory
from zipp_dagster.platform.catalogue import Catalogue
from zipp_dagster.platform.dagster_assets import MONTHS, platform_of
from zipp_dagster.platform.versions import NotMaterialised

FULL_PIPELINE = "full_pipeline"
SETTLED_SECONDS = 60
"""A dump file younger than this may still be on its way (a copy, a download)."""


def automation(catalogue: Catalogue) -> dg.Definitions:
    """Jobs, schedules and sensors over a catalogue."""
    months = [name for name, entry in catalogue.items() if entry.partitioned]
    groups = sorted({entry.group for entry in catalogue.values()})
    full_pipeline = dg.define_asset_job(
        FULL_PIPELINE,
        selection=dg.AssetSelection.all(),
        description="Everything for one month: its dumps, and all that is made from all months. "
        "What is already up to date is not made again.",
    )
    ingest = dg.define_asset_job(
        "ingest_month",
        selection=dg.AssetSelection.assets(*months),
        description="One month's dumps to the monthly tables of the warehouse.",
    )
    jobs = [full_pipeline, ingest]
    for group in groups:
        selection = dg.AssetSelection.groups(group)
        whole = selection - dg.AssetSelection.assets(*months)
        if any(entry.group == group and not entry.partitioned for entry in catalogue.values()):
            jobs.append(
                dg.define_asset_job(
                    f"{group}_job",
                    selection=whole,
                    description=f"The unpartitioned assets of {group}.",
                )
            )
    return dg.Definitions(
        jobs=jobs,
        schedules=[_monthly(full_pipeline)],
        sensors=[_dump_folder(full_pipeline, catalogue), _declarative()],
    )


def _monthly(job: Any) -> dg.ScheduleDefinition:
    """The third of each month, when last month's dumps are usually published."""

    @dg.schedule(
        name="monthly_refresh",
        job=job,
        cron_schedule="0 4 3 * *",
        description="Re-runs the pipeline for the newest month; unchanged artifacts stay.",
    )
    def monthly_refresh(context: dg.ScheduleEvaluationContext) -> Iterator[Any]:
        known = sorted(context.instance.get_dynamic_partitions(MONTHS.name or ""))
        if not known:
            yield dg.SkipReason("no month of dumps is known yet")
            return
        day = context.scheduled_execution_time.date().isoformat()
        yield dg.RunRequest(run_key=f"monthly-{day}", partition_key=known[-1])

    return monthly_refresh


def _dump_folder(job: Any, catalogue: Catalogue) -> dg.SensorDefinition:
    """Adds the months of new dump files and asks for their run once the files have settled."""

    @dg.sensor(
        name="dump_folder",
        job=job,
        minimum_interval_seconds=60,
        description="Watches the dump folder: a new or changed RC_/RS_ file adds its month and runs it.",
        required_resource_keys={"settings", "lake", "warehouse", "mlflow", "compute"},
    )
    def dump_folder(context: dg.SensorEvaluationContext) -> Any:
        from zipp_dagster.reddit.dumps import DumpError, find_dumps

        platform = platform_of(context.resources)
        try:
            found = find_dumps(dumps_directory(platform))
        except (NotMaterialised, DumpError) as problem:
            return dg.SkipReason(str(problem))
        return month_requests(
            files={str(d.path): (d.month or "", d.size, d.path.stat().st_mtime) for d in found},
            cursor=context.cursor,
            known=set(context.instance.get_dynamic_partitions(MONTHS.name or "")),
            now=time.time(),
        )

    return dump_folder


def month_requests(
    files: dict[str, tuple[str, int, float]], cursor: str | None, known: set[str], now: float
) -> dg.SensorResult | dg.SkipReason:
    """Which months to run, given path → (month, size, time of change) and what was seen before.

    A file counts when it has been quiet for a minute; a run's key holds the sizes and times of
    the month's files, so that a changed file runs its month again and an unchanged one never.
    """
    months: dict[str, list[tuple[str, int, float]]] = {}
    for path, (month, size, changed) in sorted(files.items()):
        months.setdefault(month, []).append((path, size, changed))
    seen: dict[str, str] = json.loads(cursor) if cursor else {}
    requests = []
    for month, entries in sorted(months.items()):
        if any(now - changed < SETTLED_SECONDS for _, _, changed in entries):
            continue
        key = json.dumps(entries)
        if seen.get(month) != key:
            requests.append(dg.RunRequest(run_key=f"{month}-{key}", partition_key=month))
            seen[month] = key
    if not requests:
        return dg.SkipReason("no new or changed dump file has settled")
    fresh = [str(r.partition_key) for r in requests if r.partition_key not in known]
    return dg.SensorResult(
        run_requests=requests,
        cursor=json.dumps(seen),
        dynamic_partitions_requests=[MONTHS.build_add_request(fresh)] if fresh else [],
    )


def _declarative() -> dg.AutomationConditionSensorDefinition:
    """Evaluates every asset's condition: eager, once all blocking checks of its inputs hold."""
    return dg.AutomationConditionSensorDefinition(
        "declarative_automation",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.STOPPED,
        minimum_interval_seconds=30,
    )
