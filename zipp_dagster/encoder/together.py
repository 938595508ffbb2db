"""Training in several processes: the task that each of them gets, and starting them on one machine.

What lives here: `train_member` for any process group, and `train_together` on this machine. What
does not: the loop (`training`), and starting processes on a cluster (`zipp_dagster.platform`).
"""
# ruff: noqa: TID253  (torch is this module's subject)

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import torch.distributed as dist
import torch.multiprocessing

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.peers import ALONE, Peers, ProcessGroup
from zipp_dagster.encoder.training import TrainingReport, train
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
    """Trains in so many processes of this machine (gloo). One that dies ends all, with its error."""
    with TemporaryDirectory(prefix="zipp-train-") as meeting:
        results = torch.multiprocessing.get_context("spawn").SimpleQueue()
        torch.multiprocessing.spawn(
            _member, (processes, meeting, task, results), nprocs=processes, join=True
        )
        report: TrainingReport = results.get()
    return report


def _member(
    rank: int,
    processes: int,
    meeting: str,
    task: TrainingTask,
    results: torch.multiprocessing.SimpleQueue,
) -> None:
    where = f"file://{meeting}/meeting-point"
    dist.init_process_group("gloo", init_method=where, rank=rank, world_size=processes)
    try:
        report = train_member(task)
        if rank == 0:
            results.put(report)
    finally:
        dist.destroy_process_group()
