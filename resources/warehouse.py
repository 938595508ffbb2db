"""DuckDB as a resource."""

from __future__ import annotations

import dagster as dg

from resources.settings import SettingsResource
from zipp_dagster.platform.warehouse import Warehouse


class WarehouseResource(dg.ConfigurableResource[Warehouse]):
    """DuckDB connections within the memory, threads and spill folder of the settings."""

    settings: SettingsResource

    def get(self) -> Warehouse:
        """The connection factory."""
        chosen = self.settings.get()
        limits = chosen.warehouse
        return Warehouse(
            limits.memory_limit, limits.threads, chosen.home_directory / "spill", limits.row_bytes
        )
