"""Several batches drawn side by side on a CPU.

A small denoiser is hundreds of short operations: two threads on one operation keep 1.2 cores busy,
two batches beside one another keep both. Weights are shared; each lane has a scheduler and
tokenizers of its own.
"""

# ruff: noqa: TID253  (torch: this module's subject)
from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import torch
from diffusers import SchedulerMixin
from transformers import PreTrainedTokenizerBase

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.pipelines import LoadedPipeline, denoiser

SMALL = 100_000_000
"""Weights of a denoiser below which one operation does not fill the cores."""

Batch = TypeVar("Batch")
Drawn = TypeVar("Drawn")


def lane_count(loaded: LoadedPipeline, settings: ImagingSettings) -> int:
    """How many batches are drawn at once: `imaging.lanes`, or what suits device and model."""
    if settings.lanes:
        return settings.lanes
    return torch.get_num_threads() if is_small(loaded) else 1


@contextmanager
def one_thread_where_small(loaded: LoadedPipeline) -> Iterator[None]:
    """One thread for a small denoiser on a CPU: another process has the other cores."""
    threads = torch.get_num_threads()
    if is_small(loaded):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def is_small(loaded: LoadedPipeline) -> bool:
    """Whether the denoiser is on a CPU whose cores one of its operations does not fill."""
    if loaded.device != "cpu":
        return False
    weights = sum(parameter.numel() for parameter in denoiser(loaded.pipeline).parameters())
    return weights < SMALL


def in_lanes(
    loaded: LoadedPipeline,
    lanes: int,
    batches: Sequence[Batch],
    work: Callable[[LoadedPipeline, Batch], Drawn],
) -> Iterator[Drawn]:
    """`work` on each batch, results in the order of the batches; the first error is raised.

    A lane's pipeline is a copy that shares all weights. At most two batches a lane are ahead of
    the caller.
    """
    lanes = min(lanes, len(batches))
    if lanes <= 1:
        yield from (work(loaded, batch) for batch in batches)
        return
    threads = torch.get_num_threads()
    own = deque(_copy(loaded) for _ in range(lanes))

    def drawn(batch: Batch) -> Drawn:
        torch.set_num_threads(max(1, threads // lanes))
        lane = own.popleft()
        try:
            return work(lane, batch)
        finally:
            own.append(lane)

    pool = ThreadPoolExecutor(lanes, thread_name_prefix="imaging-lane")
    try:
        yield from _in_order(pool, drawn, batches, 2 * lanes)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(threads)


def _in_order(
    pool: ThreadPoolExecutor,
    work: Callable[[Batch], Drawn],
    batches: Iterable[Batch],
    ahead: int,
) -> Iterator[Drawn]:
    waiting: deque[Future[Drawn]] = deque()
    for batch in batches:
        waiting.append(pool.submit(work, batch))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _copy(loaded: LoadedPipeline) -> LoadedPipeline:
    pipeline = copy.copy(loaded.pipeline)
    for name, part in loaded.pipeline.components.items():
        # Both keep what the last call asked for: a scheduler its step, a tokenizer its padding.
        if isinstance(part, SchedulerMixin | PreTrainedTokenizerBase):
            setattr(pipeline, name, copy.deepcopy(part))
    return replace(loaded, pipeline=pipeline)
