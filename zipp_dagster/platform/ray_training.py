"""Training the encoder by several workers of a Ray cluster (Ray Train, torch process group).

What does not live here: what each worker does (`zipp_dagster.encoder.together`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from zipp_dagster.fanout import Need
from zipp_dagster.platform.config import ComputeSettings
from zipp_dagster.platform.ray_connection import ensure_connected, room_for
from zipp_dagster.platform.ray_reports import Reports, reporting
from zipp_dagster.progress import Progress

if TYPE_CHECKING:
    from zipp_dagster.encoder.together import TrainingTask
    from zipp_dagster.encoder.training import TrainingReport


def train_on_ray(
    task: TrainingTask, compute: ComputeSettings, progress: Progress
) -> TrainingReport:
    """Trains with `encoder.train_workers` workers.

    A lost worker ends all; they start again from the last checkpoint in the scratch directory, at
    most `compute.max_retries` times.

    Raises:
        ComputeError: no cluster, or no room for a worker.
        TrainingFailedError: what a worker raised.
    """
    ensure_connected(compute)
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    encoder = task.settings
    gpu = encoder.device.startswith("cuda")
    room_for(Need(cpus=encoder.threads, gpus=1 if gpu else 0), compute)
    with Reports(progress) as reports:
        trainer = TorchTrainer(
            cast(Any, _worker),
            train_loop_config={"task": task, "board": reports.board},
            scaling_config=ScalingConfig(
                num_workers=encoder.train_workers,
                use_gpu=gpu,
                resources_per_worker={"CPU": encoder.threads} | ({"GPU": 1} if gpu else {}),
            ),
            run_config=RunConfig(
                name="ray-train",
                storage_path=str(task.scratch_dir),
                failure_config=FailureConfig(max_failures=compute.max_retries),
            ),
        )
        result = trainer.fit()
        reports.poll(10.0)
    return getattr(result, "return_value")  # noqa: B009  (Ray's stubs are of the older result)


def _worker(config: dict[str, Any]) -> TrainingReport:
    from zipp_dagster.encoder.together import train_member

    return train_member(config["task"], reporting(config["board"], 0))
