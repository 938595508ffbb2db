"""Materialising an artifact: resolve its inputs, run its body, check the draft, publish it.

Dagster calls this from `dagster_assets`; a test calls it with a temporary lake and no Dagster.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from zipp_dagster.fanout import FanOut
from zipp_dagster.platform import sql_models
from zipp_dagster.platform.artifacts import (
    Artifact,
    Input,
    Inputs,
    Skip,
    Summary,
    Unchanged,
)
from zipp_dagster.platform.catalogue import Catalogue, Platform
from zipp_dagster.platform.checks import CheckReport, run_checks
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.registry import Registry
from zipp_dagster.platform.tracking import Tracker
from zipp_dagster.platform.versions import InputRef, Manifest, NotMaterialised, Version
from zipp_dagster.platform.warehouse import Warehouse
from zipp_dagster.platform.work_locks import making
from zipp_dagster.progress import Progress

PARTITION = "partition"
"""In a contract's settings: the month that a monthly model is computed for, not a setting."""

TRY = "~"
"""Before the number of a repeated try, at the end of a data version."""

Status = Literal["made", "unchanged", "skipped", "rejected"]


@dataclass(frozen=True)
class Expected:
    """What a materialisation would be made from now, and the data version that follows."""

    inputs: dict[str, Input]
    config: dict[str, Any]
    config_hash: str
    code_version: str
    data_version: str

    @property
    def refs(self) -> tuple[InputRef, ...]:
        """The input versions, in the order of the declaration."""
        return tuple(v.ref() for entry in self.inputs.values() for v in entry.versions)

    def fits(self, manifest: Manifest) -> bool:
        """Whether a version is made from just this, at the first try or a later one."""
        return manifest.data_version.partition(TRY)[0] == self.data_version

    def next_try(self, manifest: Manifest) -> str:
        """The data version of a version made from the same with another result."""
        return f"{self.data_version}{TRY}{int(manifest.data_version.partition(TRY)[2] or 0) + 1}"


@dataclass(frozen=True)
class Outcome:
    """How a materialisation ended."""

    artifact: Artifact
    partition: str | None
    status: Status
    version: Version
    summary: Summary
    checks: tuple[CheckReport, ...] = ()
    seconds: float = 0.0
    column_lineage: Mapping[str, list[list[str]]] = field(default_factory=dict)

    @property
    def failed_blocking_checks(self) -> list[CheckReport]:
        """The checks that kept the version from becoming current."""
        return [
            report
            for report in self.checks
            if report.blocking and not report.outcome.passed and report.outcome.severity == "error"
        ]


def expect(
    artifact: Artifact, partition: str | None, platform: Platform, catalogue: Catalogue
) -> Expected:
    """Resolves inputs and settings to the data version that a materialisation would have now.

    Raises:
        NotMaterialised: if an input has no current version.
    """
    inputs = {
        name: _resolve(catalogue[name], partition, artifact.partitioned, platform, catalogue)
        for name in artifact.inputs
    }
    config = _config(artifact, platform, partition)
    config_text = json.dumps(config, sort_keys=True)
    digest = hashlib.sha256()
    state = artifact.external_state(platform, partition) if artifact.external_state else ""
    for part in (artifact.name, partition or "", artifact.code_version, config_text, state):
        digest.update(f"{len(part)}:{part}".encode())
    for entry in () if artifact.version_by_content else inputs.values():
        for version in entry.versions:
            ref = version.ref()
            digest.update(f"{ref.asset}[{ref.partition}]={ref.data_version};".encode())
    return Expected(
        inputs=inputs,
        config=config,
        config_hash=hashlib.sha256(config_text.encode()).hexdigest()[:16],
        code_version=artifact.code_version,
        data_version=digest.hexdigest()[:32],
    )


def materialise(
    artifact: Artifact,
    partition: str | None,
    platform: Platform,
    catalogue: Catalogue,
    *,
    run_id: str | None = None,
    force: bool = False,
) -> Outcome:
    """Makes an artifact's current version, unless it is already what it would become.

    A version in which something failed for now is tried again where the artifact says so: it gets a
    data version of its own if something came of it, and stays as it is if not. A draft that fails a
    blocking check is published without becoming current ("rejected"). Where another run makes the
    same, this waits, and then most often finds it made.
    """

    def told(reason: str) -> None:
        platform.progress(0, 0, reason)

    with making(platform.lake.root, artifact.name, partition, told):
        return _materialise(artifact, partition, platform, catalogue, run_id, force)


