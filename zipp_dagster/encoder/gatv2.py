"""The persona encoder: a bipartite, edge-aware GATv2 in both directions, for training with PyG.

What lives here: its messages. What does not: the frame around them (`bipartite`), losses,
training, and whole-graph inference (`inference` computes the same function without PyG; a test
holds them equal).

For a head, with edge features x and the softmax over a user's (a community's) messages:

    message(s → u) = Σ_s softmax_s( a · LeakyReLU(W_l h_s + W_r h_u + W_e x_us) ) W_l h_s

Brody et al. 2022 (GATv2); ZIPP section 3 (two layers, edge features, inductive).
"""
# ruff: noqa: TID253  (torch is this module's subject)

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zipp_dagster.encoder.bipartite import MESSAGE_START, BipartiteEncoder
from zipp_dagster.encoder.inputs import MessageTensors

NEGATIVE_SLOPE = 0.2
EDGE_FEATURES = 4


class GATv2Encoder(BipartiteEncoder):
    """Two-sided GATv2 over users × communities.

    Args:
        subreddits, text_dim, hidden, layers, dropout, id_dropout: see `BipartiteEncoder`.
        heads: attention heads; divides `hidden`.
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
        super().__init__(subreddits, text_dim, hidden, layers, dropout, id_dropout)
        # Imported here: PyG takes seconds to import, and inference does without it.
        from torch_geometric.nn.conv import GATv2Conv

        self.register_buffer("edge_mean", torch.zeros(EDGE_FEATURES))
        self.register_buffer("edge_std", torch.ones(EDGE_FEATURES))

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
        with torch.no_grad():
            for layer in (*self.to_user, *self.to_subreddit):
                layer.lin_l.weight.mul_(MESSAGE_START)

    def exchange(
        self, layer: int, user: Tensor, subreddit: Tensor, messages: MessageTensors
    ) -> tuple[Tensor, Tensor, Float[Tensor, " messages"]]:
        """Attention-weighted messages; the weight is the attention, averaged over the heads."""
        edge = (messages.features - self.edge_mean) / self.edge_std
        to_user = torch.stack([messages.subreddit, messages.user])
        from_subreddits, (_, alpha) = self.to_user[layer](
            (subreddit, user), to_user, edge, return_attention_weights=True
        )
        from_users = self.to_subreddit[layer]((user, subreddit), to_user.flip(0), edge)
        return from_subreddits, from_users, alpha.mean(dim=-1)
