"""How artifacts appear in Dagster: asset definitions, checks, metadata, data versions.

The only module of the platform that knows Dagster. A run's work is `materialise`; here its
outcome becomes a materialization with lineage, schema, pictures, and check results.
"""

import base64
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from zipp_dagster.platform.artifacts import Artifact
from zipp_dagster.platform.catalogue import Catalogue, Platform
from zipp_dagster.platform.checks import CheckReport
from zipp_dagster.platform.materialise import Outcome, materialise
from zipp_dagster.platform.observer import Observer
from zipp_dagster.platform.transient import is_transient

MONTHS = dg.DynamicPartitionsDefinition(name="months")
FORCE_TAG = "zipp/force"
RESOURCES = ("settings", "lake", "warehouse", "mlflow", "compute")
LOG_EVERY_SECONDS = 10.0
LATE, OVERDUE = timedelta(days=35), timedelta(days=45)


def dagster_assets(catalogue: Catalogue) -> list[dg.AssetsDefinition]:
    """All artifacts of a catalogue as Dagster assets."""
    return [_asset(artifact, catalogue) for artifact in catalogue.values()]


def _asset(artifact: Artifact, catalogue: Catalogue) -> dg.AssetsDefinition:
    conditions = {check.name: check for check in artifact.checks}
    specs = [
        dg.AssetCheckSpec(
            name=name,
            asset=artifact.name,
            blocking=conditions[name].blocking if name in conditions else True,
            description=conditions[name].description
            if name in conditions
            else "The table's contract: columns, types, and every test of its Great Expectations suite.",
        )
        for name in artifact.check_names
    ]

    @dg.asset(
        name=artifact.name,
        group_name=artifact.group,
        kinds=set(artifact.kinds),
        owners=[artifact.owner],
        description=artifact.description,
        code_version=artifact.code_version,
        deps=list(artifact.inputs),
        partitions_def=MONTHS if artifact.partitioned else None,
        check_specs=specs,
        metadata=_definition_metadata(artifact),
        required_resource_keys=set(RESOURCES),
        automation_condition=_automation(artifact),
        freshness_policy=_freshness(artifact),
        pool=artifact.pool,
    )
    def run(context: dg.AssetExecutionContext) -> Iterator[Any]:
        partition = context.partition_key if artifact.partitioned else None
        observer: Observer | None = context.resources.settings.observer()
        progress = observer.progressed if observer else _logged(context)
        platform = replace(platform_of(context.resources), progress=progress)
        if observer:
            observer.started(artifact.name, partition)
        try:
            outcome = materialise(
                artifact,
                partition,
                platform,
                catalogue,
                run_id=context.run_id,
                force=context.run.tags.get(FORCE_TAG) == "true",
            )
        except BaseException as error:
            rule = platform.settings.operation
            if is_transient(error) and context.retry_number < rule.retries:
                pause = rule.retry_delay_seconds * 2**context.retry_number
                context.log.warning(f"{type(error).__name__}: {error}; again in {pause:.0f} s")
                raise dg.RetryRequested(rule.retries, pause) from error
            if observer:
                observer.failed(artifact.name, partition, error)
            raise
        if observer:
            observer.finished(outcome)
        for report in outcome.checks:
            yield _check_result(artifact, report)
        if outcome.status == "rejected":
            failed = outcome.failed_blocking_checks
            raise dg.Failure(
                description=f"{artifact.name}: "
                + "; ".join(f"check {r.name}: {r.outcome.description}" for r in failed)
                + f". The version {outcome.version.id} is kept for inspection and is not current.",
                allow_retries=False,
            )
        yield dg.MaterializeResult(
            metadata=outcome_metadata(outcome),
            data_version=dg.DataVersion(outcome.version.manifest.data_version),
        )

    return run


def _automation(artifact: Artifact) -> dg.AutomationCondition | None:
    """Runs when an input changes and all blocking checks of the inputs hold."""
    if not artifact.inputs:
        return None
    return dg.AutomationCondition.eager() & dg.AutomationCondition.all_deps_blocking_checks_passed()


def _freshness(artifact: Artifact) -> dg.FreshnessPolicy | None:
    """What is made from all months should follow each month's dumps, some days after its end."""
    if artifact.partitioned or not artifact.inputs:
        return None
    return dg.FreshnessPolicy.time_window(fail_window=OVERDUE, warn_window=LATE)


def platform_of(resources: Any) -> Platform:
    """The platform that a run's resources make up."""
    settings = resources.settings.get()
    return Platform(
        settings=settings,
        lake=resources.lake.get(),
        warehouse=resources.warehouse.get(),
        registry=resources.mlflow.get(),
        compute=resources.compute.get(),
        home=settings.home_directory,
    )


