"""The settings of the run, and who watches it."""

from __future__ import annotations

from typing import ClassVar

import dagster as dg

from zipp_dagster.platform.observer import Observer
from zipp_dagster.settings import Settings, load_settings, settings


class SettingsResource(dg.ConfigurableResource[Settings]):
    """Reads the profile that `ZIPP_PROFILE` names, or the given one."""

    profile: str | None = None
    watching: ClassVar[Observer | None] = None

    def get(self) -> Settings:
        """The settings; SettingsError names a wrong key, where it was set and what is allowed."""
        return load_settings(self.profile) if self.profile else settings()

    def observer(self) -> Observer | None:
        """The command line while it runs a job, None where the run's log is enough."""
        return type(self).watching
