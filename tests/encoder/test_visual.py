"""Images are lined up with users, and held-out communities' images stay out of training."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from zipp_dagster.encoder.visual import align_images, training_images
from zipp_dagster.graph.split import TEST


def table(user_ids, vectors, **extra) -> pa.Table:
    vectors = pa.array([list(map(float, vector)) for vector in vectors], pa.list_(pa.float32()))
    return pa.table({"user_id": pa.array(user_ids, pa.uint64()), "embedding": vectors, **extra})


def test_images_are_grouped_by_user_and_strangers_left_out(data):
    ids = data.graph.user_ids
    images = align_images(data.graph, table([ids[7], 10**18, ids[2], ids[7]], np.eye(4)))
    assert images.count[[2, 7]].tolist() == [1, 2]
    assert images.count.sum() == 3
    seven = images.embeddings[images.indptr[7] : images.indptr[8]]
    assert seven.tolist() == np.eye(4)[[0, 3]].tolist()


def test_images_from_a_held_out_community_and_of_unseen_users_are_not_trained_on(data):
    graph, split = data.graph, data.split
    owner = np.repeat(np.arange(graph.users), graph.degrees)
    edge = int(np.flatnonzero((split.roles == TEST) & split.seen[owner])[0])
    user = int(owner[edge])
    stranger = int(np.flatnonzero(~split.seen)[0])
    held = graph.subreddit_names[graph.subreddit[edge]]
    message = graph.subreddit_names[
        graph.subreddit[graph.indptr[user] + np.argmax(
            split.roles[graph.indptr[user] : graph.indptr[user + 1]] == 0
        )]
    ]  # fmt: skip
    ids = graph.user_ids[[user, user, stranger]]
    images = training_images(
        graph, split, table(ids, np.eye(3), subreddit=[held, message, message])
    )
    assert images.count.sum() == 1
    assert images.embeddings.tolist() == [[0.0, 1.0, 0.0]]


def test_a_draw_takes_at_most_so_many_images_of_each_user(data):
    images = align_images(data.graph, data.world.image_embeddings)
    users = np.flatnonzero(images.count >= 3)[:10]
    owner, drawn = images.draw(users, 2, np.random.default_rng(0))
    assert np.bincount(owner).tolist() == [2] * 10
    for row, vector in zip(owner, drawn, strict=True):
        low, high = images.indptr[users[row]], images.indptr[users[row] + 1]
        assert (images.embeddings[low:high] == vector).all(axis=1).any()


def test_profiles_are_unit_means(data):
    ids = data.graph.user_ids
    posters, profiles = align_images(
        data.graph, table([ids[3], ids[3]], [[1, 0], [0, 1]])
    ).profiles()
    assert posters.tolist() == [3]
    assert profiles[0] == pytest.approx([0.5**0.5, 0.5**0.5])


def test_a_nan_embedding_is_refused_with_its_row(data):
    with pytest.raises(ValueError, match="row 1 is not finite"):
        align_images(data.graph, table(data.graph.user_ids[:2], [[1, 0], [np.nan, 0]]))
