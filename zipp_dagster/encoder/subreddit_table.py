"""Community embeddings as a table, for readers that want names and vectors, not arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zipp_dagster.graph.store import GraphError, InteractionGraph


def write_subreddit_table(graph_dir: Path, embeddings_dir: Path, out_file: Path) -> int:
    """Write subreddit and embedding (float32 list), in graph order; return the rows.

    Raises:
        GraphError: the embeddings are of another graph.
    """
    graph = InteractionGraph.open(graph_dir)
    path = embeddings_dir / "subreddit_embeddings.npy"
    vectors = np.load(path, allow_pickle=False).astype(np.float32)
    if vectors.ndim != 2 or len(vectors) != graph.subreddits:
        raise GraphError(
            f"{path} is {list(vectors.shape)}, the graph has {graph.subreddits} communities: "
            "materialise user_embeddings again."
        )
    rows = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    table = pa.table(
        {"subreddit": graph.subreddit_names, "embedding": rows.cast(pa.list_(pa.float32()))}
    )
    pq.write_table(table, out_file, compression="zstd", store_schema=False)
    return table.num_rows
