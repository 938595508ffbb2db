"""Interactions become CSR arrays that hold exactly what the table says."""

from __future__ import annotations

import datetime as dt
import math

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zipp_dagster.graph.csr import GraphError, InteractionGraph, build_csr


def interactions(rows: list[tuple]) -> pa.Table:
    """Rows of (user, subreddit, posts, comments, score_log, day, recency)."""
    at = [dt.datetime(2022, 1, row[5]) for row in rows]
    return pa.table(
        {
            "user_id": pa.array([row[0] for row in rows], pa.uint64()),
            "subreddit": [row[1] for row in rows],
            "posts": [row[2] for row in rows],
            "comments": [row[3] for row in rows],
            "score_log": pa.array([row[4] for row in rows], pa.float64()),
            "first_at": pa.array(at, pa.timestamp("us")),
            "last_at": pa.array(at, pa.timestamp("us")),
            "recency": pa.array([row[6] for row in rows], pa.float64()),
        }
    )


TINY = [
    (9, "cats", 1, 0, -2.0, 3, 0.5),
    (2, "trains", 0, 4, 0.0, 2, 1.0),
    (9, "art", 2, 3, 1.5, 1, 0.25),
]


def test_edges_are_sorted_by_user_id_then_community_name(build):
    graph = InteractionGraph.open(build(interactions(TINY)))
    assert graph.user_ids.tolist() == [2, 9]
    assert graph.subreddit_names == ("art", "cats", "trains")
    assert graph.indptr.tolist() == [0, 1, 3]
    assert graph.subreddit.tolist() == [2, 0, 1]
    assert graph.counts.tolist() == [4, 5, 1]
    assert graph.subreddit_degree.tolist() == [1, 1, 1]
    day = int(dt.datetime(2022, 1, 1, tzinfo=dt.UTC).timestamp())
    assert (np.asarray(graph.first_seen).astype(int) - day).tolist() == [86_400, 0, 2 * 86_400]


def test_edge_features_are_the_four_logarithms(build):
    graph = InteractionGraph.open(build(interactions(TINY)))
    expected = [math.log(3), math.log(4), math.log(2.5), math.log(0.25)]
    assert graph.features[1] == pytest.approx(expected, rel=1e-3)
    assert graph.features[2, 2] == pytest.approx(-math.log(3), rel=1e-3)


def test_a_recency_of_zero_stays_finite(build):
    graph = InteractionGraph.open(build(interactions([(1, "a", 1, 1, 0.0, 1, 0.0)])))
    assert np.isfinite(graph.features).all()


def test_the_same_table_in_another_row_order_gives_the_same_bytes(build, world):
    order = np.random.default_rng(0).permutation(world.interactions.num_rows)
    first = build(world.interactions, "first")
    second = build(world.interactions.take(order), "second", batch_rows=1_000)
    for path in sorted(first.iterdir()):
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_the_graph_holds_every_row_of_the_table(graph, world):
    graph.verify(block_users=70)
    table = world.interactions.to_pandas()
    assert graph.edges == len(table)
    user = np.asarray(graph.user_ids)[np.repeat(np.arange(graph.users), graph.degrees)]
    names = np.array(graph.subreddit_names)[graph.subreddit]
    expected = table.sort_values(["user_id", "subreddit"])
    assert (user == expected.user_id.to_numpy()).all()
    assert (names == expected.subreddit.to_numpy()).all()
    assert (graph.counts == (expected.posts + expected.comments).to_numpy()).all()


def test_small_communities_can_be_left_out(build):
    rows = [*TINY, (2, "cats", 1, 1, 0.0, 1, 1.0)]
    graph = InteractionGraph.open(build(interactions(rows), min_subreddit_users=2))
    assert graph.subreddit_names == ("cats",)
    assert graph.edges == 2


def test_a_duplicate_row_is_an_error(build):
    with pytest.raises(GraphError, match="two rows for one user and community"):
        build(interactions([*TINY, TINY[0]]))


def test_a_nan_score_is_an_error_that_names_the_feature(build):
    with pytest.raises(GraphError, match="signed_log_score is nan"):
        build(interactions([*TINY, (3, "art", 1, 1, math.nan, 1, 1.0)]))


def test_a_null_score_is_an_error(build):
    with pytest.raises(GraphError, match="signed_log_score is null"):
        build(interactions([*TINY, (3, "art", 1, 1, None, 1, 1.0)]))


def test_no_edge_left_is_an_error_that_names_the_setting(build):
    with pytest.raises(GraphError, match=r"graph\.min_subreddit_users"):
        build(interactions(TINY), min_subreddit_users=5)


def test_the_build_reports_sizes(tmp_path):
    pq.write_table(interactions(TINY), tmp_path / "i.parquet")
    (tmp_path / "graph").mkdir()
    summary = build_csr([tmp_path / "i.parquet"], tmp_path / "graph", duckdb.connect())
    assert (summary.users, summary.subreddits, summary.edges) == (2, 3, 3)
    assert (summary.max_communities, summary.one_community_users) == (2, 1)
