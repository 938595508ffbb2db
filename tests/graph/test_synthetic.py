"""The synthetic graph of speed measurements is a valid graph of the promised size."""

from __future__ import annotations

import numpy as np
import pytest

from zipp_dagster.graph.store import InteractionGraph
from zipp_dagster.graph.synthetic import write_heavy_tailed_graph


class Killed(Exception):
    pass


def test_sizes_are_exact_and_the_layout_holds(tmp_path):
    write_heavy_tailed_graph(tmp_path, 3_000, 24_000, 400, block_users=700)
    graph = InteractionGraph.open(tmp_path)
    assert (graph.users, graph.edges, graph.subreddits) == (3_000, 24_000, 400)
    graph.verify(block_users=1_000)
    assert graph.degrees.min() >= 1


def test_degrees_and_popularity_have_heavy_tails(tmp_path):
    write_heavy_tailed_graph(tmp_path, 3_000, 24_000, 400)
    graph = InteractionGraph.open(tmp_path)
    assert np.median(graph.degrees) < 0.7 * graph.degrees.mean() < 0.1 * graph.degrees.max()
    popular = np.sort(graph.subreddit_degree)[::-1]
    assert popular[:20].sum() > 0.2 * graph.edges


def test_an_interrupted_graph_is_finished_to_the_same_bytes(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    sizes = (1_000, 6_000, 200)
    write_heavy_tailed_graph(whole, *sizes, block_users=300)

    def kill(done, total, note=""):
        if done == 600:
            raise Killed

    with pytest.raises(Killed):
        write_heavy_tailed_graph(broken, *sizes, block_users=300, progress=kill)
    seen = []
    write_heavy_tailed_graph(
        broken, *sizes, block_users=300, progress=lambda done, *_: seen.append(done)
    )
    assert seen == [900, 1_000]
    for path in whole.iterdir():
        assert path.read_bytes() == (broken / path.name).read_bytes(), path.name


def test_another_graph_in_the_folder_is_refused(tmp_path):
    write_heavy_tailed_graph(tmp_path, 500, 2_000, 100)
    write_heavy_tailed_graph(tmp_path, 500, 2_000, 100)
    with pytest.raises(ValueError, match="holds another graph"):
        write_heavy_tailed_graph(tmp_path, 500, 2_001, 100)


def test_sizes_that_do_not_go_together_are_refused(tmp_path):
    with pytest.raises(ValueError, match="do not make a graph"):
        write_heavy_tailed_graph(tmp_path, 100, 50, 100)
