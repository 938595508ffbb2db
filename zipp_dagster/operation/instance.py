"""The Dagster instance of a ZIPP_HOME: its dagster.yaml, concurrency pools and months, made ready.

Every part may be called again: what is there stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

INSTANCE_FILE = """\
# Local use: SQLite below this folder, no telemetry, no newsletter pop-up.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  pools:
    default_limit: 2
    granularity: op
freshness:
  enabled: true
run_monitoring:
  enabled: true
retention:
  schedule:
    purge_after_days: 90
  sensor:
    purge_after_days:
      skipped: 7
      failure: 30
      success: 90
"""


def instance_folder(home: Path) -> Path:
    """DAGSTER_HOME of a ZIPP_HOME, with its dagster.yaml; an existing file is left as it is."""
    folder = home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "dagster.yaml"
    if not file.exists():
        file.write_text(INSTANCE_FILE)
    return folder


def open_instance(home: Path) -> Any:
    """The instance of DAGSTER_HOME where that is set (a deployment), else the one of a ZIPP_HOME."""
    import dagster as dg

    return dg.DagsterInstance.from_config(
        os.environ.get("DAGSTER_HOME") or str(instance_folder(home))
    )


def set_pools(instance: Any, limits: Mapping[str, int]) -> dict[str, int]:
    """Gives the concurrency pools their limits; returns those that changed."""
    storage = instance.event_log_storage
    before = {limit.name: limit.limit for limit in storage.get_pool_limits()}
    changed = {name: limit for name, limit in limits.items() if before.get(name) != limit}
    for name, limit in changed.items():
        storage.set_concurrency_slots(name, limit)
    return changed
