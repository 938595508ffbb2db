"""community_rankings is complete, normalised, and ranked as its values say."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.embedding_files import embed_all
from zipp_dagster.encoder.model_io import ModelError
from zipp_dagster.encoder.rankings import write_rankings


@pytest.fixture(scope="module")
def embeddings(trained, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("embeddings")
    scratch = tmp_path_factory.mktemp("scratch")
    embed_all(trained.directory, data.dirs[0], data.dirs[2], out, scratch, EncoderSettings())
    return out


@pytest.fixture(scope="module")
def frame(data, embeddings):
    file = embeddings.parent / "rankings.parquet"
    summary = write_rankings(data.dirs[0], embeddings, file, kept=64, block_users=70)
    assert summary.rows == data.graph.edges
    return pq.read_table(file).to_pandas()


def test_every_edge_has_a_row_and_attention_sums_to_one(frame, data):
    keys = data.world.interactions.select(["user_id", "subreddit"]).to_pandas()
    assert set(map(tuple, keys.values)) == set(zip(frame.user_id, frame.subreddit))
    assert frame.groupby("user_id").attention.sum().to_numpy() == pytest.approx(1.0, abs=1e-12)


def test_both_ranks_follow_their_values(frame):
    for value, rank in (("attention", "attention_rank"), ("dot", "dot_rank")):
        for _, rows in frame.sort_values(["user_id", rank]).groupby("user_id"):
            assert rows[rank].tolist() == list(range(1, len(rows) + 1))
            assert (np.diff(rows[value]) <= 0).all()


def test_the_dot_product_leaves_popularity_out(frame, data, embeddings):
    users = np.load(embeddings / "user_embeddings.npy").astype(np.float32)
    subreddits = np.load(embeddings / "subreddit_embeddings.npy")
    owner = np.repeat(np.arange(data.graph.users), data.graph.degrees)
    product = (users[owner] * subreddits[np.asarray(data.graph.subreddit)])[:, :-1].sum(axis=1)
    assert frame["dot"].to_numpy() == pytest.approx(product, abs=1e-5)


def test_counts_and_weights_come_from_the_interactions(frame, data):
    merged = frame.merge(data.world.interactions.to_pandas(), on=["user_id", "subreddit"])
    assert (merged["count"] == merged.posts + merged.comments).all()
    degree = frame.groupby("subreddit").user_id.transform("size")
    users = frame.user_id.nunique()
    expected = np.log1p(frame["count"]) * np.log((1 + users) / (1 + degree))
    assert frame.tfidf.to_numpy() == pytest.approx(expected.to_numpy())


def test_only_the_top_of_either_ranking_is_kept(frame, data, embeddings, tmp_path):
    file = tmp_path / "top.parquet"
    summary = write_rankings(data.dirs[0], embeddings, file, kept=3)
    top = pq.read_table(file).to_pandas()
    expected = frame[(frame.attention_rank <= 3) | (frame.dot_rank <= 3)]
    assert len(top) == len(expected) == summary.rows
    assert (top.attention.to_numpy() == expected.attention.to_numpy()).all()


def test_attention_that_does_not_sum_to_one_is_refused(data, embeddings, tmp_path):
    for path in embeddings.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    attention = np.load(tmp_path / "attention.npy")
    attention[data.graph.indptr[9]] = 0.9
    attention[data.graph.indptr[9] + 1] = 0.9
    np.save(tmp_path / "attention.npy", attention)
    with pytest.raises(ModelError, match="user row 9 sums to"):
        write_rankings(data.dirs[0], tmp_path, tmp_path / "r.parquet")
