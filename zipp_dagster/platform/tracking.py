"""MLflow's tracking store: one run a materialisation, with its metrics, curves and tags, batched."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

METRICS_A_BATCH = 500


@dataclass(frozen=True)
class Tracker:
    """One open MLflow run."""

    client: Any
    run_id: str

    def log_history(self, rows: Sequence[Mapping[str, float]], step_key: str = "step") -> None:
        """Logs curves, batched: one row a step, keys are metric names."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(key, float(value), now, int(row.get(step_key, position)))
            for position, row in enumerate(rows)
            for key, value in row.items()
            if key != step_key and isinstance(value, int | float)
        ]
        for start in range(0, len(metrics), METRICS_A_BATCH):
            batch = metrics[start : start + METRICS_A_BATCH]
            self.client.log_batch(self.run_id, metrics=batch)

    def log_metrics(self, values: Mapping[str, float]) -> None:
        """Logs single numbers in one call."""
        self.log_history([values])

    def tag(self, values: Mapping[str, str]) -> None:
        """Adds tags in one call."""
        from mlflow.entities import RunTag

        tags = [RunTag(key, str(value)[:5000]) for key, value in values.items()]
        self.client.log_batch(self.run_id, tags=tags)


class TrackingStore:
    """The MLflow runs of one ZIPP_HOME or of a server."""

    def __init__(self, tracking_uri: str, experiment: str, artifact_root: Path) -> None:
        self.tracking_uri = tracking_uri
        self.experiment = experiment
        self.artifact_root = artifact_root

    @classmethod
    def local(cls, folder: Path, tracking_uri: str | None, experiment: str) -> Self:
        """A SQLite store below a folder, unless a URI is given."""
        uri = tracking_uri or f"sqlite:///{folder / 'mlflow.db'}"
        return cls(uri, experiment, folder / "artifacts")

    @cached_property
    def client(self) -> Any:
        """MLflow's client; imported here, because that takes seconds."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("DO_NOT_TRACK", "true")
        logging.getLogger("alembic").setLevel(logging.WARNING)
        import mlflow

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        if self.tracking_uri.startswith("sqlite:///"):
            Path(self.tracking_uri.removeprefix("sqlite:///")).parent.mkdir(
                parents=True, exist_ok=True
            )
        return mlflow.MlflowClient(self.tracking_uri, self.tracking_uri)

    @cached_property
    def experiment_id(self) -> str:
        """The experiment's id; created with local artifact storage where it is new."""
        found = self.client.get_experiment_by_name(self.experiment)
        if found is not None:
            return str(found.experiment_id)
        location = self.artifact_root.as_uri() if self.tracking_uri.startswith("sqlite") else None
        return str(self.client.create_experiment(self.experiment, artifact_location=location))

    @contextmanager
    def run(
        self, name: str, params: Mapping[str, Any], tags: Mapping[str, str]
    ) -> Iterator[Tracker]:
        """One run a materialisation, ended as FINISHED or FAILED whatever happens."""
        from mlflow.entities import Param

        run = self.client.create_run(self.experiment_id, run_name=name, tags=dict(tags))
        tracker = Tracker(self.client, run.info.run_id)
        flat = [Param(key, str(value)[:6000]) for key, value in _flat(params).items()]
        status = "FAILED"
        try:
            for start in range(0, len(flat), 100):
                self.client.log_batch(tracker.run_id, params=flat[start : start + 100])
            yield tracker
            status = "FINISHED"
        finally:
            self.client.set_terminated(tracker.run_id, status)

    def close_runs_of(self, dagster_run: str) -> list[str]:
        """Ends the open MLflow runs of a Dagster run that was killed, as KILLED; their ids."""
        wanted = f"attributes.status = 'RUNNING' and tags.`dagster.run_id` = '{dagster_run}'"
        found = self.client.search_runs([self.experiment_id], filter_string=wanted)
        for run in found:
            self.client.set_terminated(run.info.run_id, "KILLED")
        return [run.info.run_id for run in found]

    def delete_runs(
        self,
        kept: Collection[str],
        before: datetime,
        *,
        spared: Collection[str | None] = (),
        dry_run: bool = False,
    ) -> list[str]:
        """Deletes runs of lake versions that are not kept, with their files; returns their ids.

        Of runs that made no version (failed, killed) those go that ended before a moment (UTC);
        running ones and those `spared` by id stay. A server keeps what it was told to delete until
        `mlflow gc` runs there.
        """
        gone = []
        for run in self._runs():
            info = run.info
            version = run.data.tags.get("zipp.lake_version")
            if info.run_id in spared or info.status in ("RUNNING", "SCHEDULED"):
                continue
            ended = datetime.fromtimestamp((info.end_time or info.start_time) / 1000, UTC)
            if version in kept or ended >= before:
                continue
            gone.append(info.run_id)
            if not dry_run:
                self._delete_run(info.run_id)
        return gone

    def _runs(self) -> Iterator[Any]:
        token = None
        while True:
            page = self.client.search_runs([self.experiment_id], max_results=1000, page_token=token)
            yield from list(page)
            token = page.token
            if not token:
                return

    def _delete_run(self, run_id: str) -> None:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        uri = self.client.get_run(run_id).info.artifact_uri
        if uri.startswith("file:") and Path(uri.removeprefix("file://")).is_dir():
            get_artifact_repository(uri).delete_artifacts()
        self.client.delete_run(run_id)
        # As `mlflow gc` does it; stores behind a server have no such method.
        delete = getattr(self.client._tracking_client.store, "_hard_delete_run", None)
        if delete is not None:
            delete(run_id)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{name}."))
        else:
            flat[name] = value
    return flat
