"""Processes that train one model together, each on its own ranges of users.

Data-parallel training by averaged gradients: what PyTorch's DistributedDataParallel computes, but
after the backward pass, because the loss reads several outputs of one module. All processes hold the
same weights after every step. Starting the processes is not done here.
"""
# ruff: noqa: TID253  (torch is this module's subject)

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.distributed as dist
from torch import nn


class Peers(Protocol):
    """Those that train together, as one of them sees it."""

    rank: int
    size: int

    def average(self, module: nn.Module) -> None:
        """Gives all processes the mean of their gradients."""
        ...

    def agree(self, values: Sequence[float]) -> list[float]:
        """Gives all processes the first one's values."""
        ...


class Alone:
    """No others."""

    rank, size = 0, 1

    def average(self, module: nn.Module) -> None:
        """Leaves the gradients as they are."""

    def agree(self, values: Sequence[float]) -> list[float]:
        """The values themselves."""
        return list(values)


ALONE = Alone()


class ProcessGroup:
    """The processes of torch's default process group, which must be there."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def average(self, module: nn.Module) -> None:
        """One message for all gradients: they are small, and each message has its latency.

        A parameter that got no gradient in this process counts as zero.
        """
        parameters = [p for p in module.parameters() if p.requires_grad]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        at = 0
        for gradient in gradients:
            gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
            at += gradient.numel()

    def agree(self, values: Sequence[float]) -> list[float]:
        """Machines of different kinds round differently: one of them decides."""
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        told = torch.tensor(list(values), dtype=torch.float64, device=device)
        dist.broadcast(told, src=0)
        return [float(value) for value in told.cpu()]
