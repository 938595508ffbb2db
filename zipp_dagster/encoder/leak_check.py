"""Rule 2 of the design, measured: what an encoder says of people does not depend on held-out links.

What lives here: the measurement on a stored encoder. What does not: the roles of links
(`zipp_dagster.graph.split`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from zipp_dagster.encoder.inference import GraphInference, embed_graph
from zipp_dagster.encoder.model_io import load_model
from zipp_dagster.graph.features import load_subreddit_text
from zipp_dagster.graph.split import MESSAGE, LinkSplit
from zipp_dagster.graph.store import InteractionGraph

# A leak would show in any of them; more would double the time of evaluation at full scale.
USERS = 50_000


def largest_change_without_targets(
    model_dir: Path, graph_dir: Path, split_dir: Path, features_dir: Path, users: int = USERS
) -> float:
    """Overwrite every held-out link of the first users, embed them again, and compare.

    Raises:
        GraphError: damaged inputs.
        ModelError: a model that does not fit.
    """
    graph = InteractionGraph.open(graph_dir)
    split = LinkSplit.open(split_dir, graph)
    text, model = load_subreddit_text(features_dir, graph), load_model(model_dir)
    users = min(users, graph.users)
    last = int(graph.indptr[users])
    messages = np.asarray(split.roles[:last]) == MESSAGE
    subreddit, features = np.array(graph.subreddit[:last]), np.array(graph.features[:last])
    part = replace(
        graph,
        user_ids=graph.user_ids[:users],
        indptr=graph.indptr[: users + 1],
        subreddit=subreddit,
        features=features,
        counts=graph.counts[:last],
        first_seen=graph.first_seen[:last],
        subreddit_degree=np.bincount(subreddit, minlength=graph.subreddits),
    )
    held = ~messages
    other, constant = subreddit.copy(), features.copy()
    rng = np.random.default_rng(0)
    other[held] = rng.integers(0, graph.subreddits, int(held.sum()))
    constant[held] = 1.0
    changed = replace(
        part,
        subreddit=other,
        features=constant,
        subreddit_degree=np.bincount(other, minlength=graph.subreddits),
    )
    before, after = (
        embed_graph(GraphInference(model, each, text, keep=messages, lanes=1))
        for each in (part, changed)
    )
    return max(float(np.abs(a - b).max()) for a, b in zip(before, after, strict=True))
