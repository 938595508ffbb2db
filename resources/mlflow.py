"""MLflow as a resource."""

from __future__ import annotations

import dagster as dg

from resources.settings import SettingsResource
from zipp_dagster.platform.registry import Registry


class MlflowResource(dg.ConfigurableResource[Registry]):
    """The tracking store and model registry: SQLite below `ZIPP_HOME`, or a server by URI."""

    settings: SettingsResource

    def get(self) -> Registry:
        """The registry; MLflow itself is imported when it is first used."""
        chosen = self.settings.get()
        return Registry.local(
            chosen.home_directory / "mlflow", chosen.mlflow.tracking_uri, chosen.mlflow.experiment
        )
