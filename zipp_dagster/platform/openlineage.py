"""The lake's manifests as OpenLineage events, for catalogues such as Marquez or DataHub.

Each kept version becomes one COMPLETE run event: the job is the asset, the inputs and the output are
datasets at exact versions, with schema, column lineage, row counts and the results of its checks.
Specification: https://openlineage.io/spec/2-0-2/OpenLineage.json
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zipp_dagster.platform.artifacts import Artifact, first_line
from zipp_dagster.platform.catalogue import Catalogue
from zipp_dagster.platform.erased import erased_record
from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.versions import InputRef, Manifest

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, RunEvent

PRODUCER = "urn:zipp_dagster"
RUNS = uuid.UUID("6d1f3d3e-7a55-5c0e-9d0b-3f6f7a6a9a11")
"""The namespace of run ids: the same version always has the same run."""


def events(
    lake: Lake, catalogue: Catalogue, namespace: str = "zipp", *, only_current: bool = False
) -> Iterator[RunEvent]:
    """One event a kept version, oldest first.

    Args:
        lake: where the manifests are.
        catalogue: descriptions, owners, contracts and SQL of the assets; a version of an asset that
            no longer exists is exported without them.
        namespace: the OpenLineage namespace of jobs and datasets.
        only_current: leave older and rejected versions out. Erased ones are never exported.
    """
    versions = sorted(
        (v for v in lake.every_version() if erased_record(v.folder) is None),
        key=lambda version: version.id,
    )
    if only_current:
        current = {
            version.id
            for asset in lake.assets()
            for partition in lake.partitions(asset)
            if (version := lake.find(asset, partition)) is not None
        }
        versions = [version for version in versions if version.id in current]
    lineage: dict[str, dict[str, list[list[str]]]] = {}
    for version in versions:
        entry = catalogue.get(version.asset)
        if entry is not None and entry.name not in lineage:
            lineage[entry.name] = catalogue.column_lineage(entry.name)
        yield _event(version.manifest, entry, lineage.get(version.asset, {}), namespace)


def _event(
    manifest: Manifest,
    entry: Artifact | None,
    columns: dict[str, list[list[str]]],
    namespace: str,
) -> RunEvent:
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
    from openlineage.client.facet_v2 import processing_engine_run

    engine = processing_engine_run.ProcessingEngineRunFacet(
        version=installed("dagster"), name="dagster", producer=PRODUCER
    )
    return RunEvent(
        eventType=RunState.FAIL if manifest.rejected else RunState.COMPLETE,
        eventTime=manifest.created,
        producer=PRODUCER,
        run=Run(str(uuid.uuid5(RUNS, manifest.version)), {"processing_engine": engine}),
        job=Job(namespace, manifest.asset, _job_facets(entry)),
        inputs=[_input(ref, namespace) for ref in manifest.inputs]
        + [_file(file.path, file.sha256) for file in manifest.external_files],
        outputs=[_output(manifest, entry, columns, namespace)],
    )


def _job_facets(entry: Artifact | None) -> dict[str, Any]:
    from openlineage.client.facet_v2 import documentation_job, job_type_job, ownership_job, sql_job

    if entry is None:
        return {}
    facets: dict[str, Any] = {
        "jobType": job_type_job.JobTypeJobFacet("BATCH", "DAGSTER", "ASSET", producer=PRODUCER),
        "documentation": documentation_job.DocumentationJobFacet(
            first_line(entry.description), producer=PRODUCER
        ),
        "ownership": ownership_job.OwnershipJobFacet(
            [ownership_job.Owner(entry.owner)], producer=PRODUCER
        ),
    }
    if entry.sql is not None:
        facets["sql"] = sql_job.SQLJobFacet(entry.sql.query, "duckdb", producer=PRODUCER)
    return facets


def _name(asset: str, partition: str | None) -> str:
    return asset if partition is None else f"{asset}/{partition}"


def _input(ref: InputRef, namespace: str) -> InputDataset:
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import dataset_version_dataset

    version = dataset_version_dataset.DatasetVersionDatasetFacet(ref.version, producer=PRODUCER)
    return InputDataset(namespace, _name(ref.asset, ref.partition), facets={"version": version})


def _file(path: str, sha256: str) -> InputDataset:
    """A dump file: OpenLineage's naming for local files is namespace `file` and the absolute path."""
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import dataset_version_dataset

    version = dataset_version_dataset.DatasetVersionDatasetFacet(sha256, producer=PRODUCER)
    return InputDataset("file", Path(path).as_posix(), facets={"version": version})


def _output(
    manifest: Manifest,
    entry: Artifact | None,
    columns: dict[str, list[list[str]]],
    namespace: str,
) -> Any:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import (
        column_lineage_dataset,
        data_quality_assertions_dataset,
        dataset_version_dataset,
        output_statistics_output_dataset,
        schema_dataset,
    )

    assertions = [
        data_quality_assertions_dataset.Assertion(
            check["name"], check["passed"], severity=check["severity"]
        )
        for check in manifest.checks
    ]
    facets: dict[str, Any] = {
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(
            manifest.version, producer=PRODUCER
        )
    }
    if assertions:
        facets["dataQualityAssertions"] = (
            data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
                assertions, producer=PRODUCER
            )
        )
    if entry is not None and entry.contract is not None:
        fields = [
            schema_dataset.SchemaDatasetFacetFields(column.name, column.type, column.description)
            for column in entry.contract.columns
        ]
        facets["schema"] = schema_dataset.SchemaDatasetFacet(fields, producer=PRODUCER)
    if columns:
        # A column's table is an asset; its datasets are the months that were read.
        datasets: dict[str, list[str]] = {}
        for ref in manifest.inputs:
            datasets.setdefault(ref.asset, []).append(_name(ref.asset, ref.partition))
        sources = {
            column: column_lineage_dataset.Fields(
                [
                    column_lineage_dataset.InputField(namespace, dataset, name)
                    for table, name in found
                    for dataset in datasets.get(table, ())
                ]
            )
            for column, found in columns.items()
        }
        facets["columnLineage"] = column_lineage_dataset.ColumnLineageDatasetFacet(
            sources, producer=PRODUCER
        )
    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=manifest.rows,
        size=manifest.size,
        fileCount=len(manifest.files),
        producer=PRODUCER,
    )
    return OutputDataset(
        namespace,
        _name(manifest.asset, manifest.partition),
        {"outputStatistics": statistics},
        facets=facets,
    )
