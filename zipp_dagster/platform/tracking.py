"""One open MLflow run: its metrics, curves and tags, batched. Runs are opened by `registry`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
