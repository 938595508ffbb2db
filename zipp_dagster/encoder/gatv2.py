"""The persona encoder: a bipartite, edge-aware GATv2 in both directions, for training with PyG.

What lives here: the architecture. What does not: losses, training, and whole-graph inference
(`inference` computes the same function without PyG; a test holds them equal).

With text t, log share or log degree d, learned id vector e, and message edges (u, s):

    h_s⁰ = W_s [t_s ; d_s] + b_s + e_s            h_u⁰ = W_u [mean t over u's messages ; d_u] + b_u
    h_uˡ = LayerNorm(h_uˡ⁻¹ + ELU(GATv2ˡ(h_sˡ⁻¹ → h_uˡ⁻¹)))
    h_sˡ = LayerNorm(h_sˡ⁻¹ + ELU(GATv2ˡ(h_uˡ⁻¹ → h_sˡ⁻¹)))
    z_u = O_u h_uᴸ, z_s = O_s h_sᴸ,  logit(u, s) = z_u · z_s

Brody et al. 2022 (GATv2); ZIPP section 3 (two layers, edge features, inductive). Users have no
parameters of their own, so a user never seen in training embeds like any other.
"""
# ruff: noqa: TID253  (torch is this module's subject)

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from zipp_dagster.encoder.inputs import CommunityTensors, MessageTensors

NEGATIVE_SLOPE = 0.2
EDGE_FEATURES = 4


class GATv2Encoder(nn.Module):
    """Two-sided GATv2 over users × communities.

    Args:
        subreddits: S, rows of the learned id table.
        text_dim: width of the text vectors.
        hidden: width of states and embeddings.
        heads: attention heads; divides `hidden`.
        layers: message-passing layers.
        dropout: on hidden states.
        id_dropout: share of communities whose id vector is hidden in a training step.

    Shapes:
        messages: edges (user, subreddit, 4 features).
        communities: text [S, text_dim], log_share [S].
        output: users [u, hidden], communities [S, hidden].
    """

    edge_mean: Tensor
    edge_std: Tensor

    def __init__(
        self,
        subreddits: int,
        text_dim: int,
        hidden: int = 64,
        heads: int = 4,
        layers: int = 2,
        dropout: float = 0.0,
        id_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        # Imported here: PyG takes seconds to import, and inference does without it.
        from torch_geometric.nn.conv import GATv2Conv

        self.dropout, self.id_dropout = dropout, id_dropout
        self.register_buffer("edge_mean", torch.zeros(EDGE_FEATURES))
        self.register_buffer("edge_std", torch.ones(EDGE_FEATURES))
        self.subreddit_id = nn.Embedding(subreddits, hidden)
        nn.init.normal_(self.subreddit_id.weight, std=0.1)
        self.subreddit_in = nn.Linear(text_dim + 1, hidden)
        self.user_in = nn.Linear(text_dim + 1, hidden)

        def attention() -> GATv2Conv:
            # Self loops would connect user i to community i: the default corrupts this graph.
            return GATv2Conv(
                (hidden, hidden),
                hidden // heads,
                heads=heads,
                edge_dim=EDGE_FEATURES,
                negative_slope=NEGATIVE_SLOPE,
                add_self_loops=False,
            )

        self.to_user = nn.ModuleList(attention() for _ in range(layers))
        self.to_subreddit = nn.ModuleList(attention() for _ in range(layers))
        self.user_norm = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(layers))
        self.subreddit_norm = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(layers))
        self.user_out = nn.Linear(hidden, hidden)
        self.subreddit_out = nn.Linear(hidden, hidden)

    def forward(
        self, messages: MessageTensors, communities: CommunityTensors
    ) -> tuple[Float[Tensor, "users dim"], Float[Tensor, "subreddits dim"]]:
        """Embed the users of the messages and all communities."""
        users, subreddits, _ = self.embed(messages, communities)
        return users, subreddits

    def embed(
        self, messages: MessageTensors, communities: CommunityTensors
    ) -> tuple[Tensor, Tensor, Float[Tensor, " messages"]]:
        """As `forward`, with the last layer's attention of users, averaged over the heads."""
        user, subreddit = self.inputs(messages, communities)
        edge = (messages.features - self.edge_mean) / self.edge_std
        to_user = torch.stack([messages.subreddit, messages.user])
        to_subreddit = to_user.flip(0)
        alpha = edge.new_zeros((len(edge), 1))
        for layer in range(len(self.to_user)):
            user, subreddit = self._drop(user), self._drop(subreddit)
            from_subreddits, (_, alpha) = self.to_user[layer](
                (subreddit, user), to_user, edge, return_attention_weights=True
            )
            from_users = self.to_subreddit[layer]((user, subreddit), to_subreddit, edge)
            user = self.user_norm[layer](user + functional.elu(from_subreddits))
            subreddit = self.subreddit_norm[layer](subreddit + functional.elu(from_users))
        return self.user_out(user), self.subreddit_out(subreddit), alpha.mean(dim=-1)

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
