"""The two contrastive objectives: link prediction and ImageAlign.

What lives here: losses as functions of embeddings. What does not: batches and optimisation.
"""
# ruff: noqa: TID253  (torch is this module's subject)

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional


def link_loss(
    users: Float[Tensor, "users dim"],
    subreddits: Float[Tensor, "subreddits dim"],
    target_user: Int[Tensor, " targets"],
    target_subreddit: Int[Tensor, " targets"],
    known: tuple[Int[Tensor, " known"], Int[Tensor, " known"]],
    candidates: Int[Tensor, " candidates"],
    log_expected: Float[Tensor, " candidates"],
) -> Float[Tensor, ""]:
    """Sampled softmax over communities with popularity correction, averaged over the targets.

        −log( exp z_u·z_t / (exp z_u·z_t + Σ_c exp(z_u·z_c − log E_c)) )

    A candidate c that was drawn E_c times in expectation stands for 1/E_c communities, so the sum
    is an unbiased estimate of the full one, and drawing popular communities more often does not
    push their scores down (Bengio & Senécal 2008). With all communities and log E = 0 it is the
    exact softmax. Links that the user is known to have are no negatives.

    Args:
        users: z_u.
        subreddits: z_s.
        target_user: row of `users`.
        target_subreddit: row of `subreddits`.
        known: (user, subreddit) pairs that are links of the batch's users, targets included.
        candidates: rows of `subreddits` in the denominator.
        log_expected: log E_c; 0 where every community is a candidate once.
    """
    # index_select, not brackets: the gradient of an advanced index adds in any order, and so makes
    # two equal runs differ. Communities that are no candidates have column -1.
    column = torch.full((len(subreddits),), -1, dtype=torch.long, device=users.device)
    column[candidates] = torch.arange(len(candidates), device=users.device)
    scores = users @ subreddits.index_select(0, candidates).T - log_expected
    known_user, known_column = known[0], column[known[1]]
    hit = known_column >= 0
    scores = scores.index_put(
        (known_user[hit], known_column[hit]), scores.new_tensor(-1e9), accumulate=False
    )
    others = torch.logsumexp(scores.float(), dim=1)
    target = (
        (users.index_select(0, target_user) * subreddits.index_select(0, target_subreddit))
        .sum(dim=1)
        .float()
    )
    return (torch.logaddexp(others.index_select(0, target_user), target) - target).mean()


def image_align_loss(
    projected: Float[Tensor, "users dim"],
    images: Float[Tensor, "images dim"],
    owner: Int[Tensor, " images"],
    temperature: float,
) -> Float[Tensor, ""]:
    """ImageAlign: InfoNCE from users to the images they posted, with several positives each.

    Each image of the batch is classified against all others; a user's loss is the mean over the
    own images (the "out" form of Khosla et al. 2020), and users weigh the same. Users without an
    image in the batch do not count as anchors.

    Args:
        projected: users in image space; normalised here.
        images: unit-norm image embeddings.
        owner: row of `projected` for each image.
        temperature: of the softmax.
    """
    anchors = functional.normalize(projected.float(), dim=1)
    logits = anchors @ images.float().T / temperature
    log_probability = logits.log_softmax(dim=1)[
        owner, torch.arange(len(owner), device=owner.device)
    ]
    count = torch.bincount(owner, minlength=len(projected))
    per_image = 1.0 / count[owner].to(log_probability.dtype)
    return -(log_probability * per_image).sum() / (count > 0).sum().clamp(min=1)


def draw_candidates(
    log_popularity: Float[Tensor, " subreddits"],
    count: int,
    generator: torch.Generator,
) -> tuple[Int[Tensor, " candidates"], Float[Tensor, " candidates"]]:
    """Communities for the denominator and the log of how often each was expected to be drawn.

    All of them, once, where there are at most `count`. Else a Poisson sample: community s is taken
    with probability min(1, count · q_s), q ∝ popularity^0.75, so each appears once at most.
    """
    if len(log_popularity) <= count:
        everything = torch.arange(len(log_popularity), device=log_popularity.device)
        return everything, torch.zeros_like(log_popularity)
    expected = (count * (0.75 * log_popularity).softmax(dim=0)).clamp(max=1.0)
    taken: Bool[Tensor, " subreddits"] = (
        torch.rand(len(expected), generator=generator).to(expected.device) < expected
    )
    candidates = taken.nonzero().squeeze(1)
    return candidates, expected[candidates].log()
