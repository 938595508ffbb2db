from __future__ import annotations

import numpy as np
import pytest

from zipp_dagster.encoder.evaluation import DotScorer
from zipp_dagster.encoder.own_communities import own_communities
from zipp_dagster.encoder.rivals import popularity
from zipp_dagster.encoder.tuning import Mixed


def test_a_person_s_own_communities_are_scored_without_popularity(data):
    graph = data.graph
    rng = np.random.default_rng(0)
    users = rng.normal(size=(graph.users, 4)).astype(np.float32)
    places = rng.normal(size=(graph.subreddits, 4)).astype(np.float32)
    scorer = DotScorer("mine", users, places)
    wanted = np.asarray(graph.user_ids)[[5, 2]]
    table = own_communities(
        Mixed(scorer, np.ones(graph.subreddits, np.float32), 1.0, 0.5), graph, np.sort(wanted)
    )
    assert set(table["user_id"].to_pylist()) == set(wanted.tolist())
    assert set(table["encoder"].to_pylist()) == {"mine"}
    row = 5
    own = graph.subreddit[graph.indptr[row] : graph.indptr[row + 1]]
    mine = [r for r in table.to_pylist() if r["user_id"] == graph.user_ids[row]]
    assert [r["subreddit"] for r in mine] == [graph.subreddit_names[int(i)] for i in own]
    # The last column is popularity: it does not count.
    expected = places[own, :3] @ users[row, :3]
    assert [r["dot"] for r in mine] == pytest.approx(expected.tolist(), rel=1e-5)


def test_whoever_the_graph_lacks_is_left_out(data):
    graph = data.graph
    scorer = popularity(graph, data.split)
    unknown = np.array([np.asarray(graph.user_ids).max() + 1], np.uint64)
    assert own_communities(scorer, graph, unknown).num_rows == 0
