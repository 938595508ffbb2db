"""LightGCN, a rival: linear propagation of learned community vectors, no text, no attention.

What lives here: the architecture. What does not: its training, which is that of GATv2.

He et al. 2020 learn a vector per user as well; those do not exist for new users, so here a user is
what the propagation brings (the usual inductive form): e_u⁰ = 0, e_s⁰ learned,
e_uˡ = Σ_s e_sˡ⁻¹ / √(d_u d_s), e_sˡ = Σ_u e_uˡ⁻¹ / √(d_u d_s), and the layers are averaged.
"""
# ruff: noqa: TID253  (torch is this module's subject)

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zipp_dagster.encoder.inputs import CommunityTensors, MessageTensors


class LightGCN(nn.Module):
    """Inductive LightGCN with a learned popularity offset per community.

    Shapes:
        output: users [u, hidden + 1], communities [S, hidden + 1]; the last column carries the
        offset, so that the dot product stays the whole score.
    """

    def __init__(self, subreddits: int, hidden: int = 64, layers: int = 2) -> None:
        super().__init__()
        self.layers = layers
        self.subreddit_id = nn.Embedding(subreddits, hidden)
        nn.init.normal_(self.subreddit_id.weight, std=0.1)
        self.offset = nn.Parameter(torch.zeros(subreddits))
        # Propagation shrinks vectors by the degrees; a learned scale undoes it for the logits.
        self.log_scale = nn.Parameter(torch.tensor(1.0))

    def forward(
        self, messages: MessageTensors, communities: CommunityTensors
    ) -> tuple[Float[Tensor, "users dim"], Float[Tensor, "subreddits dim"]]:
        """Embed the users of the messages and all communities (their text is not read)."""
        subreddit = self.subreddit_id.weight
        user = subreddit.new_zeros((messages.users, subreddit.shape[1]))
        user_degree = torch.bincount(messages.user, minlength=messages.users).clamp(min=1)
        degree = torch.bincount(messages.subreddit, minlength=len(subreddit)).clamp(min=1)
        weight = (user_degree[messages.user] * degree[messages.subreddit]).to(user.dtype) ** -0.5
        users, subreddits = [user], [subreddit]
        for _ in range(self.layers):
            new_user = torch.zeros_like(user).index_add_(
                0, messages.user, subreddit.index_select(0, messages.subreddit) * weight[:, None]
            )
            new_subreddit = torch.zeros_like(subreddit).index_add_(
                0, messages.subreddit, user.index_select(0, messages.user) * weight[:, None]
            )
            user, subreddit = new_user, new_subreddit
            users.append(user)
            subreddits.append(subreddit)
        mean_user = torch.stack(users).mean(0) * self.log_scale.exp()
        mean_subreddit = torch.stack(subreddits).mean(0)
        one = mean_user.new_ones((len(mean_user), 1))
        return (
            torch.cat([mean_user, one], dim=1),
            torch.cat([mean_subreddit, self.offset[:, None]], dim=1),
        )
