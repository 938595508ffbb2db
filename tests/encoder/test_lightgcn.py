"""LightGCN is the paper's propagation, at the same scale whichever sample of users it reads."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from zipp_dagster.encoder.inputs import CommunityTensors, MessageTensors
from zipp_dagster.encoder.lightgcn import START, LightGCN
from zipp_dagster.graph.features import log_share
from zipp_dagster.graph.sampling import messages_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def communities(data) -> CommunityTensors:
    degree = data.graph.subreddit_counts(data.split.messages)
    share = torch.from_numpy(log_share(degree, data.graph.users))
    return CommunityTensors(torch.from_numpy(data.text), share)


def embedded(data, communities, module, users) -> tuple[np.ndarray, np.ndarray]:
    """Without the last column, the offset."""
    messages = MessageTensors.of(messages_of(data.graph, users, data.split.messages), CPU)
    with torch.inference_mode():
        vectors, subreddits = module(messages, communities)
    return vectors[:, :-1].numpy(), subreddits[:, :-1].numpy()


def a_module(data, layers: int) -> LightGCN:
    torch.manual_seed(0)
    return LightGCN(data.graph.subreddits, 16, layers)


def test_a_batch_and_the_whole_graph_give_the_same_expected_norms(data, communities):
    module = a_module(data, 2)
    order = np.random.default_rng(0).permutation(data.graph.users)
    everybody, subreddits = embedded(data, communities, module, np.arange(data.graph.users))
    batches = [
        embedded(data, communities, module, np.sort(users)) for users in np.array_split(order, 10)
    ]
    norms = np.concatenate([np.linalg.norm(users, axis=1) for users, _ in batches])
    # Ten times as many users. What is left is chance: fifty users are a noisy mean of all.
    assert norms.mean() == pytest.approx(np.linalg.norm(everybody, axis=1).mean(), rel=0.1)
    # The batches are equally large: their means over users average to that over everybody.
    mean = np.mean([part for _, part in batches], axis=0)
    assert np.abs(mean - subreddits).max() < 0.1 * np.linalg.norm(subreddits, axis=1).mean()


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_it_is_the_propagation_of_the_paper_up_to_a_factor(data, communities, layers):
    module = a_module(data, layers)
    messages = messages_of(data.graph, np.arange(data.graph.users), data.split.messages)
    table = np.zeros((data.graph.users, data.graph.subreddits))
    table[messages.user, messages.subreddit] = 1.0
    # One more user of each community than there are, as in the log share.
    spread = table / np.sqrt(table.sum(1).clip(1)[:, None] * (1.0 + table.sum(0)))
    subreddit = module.subreddit_id.weight.detach().double().numpy()
    user = spread @ subreddit
    users, subreddits = [user], [subreddit]
    for _ in range(layers):
        user, subreddit = spread @ subreddit, spread.T @ user
        users.append(user)
        subreddits.append(subreddit)
    found = embedded(data, communities, module, np.arange(data.graph.users))
    factor = data.graph.users**0.5 * math.exp(START)
    assert found[0] == pytest.approx(factor * np.mean(users, axis=0), abs=1e-4)
    assert found[1] == pytest.approx(np.mean(subreddits, axis=0), abs=1e-5)


def test_every_layer_changes_users_and_communities_by_more_than_their_length(data, communities):
    def directions(layers: int) -> tuple[np.ndarray, np.ndarray]:
        sides = embedded(data, communities, a_module(data, layers), np.arange(data.graph.users))
        return tuple(side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)

    found = [directions(layers) for layers in (1, 2, 3)]
    for fewer, more in pairwise(found):
        for before, after in zip(fewer, more, strict=True):
            assert (before * after).sum(axis=1).mean() < 0.999


def test_a_user_without_messages_has_a_zero_vector(data, communities):
    nothing = MessageTensors(
        1,
        torch.zeros(0, dtype=torch.int64),
        torch.zeros(0, dtype=torch.int64),
        torch.zeros((0, 4)),
    )
    users, subreddits = a_module(data, 2)(nothing, communities)
    assert (users[:, :-1] == 0).all() and users[0, -1] == 1
    assert torch.isfinite(subreddits).all()
