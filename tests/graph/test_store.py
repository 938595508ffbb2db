"""A damaged graph is refused with the file's name; blocks read exactly what was asked for."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.lib.format import open_memmap

from zipp_dagster.graph.store import GraphError, InteractionGraph


def test_a_file_cut_short_is_refused(build, world):
    directory = build(world.interactions)
    path = directory / "features.npy"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(GraphError, match=r"features\.npy is cut short"):
        InteractionGraph.open(directory)


def test_a_missing_file_is_refused(build, world):
    directory = build(world.interactions)
    (directory / "counts.npy").unlink()
    with pytest.raises(GraphError, match=r"counts\.npy is missing"):
        InteractionGraph.open(directory)


def test_a_directory_that_is_no_graph_is_refused(tmp_path):
    with pytest.raises(GraphError, match=r"no graph\.json"):
        InteractionGraph.open(tmp_path)


def test_sizes_that_disagree_are_refused(build, world):
    directory = build(world.interactions)
    meta = json.loads((directory / "graph.json").read_text())
    (directory / "graph.json").write_text(json.dumps(meta | {"edges": meta["edges"] - 1}))
    with pytest.raises(GraphError, match=r"indptr\.npy runs from"):
        InteractionGraph.open(directory)


def damage(directory, name: str, index, value) -> InteractionGraph:
    array = open_memmap(directory / f"{name}.npy", mode="r+")
    array[index] = value
    array.flush()
    return InteractionGraph.open(directory)


def test_a_community_out_of_range_is_found_when_its_block_is_read(build, world):
    graph = damage(build(world.interactions), "subreddit", 17, 40)
    with pytest.raises(GraphError, match="edge 17 points to community 40, but there are 40"):
        graph.block(0, graph.users)


def test_a_nan_feature_is_found_when_its_block_is_read(build, world):
    graph = damage(build(world.interactions), "features", (21, 2), np.nan)
    with pytest.raises(GraphError, match="edge 21 is not finite"):
        graph.block(0, graph.users)


def test_a_pointer_that_goes_back_is_found(build, world):
    graph = damage(build(world.interactions), "indptr", 5, 0)
    with pytest.raises(GraphError, match="goes back at user row"):
        graph.block(0, 10)


def test_verify_finds_edges_out_of_order(build, world):
    directory = build(world.interactions)
    graph = InteractionGraph.open(directory)
    user = int(np.argmax(graph.degrees >= 3))
    first = int(graph.indptr[user])
    swapped = graph.subreddit[first + 1]
    with pytest.raises(GraphError, match=f"edge {first + 1} is a duplicate or out of order"):
        damage(directory, "subreddit", first, swapped).verify(block_users=64)


def test_blocks_joined_are_the_graph(graph):
    blocks = [graph.block(start, stop) for start, stop in graph.blocks(77)]
    assert (
        np.concatenate([block.subreddit for block in blocks]).tolist() == graph.subreddit.tolist()
    )
    assert np.concatenate([np.diff(block.indptr) for block in blocks]).tolist() == (
        graph.degrees.tolist()
    )


def test_a_block_with_a_mask_reads_only_those_edges(graph):
    keep = np.zeros(graph.edges, dtype=bool)
    keep[::2] = True
    block = graph.block(10, 50, keep)
    low, high = int(graph.indptr[10]), int(graph.indptr[50])
    expected = [edge for edge in range(low, high) if edge % 2 == 0]
    assert block.edges.tolist() == expected
    assert block.subreddit.tolist() == graph.subreddit[expected].tolist()
    owner = np.searchsorted(graph.indptr, expected, side="right") - 1
    assert np.diff(block.indptr).tolist() == np.bincount(owner - 10, minlength=40).tolist()


def test_kept_edges_are_counted_by_user_and_by_community(build, world, monkeypatch):
    monkeypatch.setattr("zipp_dagster.graph.store.BLOCK_USERS", 7)
    monkeypatch.setattr("zipp_dagster.graph.store.BLOCK_EDGES", 13)
    graph = InteractionGraph.open(build(world.interactions))
    keep = np.random.default_rng(0).random(graph.edges) < 0.5
    owner = np.repeat(np.arange(graph.users), graph.degrees)
    by_user = np.bincount(owner[keep], minlength=graph.users)
    by_subreddit = np.bincount(np.asarray(graph.subreddit)[keep], minlength=graph.subreddits)
    assert graph.user_counts(keep).tolist() == by_user.tolist()
    assert graph.subreddit_counts(keep).tolist() == by_subreddit.tolist()
