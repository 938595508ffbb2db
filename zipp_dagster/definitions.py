"""The Dagster code location: assets, resources, jobs, schedules and sensors.

`workspace.yaml` points here. Tests swap resources: `build_defs(resource_overrides={…})`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets.catalogue import catalogue
from resources import default_resources
from zipp_dagster.automation import automation
from zipp_dagster.platform.dagster_assets import dagster_assets
from zipp_dagster.platform.executors import executor_of
from zipp_dagster.settings import settings


def build_defs(resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Everything that Dagster loads."""
    entries = catalogue()
    return dg.Definitions.merge(
        dg.Definitions(
            assets=dagster_assets(entries),
            resources={**default_resources(), **(resource_overrides or {})},
            executor=executor_of(settings().operation),
        ),
        automation(entries, settings().operation),
    )


defs = build_defs()
