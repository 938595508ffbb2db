"""The lake as a resource."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from resources.settings import SettingsResource
from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.object_lake import open_lake


class LakeResource(dg.ConfigurableResource[Lake]):
    """The lake below `ZIPP_HOME` or at `lake.url`, or below another folder."""

    settings: SettingsResource
    root: str | None = None

    def get(self) -> Lake:
        """The lake."""
        if self.root:
            return Lake(Path(self.root))
        settings = self.settings.get()
        return open_lake(settings.lake.url, settings.home_directory, settings.lake.cache_gib)
