"""What GATv2 and GraphSAGE share: inputs, residual layers in both directions, outputs.

What lives here: everything of a graph encoder but how messages are made and weighted. What does
not: that (`gatv2`, `graphsage`), losses, and training. So the ablation compares message passing,
and nothing else.

With text t, log share or log degree d, learned id vector e, and message edges (u, s):

    h_s⁰ = W_s [t_s ; d_s] + b_s + e_s            h_u⁰ = W_u [mean t over u's messages ; d_u] + b_u
    h_uˡ = LayerNorm(h_uˡ⁻¹ + ELU(messagesˡ(h_sˡ⁻¹ → h_uˡ⁻¹)))
    h_sˡ = LayerNorm(h_sˡ⁻¹ + ELU(messagesˡ(h_uˡ⁻¹ → h_sˡ⁻¹)))
    z_u = [O_u h_uᴸ ; 1], z_s = [O_s h_sᴸ ; p d_s],  logit(u, s) = z_u · z_s

p is learned and starts at 1: the last column is popularity, so that the others need not learn it.

Users have no parameters of their own, so a user never seen in training embeds like any other.
"""
# ruff: noqa: TID253  (torch is this module's subject)

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from zipp_dagster.encoder.inputs import CommunityTensors, MessageTensors

# Embeddings start short, so that the first scores are popularity and a little more; and messages
# start weak beside the states that they are added to.
START, MESSAGE_START = 0.3, 0.3


class BipartiteEncoder(nn.Module, ABC):
    """The frame of a two-sided encoder; a subclass makes `to_user` and `to_subreddit`.

    Args:
        subreddits: S, rows of the learned id table.
        text_dim: width of the text vectors.
        hidden: width of states and embeddings.
        layers: message-passing layers.
        dropout: on hidden states.
        id_dropout: share of communities whose id vector is hidden in a training step.

    Shapes:
        messages: edges (user, subreddit, 4 features).
        communities: text [S, text_dim], log_share [S].
        output: users [u, hidden], communities [S, hidden].
    """

    def __init__(
        self,
        subreddits: int,
        text_dim: int,
        hidden: int,
        layers: int,
        dropout: float = 0.0,
        id_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout, self.id_dropout = dropout, id_dropout
        self.subreddit_id = nn.Embedding(subreddits, hidden)
        nn.init.normal_(self.subreddit_id.weight, std=0.1)
        self.subreddit_in = nn.Linear(text_dim + 1, hidden)
        self.user_in = nn.Linear(text_dim + 1, hidden)
        self.user_norm = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(layers))
        self.subreddit_norm = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(layers))
        self.user_out = nn.Linear(hidden, hidden - 1)
        self.subreddit_out = nn.Linear(hidden, hidden - 1)
        self._start_as_text_similarity()
        self.popularity = nn.Parameter(torch.ones(1))

    def _start_as_text_similarity(self) -> None:
        # Both sides start with the same orthogonal maps, so that the first z_u · z_s is nearly the
        # similarity of texts: sparse tables have too few links to find that by themselves.
        with torch.no_grad():
            for user, subreddit in (
                (self.user_in, self.subreddit_in),
                (self.user_out, self.subreddit_out),
            ):
                nn.init.orthogonal_(user.weight)
                subreddit.weight.copy_(user.weight)
                user.bias.zero_()
                subreddit.bias.zero_()
            for side in (self.user_in, self.subreddit_in):
                side.weight[:, -1].zero_()
            for side in (self.user_out, self.subreddit_out):
                side.weight.mul_(START)

    @abstractmethod
    def exchange(
        self, layer: int, user: Tensor, subreddit: Tensor, messages: MessageTensors
    ) -> tuple[Tensor, Tensor, Float[Tensor, " messages"]]:
        """Messages to users, messages to communities, and each message's weight for its user."""

    def forward(
        self, messages: MessageTensors, communities: CommunityTensors
    ) -> tuple[Float[Tensor, "users dim"], Float[Tensor, "subreddits dim"]]:
        """Embed the users of the messages and all communities."""
        users, subreddits, _ = self.embed(messages, communities)
        return users, subreddits

    def embed(
        self, messages: MessageTensors, communities: CommunityTensors
    ) -> tuple[Tensor, Tensor, Float[Tensor, " messages"]]:
        """As `forward`, with the last layer's weight of each message for its user."""
        user, subreddit = self.inputs(messages, communities)
        weight = user.new_zeros(len(messages.user))
        for layer in range(len(self.user_norm)):
            user, subreddit = self._drop(user), self._drop(subreddit)
            to_user, to_subreddit, weight = self.exchange(layer, user, subreddit, messages)
            user = self.user_norm[layer](user + functional.elu(to_user))
            subreddit = self.subreddit_norm[layer](subreddit + functional.elu(to_subreddit))
        return *self.outputs(user, subreddit, communities), weight

    def outputs(
        self,
        user: Float[Tensor, "users dim"],
        subreddit: Float[Tensor, "subreddits dim"],
        communities: CommunityTensors,
    ) -> tuple[Float[Tensor, "users dim"], Float[Tensor, "subreddits dim"]]:
        """Z of users and communities, from their states after the last layer."""
        one = user.new_ones((len(user), 1))
        popularity = self.popularity * communities.log_share[:, None]
        users = torch.cat([self.user_out(user), one], dim=1)
        return users, torch.cat([self.subreddit_out(subreddit), popularity], dim=1)

    def inputs(
        self, messages: MessageTensors, communities: CommunityTensors
    ) -> tuple[Float[Tensor, "users dim"], Float[Tensor, "subreddits dim"]]:
        """h⁰ of users and communities; what is known of a user comes from the messages alone."""
        ids = self.subreddit_id.weight
        if self.training and self.id_dropout:
            ids = ids * (torch.rand(len(ids), 1, device=ids.device) >= self.id_dropout)
        known = torch.cat([communities.text, communities.log_share[:, None]], dim=1)
        # The mean is linear: project each community once, then average the projections.
        projected = communities.text @ self.user_in.weight[:, :-1].T
        degree = torch.bincount(messages.user, minlength=messages.users).to(projected.dtype)
        sums = projected.new_zeros((messages.users, projected.shape[1]))
        sums.index_add_(0, messages.user, projected.index_select(0, messages.subreddit))
        mean = sums / degree.clamp(min=1.0)[:, None]
        user = mean + torch.log1p(degree)[:, None] * self.user_in.weight[:, -1] + self.user_in.bias
        return user, self.subreddit_in(known) + ids

    def _drop(self, states: Tensor) -> Tensor:
        return functional.dropout(states, self.dropout, self.training)
