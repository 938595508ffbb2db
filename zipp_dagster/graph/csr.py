"""Building the graph: the interactions table streamed through DuckDB into CSR arrays.

What lives here: `build_csr`. What does not: the file layout and its reader (`store`, whose
`InteractionGraph` is re-exported here).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib.format import open_memmap

from zipp_dagster.graph.store import FEATURES, FORMAT, Block, GraphError, InteractionGraph
from zipp_dagster.progress import Progress, silent

__all__ = ["Block", "GraphError", "GraphSummary", "InteractionGraph", "build_csr"]

# Half-lives ago after which older activity looks the same: keeps ln(recency) finite in float16.
OLDEST_RECENCY = 1e-7

SUBREDDITS_SQL = """
create or replace temp table graph_subreddits as
select (row_number() over (order by subreddit)) - 1 as index, subreddit, degree, total_count
from (
    select subreddit, count(*) as degree, sum(posts + comments)::bigint as total_count
    from read_parquet($files)
    group by subreddit
    having count(*) >= $min_users
)
"""

# float32 in SQL, float16 on disk: NaN and NULL are both seen by the check on the batch.
EDGES_SQL = """
select
    i.user_id::ubigint as user_id,
    s.index::uinteger as subreddit,
    ln(1 + i.posts)::float as log_posts,
    ln(1 + i.comments)::float as log_comments,
    (sign(i.score_log) * ln(1 + abs(i.score_log)))::float as signed_log_score,
    ln(greatest(i.recency, $oldest))::float as log_recency,
    (i.posts + i.comments)::uinteger as counts,
    epoch(i.first_at)::bigint::uinteger as first_seen
