"""`zipp run` and `zipp status`."""

from __future__ import annotations

import json
import shutil
import sys
import time
from datetime import UTC, datetime
from typing import Any

import click


@click.command()
@click.option(
    "--select",
    "selection",
    metavar="EXPR",
    help="Such as +personas,group:zipbench,gat_checkpoint+.",
)
@click.option("--partition", metavar="YYYY-MM", help="Only this month of the monthly assets.")
@click.option("--plan", "plan_only", is_flag=True, help="Say what would run and why; run nothing.")
@click.option("--force", is_flag=True, help="Make the selected assets again even if up to date.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def run(
    selection: str | None, partition: str | None, plan_only: bool, force: bool, as_json: bool
) -> None:
    """Materialise what is not up to date, in order.

    Ends with 1 if an asset or a blocking check failed.
    """
    from assets.catalogue import catalogue
    from zipp_dagster import runner
    from zipp_dagster.console import RunConsole, err, out, show_plan
    from zipp_dagster.platform.plan import select

    started = time.monotonic()
    platform = runner.local_platform()
    chosen = select(catalogue(), selection)
    if plan_only:
        steps = runner.full_plan(platform, chosen, partition)
        if as_json:
            click.echo(json.dumps([step.to_json() for step in steps], indent=1))
        else:
            home = platform.home if platform.home.exists() else platform.home.parent
            show_plan(steps, shutil.disk_usage(home).free, _price(platform))
        return
    with RunConsole(err) as console:
        result = runner.run(platform, chosen, partition, observer=console, force=force)
    seconds = time.monotonic() - started
    if as_json:
        document = {**result.__dict__, "succeeded": result.succeeded, "seconds": round(seconds, 1)}
        click.echo(json.dumps(document, indent=1))
    else:
        text = f"{len(result.made)} made, {len(result.fresh)} up to date"
        text += f", [red]{len(result.failed)} not made[/]" if result.failed else ""
        if not result.made and not result.failed:
            text = f"nothing to do: all {len(result.fresh)} are up to date"
        out.print(f"{text}  ({seconds:.0f} s)")
        report = platform.reports / "zipbench" / "index.html"
        if report.is_file() and not result.failed:
            out.print(f"report: {report}\nlook around: zipp ui")
    if not result.succeeded:
        if result.failed and not as_json:
            err.print(f"not made: {', '.join(result.failed)}", markup=False)
        sys.exit(1)


def _price(platform: Any) -> Any:
    """The price of the language model's tokens; None where it runs in this process."""
    from zipp_dagster.console import TokenPrice

    model = platform.settings.persona.language_model
    return (
        TokenPrice(model.model, model.price_in, model.price_out) if model.kind == "http" else None
    )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def status(as_json: bool) -> None:
    """Every asset: current version, rows or size, checks, age, stale or not and why."""
    from zipp_dagster import runner
    from zipp_dagster.console import human_size, out

    platform = runner.local_platform()
    rows = [_status_row(platform, step) for step in runner.full_plan(platform)]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("asset", "version", "rows or size", "checks", "age", "state"):
        table.add_column(column, no_wrap=column in ("asset", "version"))
    colours = {"fresh": "green", "stale": "yellow", "missing": "red"}
    for row in rows:
        size = "" if row["bytes"] is None else human_size(row["bytes"])
        size = f"{row['rows']:,} rows" if row["rows"] is not None else size
        checks = (
            "" if row["checks"] is None else f"{row['checks']['passed']}/{row['checks']['total']}"
        )
        state = f"[{colours[row['state']]}]{row['state']}[/]"
        why = "" if row["state"] == "fresh" else f" {row['reason']}"
        why = f" [yellow]skipped: {row['skipped']}[/]" if row["skipped"] else why
        name = row["name"].replace("[", "\\[")
        table.add_row(
            name, (row["version"] or "")[:18], size, checks, row["age"] or "", state + why
        )
    out.print(table)


def _status_row(platform: Any, step: Any) -> dict[str, Any]:
    current = platform.lake.find(step.asset, step.partition)
    row = {
        "name": step.name,
        "asset": step.asset,
        "partition": step.partition,
        "state": step.state,
        "reason": step.reason,
        "version": None,
        "rows": None,
        "bytes": None,
        "checks": None,
        "age": None,
        "created": None,
        "skipped": None,
    }
    if current is not None:
        manifest = current.manifest
        passed = sum(bool(check["passed"]) for check in manifest.checks)
        row |= {
            "version": current.id,
            "rows": manifest.rows,
            "bytes": manifest.size,
            "checks": {"passed": passed, "total": len(manifest.checks)},
            "age": _age(manifest.created),
            "created": manifest.created,
            "skipped": manifest.skipped,
        }
    return row


def _age(created: str) -> str:
    seconds = (datetime.now(UTC) - datetime.fromisoformat(created)).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
