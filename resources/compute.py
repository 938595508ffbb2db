"""The compute engine as a resource."""

from __future__ import annotations

import dagster as dg

from resources.settings import SettingsResource
from zipp_dagster.fanout import FanOut
from zipp_dagster.platform.compute import engine_of


class ComputeResource(dg.ConfigurableResource[FanOut]):
    """Maps functions over items: threads of this process, or a Ray cluster."""

    settings: SettingsResource

    def get(self) -> FanOut:
        """The engine that the settings name, connected."""
        return engine_of(self.settings.get().compute)
