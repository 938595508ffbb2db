"""The lake as a resource."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from resources.settings import SettingsResource
from zipp_dagster.platform.lake import Lake


class LakeResource(dg.ConfigurableResource[Lake]):
    """The lake below `ZIPP_HOME`, or below another folder."""

    settings: SettingsResource
    root: str | None = None

    def get(self) -> Lake:
        """The lake."""
        return Lake(Path(self.root) if self.root else self.settings.get().home_directory / "lake")
