"""Training in several processes: the task that each of them gets, and starting them on one machine.

What lives here: `train_member` for any process group, and `train_together` on this machine. What
does not: the loop (`training`), and starting processes on a cluster (`zipp_dagster.platform`).
"""
# ruff: noqa: TID253  (torch is this module's subject)

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import torch
import torch.distributed as dist
import torch.multiprocessing

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.peers import ALONE, Peers, ProcessGroup
from zipp_dagster.encoder.training import TrainingReport, train
from zipp_dagster.encoder.training_setup import choose_device
from zipp_dagster.progress import Progress, silent


@dataclass(frozen=True)
class TrainingTask:
    """The arguments of `train`, for another process; all directories are seen by all."""

    graph_dir: Path
    split_dir: Path
    features_dir: Path
    visual: pa.Table | None
    settings: EncoderSettings
    out_dir: Path
    scratch_dir: Path


def train_member(task: TrainingTask, progress: Progress = silent) -> TrainingReport:
    """Trains as one of torch's process group; the first of them tells progress and writes."""
    peers = ProcessGroup()
    return _train(task, progress if peers.rank == 0 else silent, peers)


def train_alone(task: TrainingTask, progress: Progress = silent) -> TrainingReport:
    """Trains in this process."""
    return _train(task, progress, ALONE)


def _train(task: TrainingTask, progress: Progress, peers: Peers) -> TrainingReport:
    return train(
        task.graph_dir,
        task.split_dir,
        task.features_dir,
        task.visual,
        task.settings,
        task.out_dir,
        task.scratch_dir,
        progress,
        peers=peers,
    )


def train_together(task: TrainingTask, processes: int) -> TrainingReport:
    """Trains in so many processes of this machine (gloo). One that dies ends all, with its error.

    On GPUs each process has its own: the setting is then `cuda`, not one of them by number.

    Raises:
        ValueError: fewer GPUs than processes.
        ProcessRaisedException, ProcessExitedException: what ended a process (torch's own).
    """
    on_gpus = own_gpus(task.settings.device, processes)
    with TemporaryDirectory(prefix="zipp-train-") as meeting:
        report = Path(meeting) / "report.json"
        torch.multiprocessing.spawn(
            _member, (processes, meeting, task, report, on_gpus), nprocs=processes, join=True
        )
        return TrainingReport(**json.loads(report.read_text()))


def own_gpus(device: str, processes: int) -> bool:
    """Whether the processes train on GPUs, of which each needs one.

    Raises:
        ValueError: there are fewer, or the setting names one of them for all.
    """
    chosen = choose_device(device)
    if chosen.type != "cuda":
        return False
    if chosen.index is not None:
        raise ValueError(
            f"encoder.device is {device}, one GPU, but encoder.train_workers is {processes}: set "
            "encoder.device to cuda, so that each process has its own, or train_workers to 1."
        )
    if (found := torch.cuda.device_count()) < processes:
        raise ValueError(
            f"encoder.train_workers is {processes}, but this machine has {found} GPUs, and each "
            "process needs its own: lower train_workers, or set encoder.device to cpu."
        )
    return True


def _member(
    rank: int, processes: int, meeting: str, task: TrainingTask, report: Path, on_gpus: bool
) -> None:
    if on_gpus:
        # Not by the settings: they are written into the model, which is the same for all.
        torch.cuda.set_device(rank)
    where = f"file://{meeting}/meeting-point"
    dist.init_process_group("gloo", init_method=where, rank=rank, world_size=processes)
    try:
        found = train_member(task)
        if rank == 0:
            # A file, not a queue: who waits for the process does not read what it would send.
            report.write_text(json.dumps(asdict(found)))
    finally:
        dist.destroy_process_group()
