"""The compute engine as a resource."""

from __future__ import annotations

import dagster as dg

from resources.settings import SettingsResource
from zipp_dagster.platform.compute import Compute


class ComputeResource(dg.ConfigurableResource[Compute]):
    """Maps functions over items: local threads."""

    settings: SettingsResource

    def get(self) -> Compute:
        """The engine that the settings name."""
        return Compute.from_settings(self.settings.get().compute)
