"""The losses against sums written out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from zipp_dagster.encoder.losses import draw_candidates, image_align_loss, link_loss


def everything(count: int):
    return torch.arange(count), torch.zeros(count)


def test_with_all_communities_the_link_loss_is_the_softmax_without_known_links():
    torch.manual_seed(0)
    users, subreddits = torch.randn(2, 3), torch.randn(5, 3)
    known = (torch.tensor([0, 0, 1]), torch.tensor([1, 4, 2]))
    loss = link_loss(
        users, subreddits, torch.tensor([0, 1]), torch.tensor([4, 2]), known, *everything(5)
    )
    logits = users @ subreddits.T
    first = logits[0, [4, 0, 2, 3]].log_softmax(0)[0]
    second = logits[1, [2, 0, 1, 3, 4]].log_softmax(0)[0]
    assert float(loss) == pytest.approx(-float(first + second) / 2, abs=1e-5)


def test_sampled_denominators_agree_with_the_full_one_on_average():
    torch.manual_seed(1)
    users, subreddits = torch.randn(4, 8) * 0.5, torch.randn(400, 8) * 0.5
    popularity = torch.randn(400)
    target_user, target = torch.arange(4), torch.tensor([3, 50, 200, 399])
    known = (target_user, target)
    full = link_loss(users, subreddits, target_user, target, known, *everything(400))
    generator = torch.Generator().manual_seed(0)
    sampled = [
        link_loss(
            users, subreddits, target_user, target, known,
            *draw_candidates(popularity, 100, generator),
        )
        for _ in range(200)
    ]  # fmt: skip
    assert float(torch.stack(sampled).mean()) == pytest.approx(float(full), abs=0.02)
    # Without the correction, the sample of a quarter would look like a quarter of the classes.
    candidates, _ = draw_candidates(popularity, 100, generator)
    wrong = link_loss(
        users, subreddits, target_user, target, known, candidates, torch.zeros(len(candidates))
    )
    assert float(full) - float(wrong) > 0.5


def test_few_communities_are_all_candidates_once():
    candidates, log_expected = draw_candidates(torch.randn(7), 7, torch.Generator())
    assert candidates.tolist() == list(range(7))
    assert not log_expected.any()


def test_image_align_averages_over_the_own_images_and_then_over_users():
    projected = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    owner = torch.tensor([0, 1, 1])  # the third user posted nothing
    loss = image_align_loss(projected, images, owner, temperature=0.5)

    def surprise(cosines: list[float], index: int) -> float:
        scaled = [value / 0.5 for value in cosines]
        return math.log(sum(map(math.exp, scaled))) - scaled[index]

    first = surprise([1.0, 0.0, 0.6], 0)
    second = (surprise([0.0, 1.0, 0.8], 1) + surprise([0.0, 1.0, 0.8], 2)) / 2
    assert float(loss) == pytest.approx((first + second) / 2, abs=1e-5)


def test_image_align_prefers_users_at_their_own_images():
    images = torch.eye(3)
    owner = torch.arange(3)
    right = image_align_loss(images, images, owner, 0.1)
    wrong = image_align_loss(images.roll(1, 0), images, owner, 0.1)
    assert right < 0.01 < wrong
