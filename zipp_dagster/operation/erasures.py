"""The daily job that carries out recorded erasures: within 48 hours, with nobody at the keyboard.

How an erasure works is in `erasing`; here it is started as `zipp erase --apply` in a process of its
own, because it makes runs itself, and its receipt becomes the metadata of the job's step.
"""

import json
import os
import subprocess
import sys
from typing import Any

import dagster as dg

from zipp_dagster.dead_runs import RUNNING, close_dead_runs
from zipp_dagster.operation.instance import instance_folder
from zipp_dagster.platform.dagster_assets import RESOURCES, platform_of

COMMAND = (sys.executable, "-m", "zipp_dagster.cli", "erase", "--apply", "--json")
WAIT_SECONDS, WAITS = 600, 24
"""How long the job waits for other runs: they may read what is about to go."""


def waiting(platform: Any) -> str | None:
    """What there is to carry out, in words; None where there is nothing."""
    from zipp_dagster.erasing.holding import pending
    from zipp_dagster.erasing.receipts import open_receipt

    begun = open_receipt(platform)
    recorded = len(pending(platform))
    if begun is not None:
        return f"receipt {begun.receipt} was begun and not completed; {recorded} tombstones wait"
    return f"{recorded} tombstones wait" if recorded else None


@dg.op(
    required_resource_keys=set(RESOURCES),
    description="Rebuilds without what was erased, removes what held it, and gives a receipt.",
)
def apply_erasures(context: dg.OpExecutionContext) -> None:
    """Carries out all recorded erasures; the receipt is in the step's metadata."""
    platform = platform_of(context.resources)
    reason = waiting(platform)
    if reason is None:
        context.log.info("nothing recorded waits")
        context.add_output_metadata({"erased": "nothing waits"})
        return
    locks = instance_folder(platform.home) / RUNNING
    for run in close_dead_runs(context.instance, locks, platform.registry.close_runs_of):
        context.log.warning(f"run {run} was at work no more: its process was killed")
    at_work = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    runs = context.instance.get_runs(dg.RunsFilter(statuses=at_work))
    others = [run.run_id for run in runs if run.run_id != context.run_id]
    if others:
        context.log.info(f"{reason}; first {len(others)} other runs end ({others[0]}, …)")
        raise dg.RetryRequested(WAITS, WAIT_SECONDS)
    context.log.info(reason)
    done = subprocess.run(
        COMMAND,
        env=os.environ | {"DAGSTER_HOME": context.instance.root_directory},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise dg.Failure(
            "the erasures were not completed; the next run, or `zipp erase --apply`, goes on: "
            + done.stderr[-2000:]
        )
    context.add_output_metadata(_shown(json.loads(done.stdout)["receipt"]))


def _shown(receipt: dict[str, Any]) -> dict[str, Any]:
    """A receipt as metadata. It holds no name and no id."""
    return {
        "receipt": receipt["receipt"],
        "completed_at": receipt["completed_at"],
        "erased": dg.MetadataValue.json(receipt["erased"]),
        "versions erased": len(receipt["erased_versions"]),
        "models flagged": len(receipt["models"]),
        "source files that still hold it": dg.MetadataValue.json(receipt["source_files"]),
        "whole receipt": dg.MetadataValue.json(receipt),
    }


@dg.job(
    description="Carries out recorded erasures (`zipp erase` without --apply records them). Waits "
    "until no other run is at work."
)
def carry_out_erasures() -> None:
    """One step, which may be killed and repeated."""
    apply_erasures()


def erasure_schedule(cron: str, status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    """Every night, where something waits."""

    @dg.schedule(
        name="daily_erasures",
        job=carry_out_erasures,
        cron_schedule=cron,
        default_status=status,
        required_resource_keys=set(RESOURCES),
        description="Carries out the erasures recorded since the night before: within 48 hours.",
    )
    def daily_erasures(context: dg.ScheduleEvaluationContext) -> Any:
        reason = waiting(platform_of(context.resources))
        if reason is None:
            return dg.SkipReason("no recorded erasure waits")
        day = context.scheduled_execution_time.date().isoformat()
        return dg.RunRequest(run_key=f"erasures-{day}", tags={"zipp/erasures": reason})

    return daily_erasures
