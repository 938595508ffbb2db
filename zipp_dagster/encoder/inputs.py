"""What every encoder reads, as tensors: message edges, and what is known about communities.

What lives here: the move from arrays to tensors and devices, and the one forward interface. What
does not: architectures (`gatv2`, `lightgcn`) and the arrays themselves (`zipp_dagster.graph`).
"""
# ruff: noqa: TID253  (torch is this module's subject)

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zipp_dagster.graph.sampling import Messages


@dataclass(frozen=True)
class MessageTensors:
    """Message edges on a device; `user` is ascending."""

    users: int
    user: Int[Tensor, " messages"]
    subreddit: Int[Tensor, " messages"]
    features: Float[Tensor, "messages 4"]

    @classmethod
    def of(cls, messages: Messages, device: torch.device) -> MessageTensors:
        """Copy an edge list to a device."""
        return cls(
            users=messages.users,
            user=torch.from_numpy(messages.user).to(device),
            subreddit=torch.from_numpy(messages.subreddit).to(device),
            features=torch.from_numpy(messages.features).to(device),
        )


@dataclass(frozen=True)
class CommunityTensors:
    """Per community: its text vector, and `zipp_dagster.graph.features.log_share`."""

    text: Float[Tensor, "subreddits text"]
    log_share: Float[Tensor, " subreddits"]


class LinkEncoder(Protocol):
    """Any trained encoder: message edges in, embeddings out; their dot product is the logit."""

    def __call__(
        self, messages: MessageTensors, communities: CommunityTensors
    ) -> tuple[Float[Tensor, "users dim"], Float[Tensor, "subreddits dim"]]:
        """Embed the users of the messages and all communities."""
        ...
