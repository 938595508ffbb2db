"""The sensor that sees new, changed and half-copied dump files, and asks for their months."""

import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import dagster as dg

from assets.sources import dumps_directory
from zipp_dagster.platform.dagster_assets import MONTHS, RESOURCES, platform_of
from zipp_dagster.platform.versions import NotMaterialised

SETTLED_SECONDS = 60
"""A dump file younger than this may still be on its way (a copy, a download)."""


class Seen(NamedTuple):
    """A dump file as it lies in the folder: month, bytes, time of change in Unix seconds."""

    month: str
    size: int
    changed: float


def dump_folder_sensor(job: Any, status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    """Adds the months of new dump files and asks for their run once the files have settled."""

    @dg.sensor(
        name="dump_folder",
        job=job,
        minimum_interval_seconds=60,
        default_status=status,
        description="Watches the dump folder: a new or changed RC_/RS_ file adds its month and runs it, "
        "once its size has stayed the same. A file with the bytes of before makes nothing again. "
        "Switch on declarative_automation as well for what is made from all months.",
        required_resource_keys=set(RESOURCES),
    )
    def dump_folder(context: dg.SensorEvaluationContext) -> Any:
        from zipp_dagster.reddit.dumps import DumpError, find_dumps

        platform = platform_of(context.resources)
        try:
            found = find_dumps(dumps_directory(platform))
        except (NotMaterialised, DumpError) as problem:
            return dg.SkipReason(str(problem))
        return month_requests(
            {str(d.path): Seen(d.month or "", d.size, d.path.stat().st_mtime) for d in found},
            context.cursor,
            set(context.instance.get_dynamic_partitions(MONTHS.name or "")),
            time.time(),
        )

    return dump_folder


def month_requests(
    files: Mapping[str, Seen], cursor: str | None, known: set[str], now: float
) -> dg.SensorResult:
    """Which months to run, given the files now and what the cursor remembers.

    A file counts when it has been quiet for a minute and had the same size at the tick before: the
    time alone misses copies that keep the original's, the size alone misses files that are
    allocated before they are filled. A run's key holds sizes and times of the month's files: a
    changed file runs its month again, and the run itself compares content hashes.
    """
    memory = json.loads(cursor) if cursor else {"asked": {}, "sizes": {}}
    asked, sizes = dict(memory["asked"]), memory["sizes"]
    months: dict[str, list[tuple[str, int, float]]] = {}
    unsettled = []
    for path, file in sorted(files.items()):
        months.setdefault(file.month, []).append((path, file.size, file.changed))
        if now - file.changed < SETTLED_SECONDS or sizes.get(path) != file.size:
            unsettled.append(file.month)
    requests = []
    for month, entries in sorted(months.items()):
        key = json.dumps(entries)
        if month not in unsettled and asked.get(month) != key:
            requests.append(dg.RunRequest(run_key=f"{month}-{key}", partition_key=month))
            asked[month] = key
    waiting = sorted({m for m in unsettled if asked.get(m) != json.dumps(months[m])})
    fresh = [str(r.partition_key) for r in requests if r.partition_key not in known]
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else _why_nothing(waiting),
        cursor=json.dumps(
            {"asked": asked, "sizes": {path: file.size for path, file in files.items()}}
        ),
        dynamic_partitions_requests=[MONTHS.build_add_request(fresh)] if fresh else [],
    )


def _why_nothing(waiting: list[str]) -> str:
    if waiting:
        return f"waiting until the files of {', '.join(waiting)} stop growing"
    return "no new or changed dump file"
