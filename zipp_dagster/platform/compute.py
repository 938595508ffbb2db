"""The engine that maps functions over items, as the settings name it.

Stages see `zipp_dagster.fanout.FanOut` only. The engine on a cluster is in `ray_engine`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zipp_dagster.fanout import FanOut, Local
from zipp_dagster.platform.config import ComputeSettings
from zipp_dagster.progress import Progress

if TYPE_CHECKING:
    from zipp_dagster.encoder.together import TrainingTask
    from zipp_dagster.encoder.training import TrainingReport


def engine_of(settings: ComputeSettings) -> FanOut:
    """The engine of `compute.engine`, connected.

    Raises:
        ComputeError: Ray is not installed, or its cluster cannot be reached.
    """
    if settings.engine == "ray":
        from zipp_dagster.platform.ray_engine import connect

        return connect(settings)
    return Local(settings.workers)


def train_in_processes(
    task: TrainingTask, compute: ComputeSettings, progress: Progress
) -> TrainingReport:
    """Trains with `encoder.train_workers` processes, where the engine has them."""
    if compute.engine == "ray":
        from zipp_dagster.platform.ray_training import train_on_ray

        return train_on_ray(task, compute, progress)
    from zipp_dagster.encoder.together import train_together

    return train_together(task, task.settings.train_workers)
