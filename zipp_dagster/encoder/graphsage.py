"""GraphSAGE, a rival: the mean of the neighbours, no attention and no edge features.

What lives here: its messages. What does not: the frame, which is that of GATv2 (`bipartite`).

Hamilton et al. 2017, mean aggregator: message(s → u) = W_l · mean_s h_s + W_r h_u.
"""
# ruff: noqa: TID253  (torch is this module's subject)

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zipp_dagster.encoder.bipartite import MESSAGE_START, BipartiteEncoder
from zipp_dagster.encoder.inputs import MessageTensors


class GraphSAGE(BipartiteEncoder):
    """Two-sided GraphSAGE over users × communities; arguments as `BipartiteEncoder`."""

    def __init__(
        self,
        subreddits: int,
        text_dim: int,
        hidden: int = 64,
        layers: int = 2,
        dropout: float = 0.0,
        id_dropout: float = 0.0,
    ) -> None:
        super().__init__(subreddits, text_dim, hidden, layers, dropout, id_dropout)

        def linear(bias: bool) -> nn.ModuleList:
            return nn.ModuleList(nn.Linear(hidden, hidden, bias=bias) for _ in range(layers))

        # Not PyG's SAGEConv: its scatter adds in any order with two threads, and so makes two
        # equal runs differ.
        self.user_neighbours, self.user_self = linear(True), linear(False)
        self.subreddit_neighbours, self.subreddit_self = linear(True), linear(False)
        with torch.no_grad():
            for layer in (*self.user_neighbours, *self.subreddit_neighbours):
                layer.weight.mul_(MESSAGE_START)

    def exchange(
        self, layer: int, user: Tensor, subreddit: Tensor, messages: MessageTensors
    ) -> tuple[Tensor, Tensor, Float[Tensor, " messages"]]:
        """Mean messages; every message of a user weighs the same."""
        to_user, degree = self.user_messages(layer, user, subreddit, messages)
        from_users, _ = _mean(user, messages.user, messages.subreddit, len(subreddit))
        to_subreddit = self.subreddit_messages(layer, from_users, subreddit)
        return to_user, to_subreddit, (1.0 / degree).index_select(0, messages.user)

    def user_messages(
        self, layer: int, user: Tensor, subreddit: Tensor, messages: MessageTensors
    ) -> tuple[Float[Tensor, "users dim"], Float[Tensor, " users"]]:
        """What users hear, and from how many communities (at least 1)."""
        mean, degree = _mean(subreddit, messages.subreddit, messages.user, len(user))
        return self.user_neighbours[layer](mean) + self.user_self[layer](user), degree

    def subreddit_messages(
        self, layer: int, from_users: Float[Tensor, "subreddits dim"], subreddit: Tensor
    ) -> Float[Tensor, "subreddits dim"]:
        """What communities hear, from the mean state of the users of each."""
        return self.subreddit_neighbours[layer](from_users) + self.subreddit_self[layer](subreddit)


def _mean(
    states: Float[Tensor, "sources dim"],
    source: Int[Tensor, " messages"],
    target: Int[Tensor, " messages"],
    targets: int,
) -> tuple[Float[Tensor, "targets dim"], Float[Tensor, " targets"]]:
    """Mean of the states that reach each target (zero where none does), and their number."""
    degree = torch.bincount(target, minlength=targets).clamp(min=1).to(states.dtype)
    sums = states.new_zeros((targets, states.shape[1]))
    sums = sums.index_add(0, target, states.index_select(0, source))
    return sums / degree[:, None], degree
