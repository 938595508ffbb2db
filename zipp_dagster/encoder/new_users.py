"""Embedding people who came after the whole-graph inference, without touching anybody else.

What lives here: from their interactions and the stored community states to vectors and rankings.
What does not: the passes over the whole graph (`inference`).

Users have no parameters, and a user's embedding needs nothing but the user's own links and the
states of communities after each pass. So new people cost as much as their links do, and neither
community states nor other users change (they will at the next whole inference).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float32, UInt64

from zipp_dagster.encoder import kernels
from zipp_dagster.encoder.inference import GraphInference
from zipp_dagster.encoder.model_io import ModelError, load_model
from zipp_dagster.encoder.rankings import interest_only
from zipp_dagster.graph.csr import OLDEST_RECENCY
from zipp_dagster.graph.features import load_subreddit_text
from zipp_dagster.graph.store import Block, InteractionGraph, load_array

COLUMNS = ("user_id", "subreddit", "posts", "comments", "score_log", "recency")
NUMBERS = ("posts", "comments", "score_log", "recency")


@dataclass(frozen=True)
class NewUsers:
    """Embeddings of new users in ascending order of their ids, and their communities.

    `communities` has user_id, subreddit, attention (sums to 1 a user) and dot, as
    `community_rankings` has them, one row a link.
    `unknown_links` counts links to communities that the graph does not have: they are left out.
    """

    user_ids: UInt64[np.ndarray, " users"]
    embeddings: Float32[np.ndarray, "users dim"]
    communities: pa.Table
    unknown_links: int


def embed_new_users(
    interactions: pa.Table,
    model_dir: Path,
    graph_dir: Path,
    features_dir: Path,
    embeddings_dir: Path,
) -> NewUsers:
    """Embed users who are not in the graph from their interactions.

    A user all of whose communities are unknown has an embedding too: that of nobody in particular.

    Args:
        interactions: the columns of the `interactions` table (`COLUMNS`; others are ignored), one
            row for each new user and community.
        model_dir: the encoder that made the embeddings.
        graph_dir: the graph that they were made for.
        features_dir: its community features.
        embeddings_dir: what `embed_all` wrote for them.

    Raises:
        ValueError: a missing column, a null, NaN or negative number, a repeated (user, community).
        GraphError: damaged files, or embeddings of another graph.
        ModelError: a model that does not fit.
    """
    graph = InteractionGraph.open(graph_dir)
    inference = GraphInference(
        load_model(model_dir), graph, load_subreddit_text(features_dir, graph)
    )
    inference.states = _states(embeddings_dir, inference)
    ids, block, unknown = _block(interactions, graph)
    embeddings, attention = inference.embed_users(block)
    dot = kernels.edge_slots(block.indptr)
    interest = interest_only(inference.subreddits())
    kernels.row_products(block.indptr, block.subreddit, embeddings, interest, dot)
    names = pa.array(graph.subreddit_names, pa.string())
    communities = pa.table(
        {
            "user_id": pa.array(np.repeat(ids, np.diff(block.indptr)), pa.uint64()),
            "subreddit": names.take(pa.array(block.subreddit)),
            "attention": attention.astype(np.float64),
            "dot": dot.astype(np.float64),
        }
    )
    return NewUsers(ids, embeddings, communities, unknown)


def _states(embeddings_dir: Path, inference: GraphInference) -> list[np.ndarray]:
    shape = (inference.layers + 1, inference.graph.subreddits, inference.hidden)
    states = load_array(embeddings_dir / "states.npy", (np.float32,), shape)
    if not np.array_equal(states[0], inference.states[0]):
        raise ModelError(
            f"{embeddings_dir} was made by another encoder or for other community features; "
            "materialise user_embeddings again."
        )
    return [np.array(layer) for layer in states]


def _block(interactions: pa.Table, graph: InteractionGraph) -> tuple[np.ndarray, Block, int]:
    """The users' links as a CSR block of the graph's communities."""
    if missing := [name for name in COLUMNS if name not in interactions.column_names]:
        raise ValueError(f"interactions lacks the columns {missing}; it needs {list(COLUMNS)}.")
    for name in COLUMNS:
        column = interactions.column(name)
        if column.null_count:
            row = pc.index(pc.is_null(column), True).as_py()
            raise ValueError(f"interactions: {name} is null in row {row}.")
    numbers = {name: interactions.column(name).to_numpy().astype(np.float64) for name in NUMBERS}
    for name, values in numbers.items():
        bad = ~np.isfinite(values) | ((values < 0) if name != "score_log" else False)
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(f"interactions: {name} is {values[row]} in row {row}.")
    place = {name: index for index, name in enumerate(graph.subreddit_names)}
    index = np.array([place.get(name, -1) for name in interactions.column("subreddit").to_pylist()])
    user = interactions.column("user_id").to_numpy().astype(np.uint64)
    ids = np.unique(user)
    known = np.flatnonzero(index >= 0)
    rows = known[np.lexsort((index[known], user[known]))]
    subreddit, owner = index[rows].astype(np.int32), np.searchsorted(ids, user[rows])
    again = (np.diff(owner) == 0) & (np.diff(subreddit) == 0)
    if again.any():
        row = int(rows[1:][again][0])
        name = graph.subreddit_names[index[row]]
        raise ValueError(
            f"interactions has two rows for user {user[row]} and {name} (the second is row {row}); "
            "add them up first."
        )
    score = numbers["score_log"]
    features = np.stack(
        [
            np.log1p(numbers["posts"]),
            np.log1p(numbers["comments"]),
            np.sign(score) * np.log1p(np.abs(score)),
            np.log(np.maximum(numbers["recency"], OLDEST_RECENCY)),
        ],
        axis=1,
    )[rows]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(ids)))])
    block = Block(
        0,
        len(ids),
        indptr.astype(np.int64),
        subreddit,
        # As the graph stores them: through half precision.
        features.astype(np.float32).astype(np.float16).astype(np.float32),
        np.arange(len(rows)),
    )
    return ids, block, len(index) - len(known)
