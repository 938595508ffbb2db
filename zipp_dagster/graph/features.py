"""What the encoders know about users and communities besides links: text and degree.

What lives here: the alignment of text embeddings with the graph's communities, and the log share.
What does not: embedding the text itself. User features (mean text, log degree) are no files: each
encoder computes them from the message edges that it is given, so a target is never in them.

Layout of a features directory: `subreddit_text.npy` float32 [S, D] (zero rows for communities
without text), `features.json`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int

from zipp_dagster.graph.store import GraphError, InteractionGraph, load_array


@dataclass(frozen=True)
class FeatureSummary:
    """How many communities have text."""

    subreddits: int
    dimensions: int
    without_text: int


def build_subreddit_features(
    graph: InteractionGraph,
    names: Sequence[str],
    embeddings: Float[np.ndarray, "documents dim"],
    out_dir: Path,
) -> FeatureSummary:
    """Write one text vector per community, in graph order, centred and of unit length.

    The mean over all communities is taken out: most text embeddings share one large common
    direction that says nothing about a community. Communities without a document get zeros.

    Raises:
        GraphError: lengths differ, a name twice, NaN, or no community has text.
    """
    embeddings = np.asarray(embeddings, dtype=np.float32)
    if embeddings.ndim != 2 or len(names) != len(embeddings):
        raise GraphError(f"{len(names)} names, but embeddings of shape {list(embeddings.shape)}.")
    if not np.isfinite(embeddings).all():
        bad = int(np.argmax(~np.isfinite(embeddings).all(axis=1)))
        raise GraphError(f"The text embedding of {names[bad]!r} (row {bad}) is not finite.")
    row_of = {name: row for row, name in enumerate(names)}
    if len(row_of) != len(names):
        raise GraphError("A community has two text embeddings; give one document a community.")
    rows = np.array([row_of.get(name, -1) for name in graph.subreddit_names])
    known = rows >= 0
    if not known.any():
        raise GraphError("No community of the graph has a text embedding; check the names.")
    text = np.zeros((graph.subreddits, embeddings.shape[1]), dtype=np.float32)
    text[known] = embeddings[rows[known]]
    if known.sum() > 1:
        text[known] -= text[known].mean(axis=0)
    text /= np.maximum(np.linalg.norm(text, axis=1, keepdims=True), 1e-6)
    np.save(out_dir / "subreddit_text.npy", text)
    meta = {"subreddits": graph.subreddits, "dimensions": text.shape[1]}
    (out_dir / "features.json").write_text(json.dumps(meta, indent=1) + "\n")
    return FeatureSummary(graph.subreddits, text.shape[1], int((~known).sum()))


def write_no_text(graph: InteractionGraph, out_dir: Path) -> FeatureSummary:
    """Write the features of a graph whose communities have no text at all: one column of zeros.

    A zero vector is what any community without a document has, so encoders read such a graph like
    every other: a community is then its learned id and its log share.
    """
    np.save(out_dir / "subreddit_text.npy", np.zeros((graph.subreddits, 1), dtype=np.float32))
    meta = {"subreddits": graph.subreddits, "dimensions": 1}
    (out_dir / "features.json").write_text(json.dumps(meta, indent=1) + "\n")
    return FeatureSummary(graph.subreddits, 1, graph.subreddits)


def load_subreddit_text(
    directory: Path, graph: InteractionGraph
) -> Float32[np.ndarray, "subreddits dim"]:
    """Read the text vectors of this graph's communities.

    Raises:
        GraphError: a missing or cut file, another graph's features, or NaN.
    """
    try:
        meta = json.loads((directory / "features.json").read_text())
    except FileNotFoundError as error:
        raise GraphError(f"{directory} holds no features.json; build the features.") from error
    path = directory / "subreddit_text.npy"
    text = np.array(load_array(path, (np.float32,), (graph.subreddits, meta["dimensions"])))
    if not np.isfinite(text).all():
        bad = int(np.argmax(~np.isfinite(text).all(axis=1)))
        raise GraphError(f"{path}: row {bad} ({graph.subreddit_names[bad]}) is not finite.")
    return text


def log_share(
    degree: Int[np.ndarray, " subreddits"], users: int
) -> Float32[np.ndarray, " subreddits"]:
    """ln((1 + degree) / users): the log degree, made independent of how many users the graph has.

    So a model trained on a sample of users, or on last month's graph, reads the same scale. The
    degree is counted over message edges only. It is one constant per graph, the same for all
    batches: it tells nothing about which user a target was taken from.
    """
    return np.log((1.0 + degree) / max(users, 1)).astype(np.float32)
