"""Each user's communities, ranked by attention and by the final dot product: community_rankings.

What lives here: the Parquet table. What does not: the embeddings (`inference`) and what evidence is
taken from it (`zipp_dagster.persona`).

Columns: user_id, subreddit, attention (normalised: sums to 1 over *all* of a user's communities),
dot (z_u · z_s without the popularity column: among one's own communities, how popular one is says
nothing about one's interest), tfidf (ln(1 + count) · ln((1 + U) / (1 + degree))), count (posts + comments),
attention_rank, dot_rank (1 = first). A row is kept where either rank is at most `kept`; so each
ranking is complete down to `kept`, and the other rank of a row may be beyond it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32

from zipp_dagster.encoder import kernels
from zipp_dagster.encoder.model_io import ModelError
from zipp_dagster.fanout import IN_LINE, FanOut, own_errors
from zipp_dagster.graph.store import Block, GraphError, InteractionGraph, load_array
from zipp_dagster.progress import Progress, silent

SCHEMA = pa.schema(
    [
        ("user_id", pa.uint64()),
        ("subreddit", pa.dictionary(pa.int32(), pa.string())),
        ("attention", pa.float64()),
        ("dot", pa.float64()),
        ("tfidf", pa.float64()),
        ("count", pa.int64()),
        ("attention_rank", pa.int32()),
        ("dot_rank", pa.int32()),
    ]
)


# Where the file's own metadata says how many of each ranking it holds.
KEPT = b"zipp_ranks_kept"


class RankingError(ValueError):
    """A rankings file does not say what is needed to check it."""


@dataclass(frozen=True)
class RankingSummary:
    """Sizes, and how far the two rankings agree."""

    users: int
    rows: int
    dropped_rows: int
    largest_attention_error: float
    same_first: float


def write_rankings(
    graph_dir: Path,
    embeddings_dir: Path,
    out_file: Path,
    *,
    kept: int = 64,
    block_users: int = 50_000,
    progress: Progress = silent,
    fan_out: FanOut = IN_LINE,
) -> RankingSummary:
    """Write community_rankings, block by block, in the order of user ids and communities.

    Each block of users is an item of `fan_out`. The summary's `largest_attention_error` is the largest
    distance of a user's stored (float16) attention from a sum of 1, before it is normalised.

    Raises:
        GraphError: damaged files, or embeddings of another graph.
        ModelError: attention that does not sum to 1, within 1 %.
    """
    graph = InteractionGraph.open(graph_dir)
    opening = partial(_opened, graph_dir, embeddings_dir, kept)
    with opening():
        pass  # what is damaged is found before anything is written
    rows = same = 0
    error = 0.0
    # Without the Arrow schema in the file, every reader sees a plain string column.
    with (
        own_errors(),
        pq.ParquetWriter(out_file, SCHEMA, compression="zstd", store_schema=False) as writer,
    ):
        writer.add_key_value_metadata({KEPT: str(kept).encode()})
        for ranked in fan_out.stream(opening, _Ranker.block, graph.blocks(block_users)):
            writer.write_batch(ranked.rows)
            rows += ranked.rows.num_rows
            same += ranked.same_first
            error = max(error, ranked.error)
            progress(ranked.stop, graph.users, "users ranked")
    return RankingSummary(
        users=graph.users,
        rows=rows,
        dropped_rows=graph.edges - rows,
        largest_attention_error=error,
        same_first=same / graph.users,
    )


@contextmanager
def _opened(graph_dir: Path, embeddings_dir: Path, kept: int) -> Iterator[_Ranker]:
    graph = InteractionGraph.open(graph_dir)
    subreddits = np.load(embeddings_dir / "subreddit_embeddings.npy", allow_pickle=False)
    if subreddits.ndim != 2 or len(subreddits) != graph.subreddits:
        raise GraphError(
            f"{embeddings_dir / 'subreddit_embeddings.npy'} is {list(subreddits.shape)}, the graph "
            f"has {graph.subreddits} communities: materialise the embeddings again."
        )
    subreddits = interest_only(subreddits)
    shape = (graph.users, subreddits.shape[1])
    users = load_array(embeddings_dir / "user_embeddings.npy", (np.float16,), shape)
    attention = load_array(embeddings_dir / "attention.npy", (np.float16,), (graph.edges,))
    yield _Ranker(graph, users, subreddits, attention, kept)


def interest_only(
    subreddits: Float32[np.ndarray, "subreddits dim"],
) -> Float32[np.ndarray, "subreddits dim"]:
    """A copy of community embeddings whose last column, popularity, is zero (see `bipartite`)."""
    interest = np.array(subreddits, dtype=np.float32)
    interest[:, -1] = 0.0
    return interest


@dataclass(frozen=True)
class _Ranked:
    """One block's rows and figures."""

    stop: int
    rows: pa.RecordBatch
    same_first: int
    error: float