def _logged(context: dg.AssetExecutionContext) -> Any:
    """Progress as log lines of the run, at most one every few seconds."""
    state = {"last": time.monotonic(), "start": time.monotonic()}

    def progress(done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if now - state["last"] < LOG_EVERY_SECONDS:
            return
        state["last"] = now
        share = f"{done / total:.0%}" if total else str(done)
        left = (now - state["start"]) * (total - done) / done if total and done else 0
        context.log.info(f"{share} {note} (about {left:.0f} s left)" if left else f"{share} {note}")

    return progress


def _definition_metadata(artifact: Artifact) -> dict[str, Any]:
    """What is known before anything ran: schema and inputs."""
    metadata: dict[str, Any] = {"zipp/inputs": ", ".join(artifact.inputs) or "none"}
    if artifact.contract is not None:
        metadata["dagster/column_schema"] = dg.TableSchema(
            columns=[
                dg.TableColumn(
                    name=column.name,
                    type=column.type,
                    description=column.description,
                    constraints=dg.TableColumnConstraints(
                        nullable=not any(t.name == "not_null" for t in column.tests),
                        unique=any(t.name == "unique" for t in column.tests),
                    ),
                )
                for column in artifact.contract.columns
            ]
        )
    if artifact.sql is not None:
        metadata["query"] = dg.MetadataValue.md(f"```sql\n{artifact.sql.query.strip()}\n```")
    return metadata


def outcome_metadata(outcome: Outcome) -> dict[str, Any]:
    """A materialization's metadata: lineage, sizes, numbers, tables, pictures."""
    manifest = outcome.version.manifest
    metadata: dict[str, Any] = {}
    for title, png in outcome.summary.images.items():
        encoded = base64.b64encode(png).decode()
        metadata[title] = dg.MetadataValue.md(f"![{title}](data:image/png;base64,{encoded})")
    for title, rows in outcome.summary.tables.items():
        metadata[title] = dg.MetadataValue.md(markdown_table(rows))
    for key, value in outcome.summary.metadata.items():
        metadata[key] = _value(value)
    if manifest.rows is not None:
        metadata["dagster/row_count"] = manifest.rows
    metadata |= {
        "bytes": manifest.size,
        "seconds": manifest.seconds,
        "zipp/status": outcome.status,
        "zipp/version": outcome.version.id,
        "zipp/path": dg.MetadataValue.path(str(outcome.version.folder)),
        "zipp/inputs": dg.MetadataValue.json([ref.to_json() for ref in manifest.inputs]),
    }
    if outcome.column_lineage:
        metadata |= _lineage_metadata(outcome.column_lineage)
    return metadata


def _lineage_metadata(lineage: Mapping[str, Sequence[Sequence[str]]]) -> dict[str, Any]:
    deps = {
        column: [
            dg.TableColumnDep(asset_key=dg.AssetKey(table), column_name=name)
            for table, name in sources
        ]
        for column, sources in lineage.items()
    }
    rows = [
        {"column": column, "from": ", ".join(f"{t}.{c}" for t, c in sources) or "computed"}
        for column, sources in lineage.items()
    ]
    return {
        "dagster/column_lineage": dg.TableColumnLineage(deps),
        "column lineage": dg.MetadataValue.md(markdown_table(rows)),
    }


def _check_result(artifact: Artifact, report: CheckReport) -> dg.AssetCheckResult:
    outcome = report.outcome
    metadata = {key: _value(value) for key, value in outcome.metadata.items()}
    return dg.AssetCheckResult(
        check_name=report.name,
        asset_key=artifact.name,
        passed=outcome.passed,
        severity=dg.AssetCheckSeverity.ERROR
        if outcome.severity == "error"
        else dg.AssetCheckSeverity.WARN,
        description=outcome.description,
        metadata=metadata,
    )


def _value(value: Any) -> Any:
    if isinstance(value, bool | int | float | str):
        if isinstance(value, str) and value.startswith(("http://", "https://", "file://")):
            return dg.MetadataValue.url(value)
        return value
    if value is None:
        return dg.MetadataValue.null()
    if isinstance(value, Path):
        return dg.MetadataValue.path(str(value))
    return dg.MetadataValue.json(json.loads(json.dumps(value, default=str)))


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of dicts as a Markdown table; the first row's keys are the columns."""
    if not rows:
        return "(no rows)"
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for row in rows:
        cells = [_cell(row.get(column)) for column in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("|", "\\|").replace("\n", " ")
