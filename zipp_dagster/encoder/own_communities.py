"""How an encoder ranks people's *own* communities: what evidence for their personas is chosen by.

One scorer's values for the links that people have; the table of a whole platform's people by the
champion is `rankings`.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from jaxtyping import UInt64

from zipp_dagster.encoder.evaluation import DotScorer, Scorer
from zipp_dagster.encoder.rankings import interest_only
from zipp_dagster.graph.store import InteractionGraph

SCHEMA = pa.schema(
    [
        ("encoder", pa.string()),
        ("user_id", pa.uint64()),
        ("subreddit", pa.string()),
        ("dot", pa.float64()),
    ]
)


def own_communities(
    scorer: Scorer, graph: InteractionGraph, users: UInt64[np.ndarray, " users"]
) -> pa.Table:
    """The scorer's values (column `dot`) for each user's own communities, in `SCHEMA`.

    Without popularity, be it a share that tuning added or the last column of learned vectors: how
    popular a community is says nothing about one's interest in it. Users whom the graph lacks are
    left out.
    """
    own = getattr(scorer, "own", scorer)
    if isinstance(own, DotScorer):
        own = DotScorer(own.name, own.users, interest_only(np.asarray(own.subreddits)))
    ids = np.asarray(graph.user_ids)
    order = np.argsort(ids)
    places = np.searchsorted(ids[order], users).clip(max=len(ids) - 1)
    rows = np.sort(order[places][ids[order[places]] == users])
    parts = []
    for start in range(0, len(rows), 1024):
        some = rows[start : start + 1024]
        for row, scores in zip(some, own.scores(some), strict=True):
            edges = np.asarray(graph.subreddit[graph.indptr[row] : graph.indptr[row + 1]])
            parts.append((np.full(len(edges), ids[row]), edges, scores[edges]))
    if not parts:
        return SCHEMA.empty_table()
    owner, community, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    names = pa.array(graph.subreddit_names, pa.string())
    return pa.table(
        {
            "encoder": pa.array([scorer.name] * len(owner), pa.string()),
            "user_id": pa.array(owner, pa.uint64()),
            "subreddit": names.take(pa.array(community.astype(np.int64))),
            "dot": pa.array(value.astype(np.float64)),
        },
        schema=SCHEMA,
    )
