"""Batches: targets leave the messages, and every draw can be repeated."""

from __future__ import annotations

import numpy as np
import pytest

from zipp_dagster.graph.sampling import UserBlockSampler, messages_of
from zipp_dagster.graph.split import LinkSplit, temporal_split


@pytest.fixture()
def allowed(graph, tmp_path):
    (tmp_path / "split").mkdir()
    temporal_split(graph, tmp_path / "split", seed=0)
    return LinkSplit.open(tmp_path / "split", graph).training_messages(graph)


def sampler(graph, allowed, **options):
    defaults = {"users_per_batch": 64, "max_edges": 5, "target_share": 0.3, "seed": 1}
    return UserBlockSampler(graph, allowed, **(defaults | options))


def pairs(user, subreddit):
    return set(zip(user.tolist(), subreddit.tolist()))


def test_no_target_is_among_the_messages(graph, allowed):
    source = sampler(graph, allowed)
    for step in range(source.batches):
        batch = source.batch(0, step)
        messages = pairs(batch.messages.user, batch.messages.subreddit)
        targets = pairs(batch.target_user, batch.target_subreddit)
        assert targets
        assert not messages & targets
        assert messages | targets <= pairs(batch.known_user, batch.known_subreddit)


def test_only_training_edges_are_drawn_with_their_own_features(graph, allowed):
    edges = np.flatnonzero(allowed)
    owner = np.repeat(np.arange(graph.users), graph.degrees)
    features = {
        (int(owner[e]), int(graph.subreddit[e])): graph.features[e].astype(np.float32)
        for e in edges
    }
    batch = sampler(graph, allowed).batch(2, 0)
    for user, subreddit, row in zip(
        batch.messages.user, batch.messages.subreddit, batch.messages.features, strict=True
    ):
        expected = features[int(batch.user_index[user]), int(subreddit)]
        assert (row == expected).all()


def test_every_user_keeps_a_message_and_gives_a_target(graph, allowed):
    batch = sampler(graph, allowed).batch(0, 0)
    users = batch.messages.users
    messages = np.bincount(batch.messages.user, minlength=users)
    targets = np.bincount(batch.target_user, minlength=users)
    assert messages.min() >= 1
    assert targets.min() >= 1
    assert (messages + targets).max() <= 5


def test_an_epoch_visits_each_trainable_user_once(graph, allowed):
    source = sampler(graph, allowed)
    visited = np.concatenate([source.batch(3, step).user_index for step in range(source.batches)])
    assert sorted(visited.tolist()) == source.candidates.tolist()


def test_an_epoch_of_some_users_has_others_the_next_time(graph, allowed):
    source = sampler(graph, allowed, epoch_users=150)
    assert source.batches == 150 // 64
    first, second = (
        np.concatenate([source.batch(epoch, step).user_index for step in range(source.batches)])
        for epoch in (0, 1)
    )
    assert len(set(first.tolist())) == len(first) == 150
    assert set(first.tolist()) != set(second.tolist())
    assert (sampler(graph, allowed, epoch_users=150).batch(1, 1).user_index == second[75:]).all()


def test_ranks_share_an_epoch_without_overlap(graph, allowed):
    ranks = [sampler(graph, allowed, rank=rank, world_size=2) for rank in (0, 1)]
    seen = [set(s.batch(0, step).user_index.tolist()) for s in ranks for step in range(s.batches)]
    assert sum(map(len, seen)) == len(set.union(*seen)) == len(ranks[0].candidates)


def test_a_draw_depends_on_seed_epoch_and_step_alone(graph, allowed):
    late = sampler(graph, allowed)
    late.batch(0, 0)
    again, fresh = late.batch(1, 1), sampler(graph, allowed).batch(1, 1)
    assert (again.target_subreddit == fresh.target_subreddit).all()
    other = late.batch(2, 1)
    assert pairs(again.target_user, again.target_subreddit) != pairs(
        other.target_user, other.target_subreddit
    )


def test_a_graph_without_a_user_of_two_links_cannot_train(graph):
    with pytest.raises(ValueError, match="No user has two training links"):
        sampler(graph, np.zeros(graph.edges, dtype=bool))


def test_messages_of_given_users_are_their_allowed_edges(graph, allowed):
    users = np.array([7, 3])
    messages = messages_of(graph, users, allowed)
    for row, user in enumerate(users):
        edges = np.arange(graph.indptr[user], graph.indptr[user + 1])
        expected = graph.subreddit[edges[allowed[edges]]]
        assert messages.subreddit[messages.user == row].tolist() == expected.tolist()
