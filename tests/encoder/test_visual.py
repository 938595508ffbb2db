"""Images are lined up with users, and held-out communities' images stay out of training."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

from zipp_dagster.encoder import visual
from zipp_dagster.encoder.visual import align_images, training_images
from zipp_dagster.graph.split import MESSAGE, TEST, LinkSplit


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


def by_sets(graph, split, images):
    """What training may see, image by image and with a set of all held-out links."""
    owner = np.repeat(np.arange(graph.users), graph.degrees)
    hidden = np.flatnonzero(np.asarray(split.roles) != MESSAGE)
    held = set(zip(owner[hidden].tolist(), graph.subreddit[hidden].tolist()))
    index_of = {name: index for index, name in enumerate(graph.subreddit_names)}
    user_of = {int(user_id): index for index, user_id in enumerate(graph.user_ids)}
    kept = {}
    for row in images.to_pylist():
        user = user_of.get(row["user_id"])
        if user is None or not split.seen[user]:
            continue
        if (user, index_of.get(row["subreddit"], -1)) not in held:
            kept.setdefault(user, []).append(row["embedding"])
    return kept


@pytest.mark.parametrize("seed", range(3))
def test_training_images_are_those_that_a_set_of_all_held_out_links_leaves(data, monkeypatch, seed):
    monkeypatch.setattr(visual, "BLOCK_USERS", 37)
    monkeypatch.setattr(visual, "ROWS_AT_ONCE", 50)
    rng = np.random.default_rng(seed)
    graph, count = data.graph, 4_000
    names = np.array([*graph.subreddit_names, "unknown", None], dtype=object)
    images = table(
        rng.choice([*graph.user_ids, 10**18, 1], count),
        rng.normal(size=(count, 3)),
        subreddit=pa.array(rng.choice(names, count), pa.string()),
    )
    images = pa.concat_tables([images.slice(0, 1_111), images.slice(1_111)])
    found = training_images(graph, data.split, images)
    expected = by_sets(graph, data.split, images)
    assert 0 < len(found.embeddings) < count
    assert np.flatnonzero(found.count).tolist() == sorted(expected)
    rows = [vector for user in sorted(expected) for vector in expected[user]]
    assert (found.embeddings == np.array(rows, dtype=np.float32)).all()


def test_training_images_make_no_object_a_link(data, monkeypatch):
    """Tens of millions of held-out links as tuples would be gigabytes."""
    monkeypatch.setattr(visual, "BLOCK_USERS", 37)
    graph = data.graph
    roles = np.full(graph.edges, TEST, dtype=np.uint8)
    split = LinkSplit(roles, data.split.user_roles)
    images = table(graph.user_ids[:1], [[1.0, 0.0]], subreddit=[graph.subreddit_names[0]])
    tracemalloc.start()
    training_images(graph, split, images)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 25 * graph.edges
