"""Community text is aligned with the graph by name, and damaged text is refused."""

from __future__ import annotations

import numpy as np
import pytest

from zipp_dagster.graph.features import (
    build_subreddit_features,
    load_subreddit_text,
    log_share,
)
from zipp_dagster.graph.store import GraphError


def test_text_is_aligned_by_name_and_missing_communities_are_zero(graph, tmp_path):
    names = list(graph.subreddit_names)[::-1]
    vectors = np.random.default_rng(0).normal(size=(len(names), 6))
    summary = build_subreddit_features(graph, names[:-1], vectors[:-1], tmp_path)
    text = load_subreddit_text(tmp_path, graph)
    assert summary.without_text == 1
    assert not text[graph.subreddit_names.index(names[-1])].any()
    centred = vectors[:-1] - vectors[:-1].mean(axis=0)
    row = graph.subreddit_names.index(names[3])
    assert text[row] == pytest.approx(centred[3] / np.linalg.norm(centred[3]), abs=1e-5)


def test_nan_text_is_refused_with_the_community(graph, tmp_path):
    names = list(graph.subreddit_names)
    vectors = np.ones((len(names), 3))
    vectors[2, 1] = np.nan
    with pytest.raises(GraphError, match=names[2]):
        build_subreddit_features(graph, names, vectors, tmp_path)


def test_nan_in_the_stored_features_is_refused(graph, tmp_path):
    names = list(graph.subreddit_names)
    build_subreddit_features(graph, names, np.eye(len(names)), tmp_path)
    text = np.load(tmp_path / "subreddit_text.npy")
    text[5, 0] = np.nan
    np.save(tmp_path / "subreddit_text.npy", text)
    with pytest.raises(GraphError, match=f"row 5 .{names[5]}. is not finite"):
        load_subreddit_text(tmp_path, graph)


def test_the_log_share_does_not_depend_on_the_size_of_the_graph():
    small, large = log_share(np.array([99]), 1_000), log_share(np.array([99_999]), 1_000_000)
    assert small == pytest.approx(large)