from read_parquet($files) i
join graph_subreddits s using (subreddit)
order by i.user_id, s.index
"""


@dataclass(frozen=True)
class GraphSummary:
    """What was built, for metadata."""

    users: int
    subreddits: int
    edges: int
    dropped_edges: int
    mean_communities: float
    max_communities: int
    one_community_users: int
    bytes: int


def build_csr(
    interaction_files: list[Path],
    out_dir: Path,
    connection: duckdb.DuckDBPyConnection,
    *,
    min_subreddit_users: int = 1,
    batch_rows: int = 500_000,
    progress: Progress = silent,
) -> GraphSummary:
    """Build the CSR arrays of `store` from the interactions table.

    DuckDB joins and sorts (spilling where its memory limit says so); the sorted edges are streamed
    in record batches straight into memory-mapped arrays. Same table, same bytes.

    Args:
        interaction_files: Parquet files of the `interactions` table.
        out_dir: an existing, empty directory.
        connection: an open DuckDB connection; a temporary table is made in it.
        min_subreddit_users: communities with fewer users are left out.
        batch_rows: rows per record batch.
        progress: told the edges written so far.

    Raises:
        GraphError: no edge, a duplicate (user, community), a null or NaN feature.
    """
    if not interaction_files:
        raise GraphError("No interactions file was given; materialise `interactions` first.")
    files = [str(path) for path in interaction_files]
    connection.execute(SUBREDDITS_SQL, {"files": files, "min_users": min_subreddit_users})
    users, edges = _one(
        connection,
        "select count(distinct user_id), count(*) from read_parquet($files) "
        "semi join graph_subreddits using (subreddit)",
        files,
    )
    (rows,) = _one(connection, "select count(*) from read_parquet($files)", files)
    if edges == 0:
        raise GraphError(
            f"No edge is left of {rows} interactions: lower graph.min_subreddit_users "
            f"({min_subreddit_users}) or check the interactions table."
        )
    names = connection.sql("from graph_subreddits order by index").to_arrow_table()
    pq.write_table(names, out_dir / "subreddits.parquet", compression="zstd")

    writer = _Writer(out_dir, users, len(names), edges)
    edge_rows = connection.sql(EDGES_SQL, params={"files": files, "oldest": OLDEST_RECENCY})
    reader = edge_rows.to_arrow_reader(batch_rows)
    for batch in reader:
        writer.add(batch)
        progress(writer.written, edges, "edges")
    degrees = writer.close()
    connection.execute("drop table graph_subreddits")
    meta = {
        "format": FORMAT,
        "users": users,
        "subreddits": len(names),
        "edges": edges,
        "features": FEATURES,
    }
    (out_dir / "graph.json").write_text(json.dumps(meta, indent=1) + "\n")
    return GraphSummary(
        users=users,
        subreddits=len(names),
        edges=edges,
        dropped_edges=rows - edges,
        mean_communities=edges / users,
        max_communities=int(degrees.max()),
        one_community_users=int((degrees == 1).sum()),
        bytes=sum(path.stat().st_size for path in out_dir.iterdir()),
    )


def _one(connection: duckdb.DuckDBPyConnection, query: str, files: list[str]) -> tuple[int, ...]:
    # All rows: DuckDB refuses the next query while a result has rows left to fetch.
    return connection.execute(query, {"files": files}).fetchall()[0]


class _Writer:
    """Appends sorted edges to the arrays, batch by batch."""

    def __init__(self, out_dir: Path, users: int, subreddits: int, edges: int) -> None:
        index_type = np.uint16 if subreddits <= 2**16 else np.uint32

        def array(name: str, dtype: type, shape: tuple[int, ...]) -> np.memmap:
            return open_memmap(out_dir / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)

        self.subreddit = array("subreddit", index_type, (edges,))
        self.features = array("features", np.float16, (edges, len(FEATURES)))
        self.counts = array("counts", np.uint32, (edges,))
        self.first_seen = array("first_seen", np.uint32, (edges,))
        self.user_ids = array("user_ids", np.uint64, (users,))
        self.indptr = array("indptr", np.int64, (users + 1,))
        self.written = 0
        self.users = 0
        self.last: tuple[int, int] | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        low, high = self.written, self.written + batch.num_rows
        for name in (*FEATURES, "counts", "first_seen"):
            if batch.column(name).null_count:
                raise GraphError(f"interactions: {name} is null in sorted row {low} or after it.")
        user = batch.column("user_id").to_numpy()
        subreddit = batch.column("subreddit").to_numpy()
        features = np.stack([batch.column(name).to_numpy() for name in FEATURES], axis=1)
        if not np.isfinite(features).all():
            row, column = np.argwhere(~np.isfinite(features))[0]
            raise GraphError(
                f"interactions: {FEATURES[column]} is {features[row, column]} in sorted row "
                f"{low + row}; repair the interactions table."
            )
        self._check_unique(user, subreddit, low)
        fresh = np.concatenate(
            [[self.last is None or user[0] != self.last[0]], user[1:] != user[:-1]]
        )
        starts = np.flatnonzero(fresh)
        self.user_ids[self.users : self.users + len(starts)] = user[starts]
        self.indptr[self.users : self.users + len(starts)] = low + starts
        self.subreddit[low:high] = subreddit
        self.features[low:high] = features
        self.counts[low:high] = batch.column("counts").to_numpy()
        self.first_seen[low:high] = batch.column("first_seen").to_numpy()
        self.users += len(starts)
        self.written = high
        self.last = (int(user[-1]), int(subreddit[-1]))

    def _check_unique(self, user: np.ndarray, subreddit: np.ndarray, low: int) -> None:
        same = (user[1:] == user[:-1]) & (subreddit[1:] == subreddit[:-1])
        if same.any() or self.last == (int(user[0]), int(subreddit[0])):
            row = low + (int(np.argmax(same)) + 1 if same.any() else 0)
            raise GraphError(
                f"interactions has two rows for one user and community (sorted row {row}); "
                "it must be unique on (user_id, subreddit)."
            )

    def close(self) -> np.ndarray:
        if self.users != len(self.user_ids) or self.written != len(self.subreddit):
            raise GraphError("interactions changed while the graph was built; run it again.")
        self.indptr[-1] = self.written
        degrees = np.diff(self.indptr)
        for array in (
            self.subreddit,
            self.features,
            self.counts,
            self.first_seen,
            self.user_ids,
            self.indptr,
        ):
            array.flush()
        return degrees
