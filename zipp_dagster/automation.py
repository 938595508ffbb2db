"""When things run: jobs, schedules, sensors. What each of them does is in `operation`."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from assets.sources import months_in_folder
from zipp_dagster.operation.champions import champion_sensor, promote_model, roll_back_model
from zipp_dagster.operation.dump_folder import dump_folder_sensor
from zipp_dagster.operation.erasures import carry_out_erasures, erasure_schedule
from zipp_dagster.operation.notifications import notification_sensors
from zipp_dagster.platform.catalogue import Catalogue
from zipp_dagster.platform.config import OperationSettings
from zipp_dagster.platform.dagster_assets import MONTHS, RESOURCES, platform_of
from zipp_dagster.platform.versions import NotMaterialised
from zipp_dagster.reddit.dumps import DumpError

FULL_PIPELINE = "full_pipeline"
DRAWING_CHAMPIONS = ("champion_rewriter", "champion_diffusion_model")


def automation(catalogue: Catalogue, settings: OperationSettings) -> dg.Definitions:
    """Jobs, schedules and sensors over a catalogue; with `watch` all of them start switched on."""
    watch = settings.watch
    sensors_are = dg.DefaultSensorStatus.RUNNING if watch else dg.DefaultSensorStatus.STOPPED
    schedules_are = dg.DefaultScheduleStatus.RUNNING if watch else dg.DefaultScheduleStatus.STOPPED
    months = [name for name, entry in catalogue.items() if entry.partitioned]
    full_pipeline = dg.define_asset_job(
        FULL_PIPELINE,
        selection=dg.AssetSelection.all(),
        description="Everything for one month: its dumps, and all that is made from all months. "
        "What is already up to date is not made again.",
    )
    ingest = dg.define_asset_job(
        "ingest_month",
        selection=dg.AssetSelection.assets(*months),
        description="One month's dumps to the monthly tables of the warehouse. What is made from all "
        "months follows by declarative_automation, or by full_pipeline.",
    )
    benchmark = dg.define_asset_job(
        "zipbench",
        selection=dg.AssetSelection.assets("benchmark_prompts", *DRAWING_CHAMPIONS).downstream(),
        description="The benchmark of the current champions: prompts, images, scores, report.",
    )
    follow = dg.define_asset_job(
        "follow_champion",
        selection=dg.AssetSelection.assets("champion_encoder", *DRAWING_CHAMPIONS).downstream(),
        description="What is made by the champions: embeddings, personas, prompts, pictures, the benchmark.",
    )
    moves: list[Any] = [promote_model, roll_back_model]
    whole: list[Any] = [full_pipeline, ingest, benchmark, follow, *moves, carry_out_erasures]
    return dg.Definitions(
        jobs=whole + _group_jobs(catalogue),
        schedules=[
            _monthly(full_pipeline, settings.monthly_cron, schedules_are),
            _weekly(benchmark, settings.benchmark_cron, schedules_are),
            erasure_schedule(settings.erasure_cron, schedules_are),
        ],
        sensors=[
            dump_folder_sensor(ingest, sensors_are),
            champion_sensor(follow, sensors_are),
            *notification_sensors(sensors_are),
            _declarative(sensors_are),
        ],
    )


def _group_jobs(catalogue: Catalogue) -> list[Any]:
    months = [name for name, entry in catalogue.items() if entry.partitioned]
    whole = {entry.group for entry in catalogue.values() if not entry.partitioned}
    return [
        dg.define_asset_job(
            f"{group}_job",
            selection=dg.AssetSelection.groups(group) - dg.AssetSelection.assets(*months),
            description=f"The unpartitioned assets of {group}.",
        )
        for group in sorted(whole)
    ]


def _monthly(job: Any, cron: str, status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    """By default the third of each month, when last month's dumps are usually published."""

    @dg.schedule(
        name="monthly_refresh",
        job=job,
        cron_schedule=cron,
        default_status=status,
        description="Re-runs the pipeline for the newest month of the dump folder; unchanged artifacts "
        "stay.",
        required_resource_keys=set(RESOURCES),
    )
    def monthly_refresh(context: dg.ScheduleEvaluationContext) -> Iterator[Any]:
        # Partitions are never removed: also months of another source are known, and months whose
        # dumps were deleted since.
        known = set(context.instance.get_dynamic_partitions(MONTHS.name or ""))
        if not known:
            yield dg.SkipReason("no month of dumps is known yet")
            return
        try:
            here = months_in_folder(platform_of(context.resources))
        except (NotMaterialised, DumpError) as problem:
            yield dg.SkipReason(str(problem))
            return
        months = sorted(known.intersection(here))
        if not months:
            yield dg.SkipReason(
                f"the dump folder holds none of the known months ({min(known)} to {max(known)})"
            )
            return
        day = context.scheduled_execution_time.date().isoformat()
        yield dg.RunRequest(run_key=f"monthly-{day}", partition_key=months[-1])

    return monthly_refresh


def _weekly(job: Any, cron: str, status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name="weekly_zipbench",
        job=job,
        cron_schedule=cron,
        default_status=status,
        description="Every week: the benchmark of whatever changed since; unchanged artifacts stay.",
    )


def _declarative(status: dg.DefaultSensorStatus) -> dg.AutomationConditionSensorDefinition:
    """Evaluates every asset's condition: eager, once all blocking checks of its inputs hold."""
    return dg.AutomationConditionSensorDefinition(
        "declarative_automation",
        target=dg.AssetSelection.all(),
        default_status=status,
        minimum_interval_seconds=30,
    )