def _materialise(
    artifact: Artifact,
    partition: str | None,
    platform: Platform,
    catalogue: Catalogue,
    run_id: str | None,
    force: bool,
) -> Outcome:
    started = time.monotonic()
    expected = expect(artifact, partition, platform, catalogue)
    current = platform.lake.find(artifact.name, partition)
    same = current if current and expected.fits(current.manifest) else None
    if same and not force and not artifact.why_again(platform, same):
        return _unchanged(artifact, partition, same)
    tried = same if same and artifact.try_again else None
    data_version = expected.next_try(tried.manifest) if tried else expected.data_version
    name = artifact.name if partition is None else f"{artifact.name}[{partition}]"
    tags = _run_tags(artifact, partition, expected, data_version, run_id)
    with (
        platform.lake.draft(artifact.name, partition, data_version) as draft,
        platform.registry.run(name, expected.config, tags) as tracker,
    ):
        draft.again = tried if not force else None
        skipped = _skip_reason(artifact, expected)
        summary = Summary(metadata={"skipped": skipped}) if skipped else Summary()
        if skipped is None:
            try:
                summary = _run_body(artifact, expected, draft, tracker, platform, catalogue)
            except Skip as reason:
                skipped = str(reason)
                summary = Summary(metadata={"skipped": skipped})
            except Unchanged as reason:
                if draft.again is None:
                    raise
                tracker.tag({"zipp.unchanged": str(reason)})
                return _unchanged(artifact, partition, draft.again)
        reports = run_checks(artifact, Inputs(expected.inputs), draft, platform, skipped)
        outcome = Outcome(artifact, partition, "made", Version(draft.directory), summary, reports)
        rejected = bool(outcome.failed_blocking_checks)
        external = summary.metadata.get("external_files", ())
        metadata = {k: v for k, v in summary.metadata.items() if k != "external_files"}
        seconds = time.monotonic() - started
        version = platform.lake.publish(
            draft,
            make_current=False,
            data_version=data_version,
            code_version=expected.code_version,
            config_hash=expected.config_hash,
            config=expected.config,
            inputs=expected.refs,
            run_id=run_id,
            seconds=round(seconds, 3),
            rows=summary.rows,
            skipped=skipped,
            metadata=metadata,
            checks=tuple(report.to_json() for report in reports),
            external_files=tuple(external),
            by_content=artifact.version_by_content,
        )
        _log(tracker, version, summary, seconds)
        if artifact.model_name and not rejected and not skipped:
            platform.registry.register(
                tracker,
                artifact.model_name,
                version.directory,
                asset=artifact.name,
                lake_version=version.id,
                metrics=_numbers(metadata),
                tags={"zipp.data_version": data_version},
            )
        if not rejected:
            platform.lake.point(version)
            draft.discard_scratch()
            if artifact.after_publish and not skipped:
                artifact.after_publish(platform, version)
    status: Status = "rejected" if rejected else "skipped" if skipped else "made"
    lineage = catalogue.column_lineage(artifact.name) if not skipped else {}
    return replace(
        outcome,
        status=status,
        version=version,
        seconds=seconds,
        column_lineage=lineage,
        summary=replace(summary, metadata=metadata),
    )


def _unchanged(artifact: Artifact, partition: str | None, current: Version) -> Outcome:
    manifest = current.manifest
    reports = tuple(CheckReport.from_json(entry) for entry in manifest.checks)
    summary = Summary(manifest.rows, manifest.metadata)
    return Outcome(artifact, partition, "unchanged", current, summary, reports)


