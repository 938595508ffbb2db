"""LightGCN, a rival: linear propagation of learned community vectors, no text, no attention.

What lives here: the architecture. What does not: its training, which is that of GATv2.

He et al. 2020 learn a vector per user as well; those do not exist for new users, so a user starts as
the first hop from the communities (the usual inductive form). With d_u messages of a user and d_s
users of a community, for layers l = 1…L:

    e_s⁰ learned, e_u⁰ = Σ_s e_s⁰ / √(d_u d_s)
    e_uˡ = Σ_s e_sˡ⁻¹ / √(d_u d_s), e_sˡ = Σ_u e_uˡ⁻¹ / √(d_u d_s)
    z_u = c Σ_l e_uˡ / (L + 1), z_s = [Σ_l e_sˡ / (L + 1) ; offset_s]

(From e_u⁰ = 0, every second term of either side would vanish.) d_s is that of the whole graph,
whichever sample of users is read: the log share stands for it, p_s = (1 + d_s) / U, and the mean over
the sample's users for the sum over all U. That is the formula above with users √U times longer, which
the learned c takes in.
"""
# ruff: noqa: TID253  (torch is this module's subject)

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zipp_dagster.encoder.inputs import CommunityTensors, MessageTensors

# ln c at the start: users of rare communities have long vectors, by which large graphs overfit at
# once. With 0, a planted graph of 2,000 communities lost a twentieth of its MRR.
START = -1.8


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
        self.log_scale = nn.Parameter(torch.tensor(START))

    def forward(
        self, messages: MessageTensors, communities: CommunityTensors
    ) -> tuple[Float[Tensor, "users dim"], Float[Tensor, "subreddits dim"]]:
        """Embed the users of the messages and all communities (their text is not read)."""
        subreddit = self.subreddit_id.weight
        degree = torch.bincount(messages.user, minlength=messages.users).to(subreddit.dtype)
        share = communities.log_share.exp()
        weight = (degree[messages.user] * share[messages.subreddit])[:, None] ** -0.5

        def to_users(states: Tensor) -> Tensor:
            sums = states.new_zeros((messages.users, states.shape[1]))
            told = states.index_select(0, messages.subreddit) * weight
            return sums.index_add(0, messages.user, told)

        def to_subreddits(states: Tensor) -> Tensor:
            told = states.index_select(0, messages.user) * weight
            sums = torch.zeros_like(subreddit).index_add(0, messages.subreddit, told)
            return sums / max(messages.users, 1)

        user = to_users(subreddit)
        users, subreddits = [user], [subreddit]
        for _ in range(self.layers):
            user, subreddit = to_users(subreddit), to_subreddits(user)
            users.append(user)
            subreddits.append(subreddit)
        mean_user = torch.stack(users).mean(0) * self.log_scale.exp()
        mean_subreddit = torch.stack(subreddits).mean(0)
        one = mean_user.new_ones((len(mean_user), 1))
        return (
            torch.cat([mean_user, one], dim=1),
            torch.cat([mean_subreddit, self.offset[:, None]], dim=1),
        )
