"""Tells a webhook about failed runs and failed checks: names of assets and checks, never data.

The message is one JSON object with a `text` for people (Slack, Mattermost and Teams show it) and
fields for programs. Without `operation.webhook_url` nothing is sent, and the sensors say so.
"""

from collections.abc import Iterable
from typing import Any

import dagster as dg

from resources.settings import SettingsResource

TIMEOUT_SECONDS = 10.0


class NotificationError(Exception):
    """The webhook did not take a message; the sensor's tick shows it, and tries again."""


def notification_sensors(status: dg.DefaultSensorStatus) -> list[dg.SensorDefinition]:
    """One sensor for runs that failed, one for checks that failed in runs that did not."""

    @dg.run_failure_sensor(
        name="tell_failed_runs",
        default_status=status,
        description="Posts each failed run to operation.webhook_url: job, steps, kinds of error.",
    )
    def tell_failed_runs(
        context: dg.RunFailureSensorContext, settings: SettingsResource
    ) -> dg.SkipReason | None:
        events = context.get_step_failure_events()
        return tell(failed_run(context.dagster_run, events), settings)

    @dg.run_status_sensor(
        name="tell_failed_checks",
        run_status=dg.DagsterRunStatus.SUCCESS,
        default_status=status,
        description="Posts failed checks of runs that went on, such as warnings, to operation.webhook_url.",
    )
    def tell_failed_checks(
        context: dg.RunStatusSensorContext, settings: SettingsResource
    ) -> dg.SkipReason | None:
        kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
        run = context.dagster_run
        found = context.instance.get_records_for_run(run.run_id, of_type=kind).records
        return tell(failed_checks(run, [entry.event_log_entry for entry in found]), settings)

    return [tell_failed_runs, tell_failed_checks]


def failed_run(run: dg.DagsterRun, events: Iterable[Any]) -> dict[str, Any]:
    """The message about a failed run: which steps, and the class of each error.

    An error's text may quote a row; whoever may read it finds it in Dagster under the run's id.
    """
    steps = []
    for event in events:
        error = event.step_failure_data.error if event.step_failure_data else None
        root = error.cause if error and error.cause else error
        steps.append({"step": event.step_key, "error": root.cls_name if root else None})
    where = _month(run)
    names = ", ".join(f"{step['step']} ({step['error']})" for step in steps)
    return {
        "event": "run_failed",
        "text": f"{run.job_name}{where} failed: {names or 'before its first step'}. Run {run.run_id}",
        "job": run.job_name,
        "run": run.run_id,
        "partition": run.tags.get("dagster/partition"),
        "steps": steps,
    }


def failed_checks(run: dg.DagsterRun, entries: Iterable[Any]) -> dict[str, Any] | None:
    """The message about checks that failed though the run went on; None where all held."""
    failed = []
    for entry in entries:
        result = entry.dagster_event.asset_check_evaluation_data
        if not result.passed:
            failed.append(
                {
                    "asset": result.asset_key.to_user_string(),
                    "check": result.check_name,
                    "severity": result.severity.value,
                    "description": result.description,
                }
            )
    if not failed:
        return None
    lines = "; ".join(f"{f['asset']} {f['check']}: {f['description']}" for f in failed)
    return {
        "event": "checks_failed",
        "text": f"{run.job_name}{_month(run)}: {lines}. Run {run.run_id}",
        "job": run.job_name,
        "run": run.run_id,
        "partition": run.tags.get("dagster/partition"),
        "checks": failed,
    }


def tell(message: dict[str, Any] | None, settings: SettingsResource) -> dg.SkipReason | None:
    """Posts a message to the webhook of the settings.

    Raises:
        NotificationError: the webhook cannot be reached or refuses; its address, which may hold a
            secret, is not in the text.
    """
    import requests

    address = settings.get().operation.webhook_url
    if message is None:
        return dg.SkipReason("all checks of the run held")
    if address is None:
        return dg.SkipReason(f"operation.webhook_url is not set; not sent: {message['text']}")
    try:
        answer = requests.post(
            address.get_secret_value(), json=message, timeout=TIMEOUT_SECONDS, allow_redirects=False
        )
    except requests.RequestException as error:
        raise NotificationError(
            f"operation.webhook_url cannot be reached ({type(error).__name__})"
        ) from None
    if not 200 <= answer.status_code < 300:
        raise NotificationError(f"operation.webhook_url answered {answer.status_code}")
    return None


def _month(run: dg.DagsterRun) -> str:
    month = run.tags.get("dagster/partition")
    return f" [{month}]" if month else ""
