"""Dagster resources, one module a system. `default_resources()` builds all of them from settings."""

from __future__ import annotations

from typing import Any

from resources.compute import ComputeResource
from resources.lake import LakeResource
from resources.mlflow import MlflowResource
from resources.settings import SettingsResource
from resources.warehouse import WarehouseResource


def default_resources() -> dict[str, Any]:
    """The resources of the code location, by the keys that assets require."""
    settings = SettingsResource()
    return {
        "settings": settings,
        "lake": LakeResource(settings=settings),
        "warehouse": WarehouseResource(settings=settings),
        "mlflow": MlflowResource(settings=settings),
        "compute": ComputeResource(settings=settings),
    }
