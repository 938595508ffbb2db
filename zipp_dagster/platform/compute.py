"""The engine that maps functions over items, as the settings name it.

Stages see `zipp_dagster.fanout.FanOut` only. The engine on a cluster is in `ray_engine`.
"""

from __future__ import annotations

from zipp_dagster.fanout import FanOut, Threads
from zipp_dagster.platform.config import ComputeSettings


def engine_of(settings: ComputeSettings) -> FanOut:
    """The engine of `compute.engine`, connected.

    Raises:
        ComputeError: Ray is not installed, or its cluster cannot be reached.
    """
    if settings.engine == "ray":
        from zipp_dagster.platform.ray_engine import connect

        return connect(settings)
    return Threads(settings.workers)