class _Ranker:
    """Ranks one block of users after another, in any thread or process."""

    def __init__(
        self,
        graph: InteractionGraph,
        users: np.ndarray,
        subreddits: np.ndarray,
        attention: np.ndarray,
        kept: int,
    ) -> None:
        self.graph, self.users, self.subreddits = graph, users, subreddits
        self.attention, self.kept = attention, kept
        self.rarity = np.log((1.0 + graph.users) / (1.0 + graph.subreddit_degree))
        self.names = pa.array(graph.subreddit_names, pa.string())

    def block(self, bounds: tuple[int, int]) -> _Ranked:
        """The kept rows of a range of users."""
        start, stop = bounds
        graph = self.graph
        block = graph.block(start, stop)
        dot = kernels.edge_slots(block.indptr)
        dense = np.ascontiguousarray(self.users[start:stop], dtype=np.float32)
        kernels.row_products(block.indptr, block.subreddit, dense, self.subreddits, dot)
        weight, error = _normalised(self.attention, block)
        by_attention, by_dot = _ranks(block, weight), _ranks(block, dot.astype(np.float64))
        keep = np.flatnonzero((by_attention <= self.kept) | (by_dot <= self.kept))
        owner = np.repeat(np.asarray(graph.user_ids[start:stop]), np.diff(block.indptr))
        count = graph.counts[graph.indptr[start] : graph.indptr[stop]][keep].astype(np.int64)
        index = block.subreddit[keep]
        columns = [
            pa.array(owner[keep]),
            pa.DictionaryArray.from_arrays(pa.array(index), self.names),
            pa.array(weight[keep]),
            pa.array(dot[keep].astype(np.float64)),
            pa.array(np.log1p(count) * self.rarity[index]),
            pa.array(count),
            pa.array(by_attention[keep]),
            pa.array(by_dot[keep]),
        ]
        return _Ranked(
            stop,
            pa.record_batch(columns, schema=SCHEMA),
            int(((by_attention == 1) & (by_dot == 1)).sum()),
            error,
        )


def _normalised(attention: np.ndarray, block: Block) -> tuple[np.ndarray, float]:
    """Attention that sums to 1 for each user with edges, and the largest error before."""
    lengths = np.diff(block.indptr)
    values = attention[block.edges].astype(np.float64)
    owner = np.repeat(np.arange(block.users), lengths)
    sums = np.bincount(owner, weights=values, minlength=block.users)
    error = float(np.abs(sums[lengths > 0] - 1.0).max(initial=0.0))
    # float16 rounds each weight by at most 0.05 %; a NaN fails this comparison too.
    if not error < 0.01:
        bad = block.start + int(np.argmax(np.where(lengths > 0, np.abs(sums - 1.0), 0.0)))
        raise ModelError(
            f"attention.npy: user row {bad} sums to {sums[bad - block.start]}, not 1: "
            "the embeddings are damaged or of another graph; materialise them again."
        )
    return values / sums[owner], error


def _ranks(block: Block, values: np.ndarray) -> np.ndarray:
    ranks = np.empty(len(values), dtype=np.int32)
    kernels.row_ranks(block.indptr, values, ranks)
    return ranks