def _resolve(
    upstream: Artifact,
    partition: str | None,
    same_partition: bool,
    platform: Platform,
    catalogue: Catalogue,
) -> Input:
    """The versions of an input: the same month, all active months, or the only one."""
    if not upstream.partitioned:
        return Input(upstream.name, [platform.lake.current(upstream.name)])
    if same_partition:
        return Input(upstream.name, [platform.lake.current(upstream.name, partition)])
    months = catalogue.active_partitions(platform)
    if not months:
        raise NotMaterialised(
            f"{upstream.name} has no month yet: run `zipp run`, or add dump files to reddit.dumps_dir"
        )
    return Input(upstream.name, [platform.lake.current(upstream.name, m) for m in months])


def _config(artifact: Artifact, platform: Platform, partition: str | None) -> dict[str, Any]:
    if artifact.sql is not None:
        settings = artifact.sql.contract.settings
        return {
            name: partition if path == PARTITION else _plain(platform.settings.value(path))
            for name, path in settings.items()
        }
    return {
        name: platform.settings.section(kind).outcome_values()
        for name, kind in artifact.sections.items()
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | frozenset | set) else value


def _skip_reason(artifact: Artifact, expected: Expected) -> str | None:
    for name, entry in expected.inputs.items():
        if entry.skipped and name not in artifact.optional:
            reason = entry.skipped
            return (
                reason
                if reason.startswith("needs ")
                else f"needs {name}, which was skipped: {reason}"
            )
    return None


def _run_body(
    artifact: Artifact,
    expected: Expected,
    draft: Draft,
    tracker: Tracker,
    platform: Platform,
    catalogue: Catalogue,
) -> Summary:
    if artifact.sql is not None:
        return _run_sql(artifact, expected, draft, platform, catalogue)
    arguments: dict[str, Any] = {}
    by_type: dict[Any, Any] = {
        Inputs: Inputs(expected.inputs),
        Draft: draft,
        Tracker: tracker,
        Warehouse: platform.warehouse,
        Registry: platform.registry,
        FanOut: platform.compute,
        Platform: platform,
        Progress: platform.progress,
    }
    for name, kind in artifact.parameters.items():
        if name in artifact.sections:
            arguments[name] = platform.settings.section(kind)
        elif kind in by_type:
            arguments[name] = by_type[kind]
        else:
            raise TypeError(f"{artifact.name}: nothing is known to pass as {name}: {kind}")
    return artifact.function(**arguments)


def _run_sql(
    artifact: Artifact,
    expected: Expected,
    draft: Draft,
    platform: Platform,
    catalogue: Catalogue,
) -> Summary:
    assert artifact.sql is not None
    files = {name: entry.files() for name, entry in expected.inputs.items()}
    empty = {n: c for n in artifact.inputs if (c := catalogue[n].contract) is not None}
    warehouse, ranges = platform.warehouse, 1
    contract = artifact.sql.contract
    if contract.ranges:
        input_rows = sql_models.input_rows(artifact.sql, files)
        ranges = warehouse.ranges(input_rows, contract.range_weight)
    rows = sql_models.run_model(
        artifact.sql,
        files,
        empty,
        expected.config,
        warehouse.connect,
        draft.directory,
        ranges,
        platform.progress,
        platform.compute,
        warehouse.need,
    )
    return Summary(rows=rows, metadata={"ranges": ranges} if ranges > 1 else {})


def _log(tracker: Tracker, version: Version, summary: Summary, seconds: float) -> None:
    tracker.tag({"zipp.lake_version": version.id})
    numbers = _numbers(summary.metadata) | {"seconds": seconds, "bytes": version.manifest.size}
    if summary.rows is not None:
        numbers["rows"] = summary.rows
    tracker.log_metrics(numbers)


def _numbers(metadata: Mapping[str, Any]) -> dict[str, float]:
    return {
        key: float(value)
        for key, value in metadata.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _run_tags(
    artifact: Artifact,
    partition: str | None,
    expected: Expected,
    data_version: str,
    run_id: str | None,
) -> dict[str, str]:
    return {
        "zipp.asset": artifact.name,
        "zipp.partition": partition or "",
        "zipp.code_version": expected.code_version,
        "zipp.data_version": data_version,
        "zipp.inputs": json.dumps([ref.to_json() for ref in expected.refs])[:5000],
        "dagster.run_id": run_id or "",
    }
