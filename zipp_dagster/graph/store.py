"""Reading the graph: memory-mapped CSR arrays, validated as they are read, in blocks of users.

What lives here: the file layout and the reader. What does not: building the files (`csr`).

Layout of a graph directory, with U users, S communities and E edges (user, community). Edges are
sorted by user id, then by community index; communities are indexed in the order of their names:

| file | dtype and shape | content |
|---|---|---|
| `graph.json` | | format, sizes, feature names |
| `user_ids.npy` | uint64 [U] | keyed pseudonyms, ascending |
| `indptr.npy` | int64 [U+1] | user i's edges are `indptr[i]:indptr[i+1]` |
| `subreddit.npy` | uint16 or uint32 [E] | community index |
| `features.npy` | float16 [E, 4] | `FEATURES` |
| `counts.npy` | uint32 [E] | posts + comments |
| `first_seen.npy` | uint32 [E] | first activity, seconds since 1970 |
| `subreddits.parquet` | | index, subreddit, degree, total_count |
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Bool, Float, Int, UInt

FORMAT = 1
# What is read at once where all edges are counted or sorted: some 6 million edges of a real graph.
BLOCK_USERS, BLOCK_EDGES = 500_000, 8_000_000
FEATURES = ("log_posts", "log_comments", "signed_log_score", "log_recency")


_reading_headers = threading.Lock()
"""Numpy parses a header with `ast`, which in Python before 3.11.8 two threads must not do (gh-106905)."""


class GraphError(ValueError):
    """A graph file is missing, cut short, or holds values that cannot be."""


def map_array(path: Path) -> np.memmap:
    """Memory-map an .npy file for reading; threads take turns at its header."""
    with _reading_headers:
        mapped: np.memmap = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


def load_array(path: Path, dtypes: tuple[type, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Memory-map an .npy file and hold it to a dtype and a shape.

    Raises:
        GraphError: the file is missing, cut short, or has another dtype or shape.
    """
    try:
        array: np.ndarray = map_array(path)
    except FileNotFoundError as error:
        raise GraphError(f"{path} is missing; rebuild the artifact it belongs to.") from error
    except (ValueError, OSError, EOFError) as error:
        raise GraphError(f"{path} is cut short or damaged ({error}); rebuild it.") from error
    if array.dtype not in [np.dtype(kind) for kind in dtypes] or array.shape != shape:
        expected = " or ".join(np.dtype(kind).name for kind in dtypes)
        raise GraphError(
            f"{path} is {array.dtype} {list(array.shape)}, expected {expected} {list(shape)}: "
            "it belongs to another graph. Rebuild it."
        )
    return array


@dataclass(frozen=True)
class Block:
    """The edges of the users `start:stop`, in memory: a CSR of its own.

    `edges` holds each edge's position in the whole graph.
    """

    start: int
    stop: int
    indptr: Int[np.ndarray, " users+1"]
    subreddit: Int[np.ndarray, " edges"]
    features: Float[np.ndarray, "edges 4"]
    edges: Int[np.ndarray, " edges"]

    @property
    def users(self) -> int:
        """Number of users in the block."""
        return self.stop - self.start


@dataclass(frozen=True)
class InteractionGraph:
    """Who is active where: users × communities as memory-mapped CSR arrays."""

    directory: Path
    user_ids: UInt[np.ndarray, " users"]
    indptr: Int[np.ndarray, " users+1"]
    subreddit: UInt[np.ndarray, " edges"]
    features: Float[np.ndarray, "edges 4"]
    counts: UInt[np.ndarray, " edges"]
    first_seen: UInt[np.ndarray, " edges"]
    subreddit_names: tuple[str, ...]
    subreddit_degree: Int[np.ndarray, " subreddits"]

    @classmethod
    def open(cls, directory: Path) -> InteractionGraph:
        """Open a graph directory without loading its edges.

        Raises:
            GraphError: a file is missing, cut short, or disagrees with `graph.json`.
        """
        try:
            meta = json.loads((directory / "graph.json").read_text())
        except FileNotFoundError as error:
            raise GraphError(f"{directory} holds no graph.json; build the graph first.") from error
        if meta.get("format") != FORMAT:
            raise GraphError(f"{directory} has graph format {meta.get('format')}, not {FORMAT}.")
        users, subreddits, edges = meta["users"], meta["subreddits"], meta["edges"]
        table = pq.read_table(directory / "subreddits.parquet")
        if table.num_rows != subreddits:
            raise GraphError(
                f"{directory / 'subreddits.parquet'} has {table.num_rows} rows, "
                f"graph.json says {subreddits}; rebuild the graph."
            )
        indptr = load_array(directory / "indptr.npy", (np.int64,), (users + 1,))
        if int(indptr[0]) != 0 or int(indptr[-1]) != edges:
            raise GraphError(
                f"{directory / 'indptr.npy'} runs from {indptr[0]} to {indptr[-1]}, "
                f"expected 0 to {edges}; rebuild the graph."
            )
        return cls(
            directory=directory,
            user_ids=load_array(directory / "user_ids.npy", (np.uint64,), (users,)),
            indptr=indptr,
            subreddit=load_array(directory / "subreddit.npy", (np.uint16, np.uint32), (edges,)),
            features=load_array(directory / "features.npy", (np.float16,), (edges, 4)),
            counts=load_array(directory / "counts.npy", (np.uint32,), (edges,)),
            first_seen=load_array(directory / "first_seen.npy", (np.uint32,), (edges,)),
            subreddit_names=tuple(table.column("subreddit").to_pylist()),
            subreddit_degree=table.column("degree").to_numpy().astype(np.int64),
        )

    @property
    def users(self) -> int:
        """U, the number of users."""
        return len(self.user_ids)

    @property
    def subreddits(self) -> int:
        """S, the number of communities."""
        return len(self.subreddit_names)

    @property
    def edges(self) -> int:
        """E, the number of (user, community) pairs."""
        return len(self.subreddit)

    @cached_property
    def degrees(self) -> Int[np.ndarray, " users"]:
        """Communities per user."""
        return np.diff(self.indptr)

    def block(self, start: int, stop: int, keep: Bool[np.ndarray, " edges"] | None = None) -> Block:
        """Read the edges of the users `start:stop`, checked; with `keep`, only where it is true.

        Args:
            start: first user index.
            stop: user index after the last one.
            keep: bool [E] over the whole graph (may be memory-mapped).

        Raises:
            GraphError: a community index out of range, a NaN feature, or a pointer that goes back.
        """
        bounds = np.asarray(self.indptr[start : stop + 1])
        lengths = np.diff(bounds)
        if len(lengths) and lengths.min() < 0:
            bad = start + int(np.argmin(lengths))
            raise GraphError(
                f"{self.directory / 'indptr.npy'} goes back at user row {bad}; rebuild the graph."
            )
        low, high = int(bounds[0]), int(bounds[-1])
        subreddit = self.subreddit[low:high].astype(np.int32)
        features = self.features[low:high].astype(np.float32)
        self._check(subreddit, features, low)
        edges = np.arange(low, high)
        local = bounds - low
        if keep is not None:
            mask = np.asarray(keep[low:high], dtype=bool)
            local = np.concatenate([[0], np.cumsum(mask)])[local]
            subreddit, features, edges = subreddit[mask], features[mask], edges[mask]
        return Block(start, stop, local.astype(np.int64), subreddit, features, edges)

    def _check(self, subreddit: np.ndarray, features: np.ndarray, low: int) -> None:
        if len(subreddit) and int(subreddit.max()) >= self.subreddits:
            bad = low + int(np.argmax(subreddit >= self.subreddits))
            raise GraphError(
                f"{self.directory / 'subreddit.npy'}: edge {bad} points to community "
                f"{subreddit[bad - low]}, but there are {self.subreddits}; rebuild the graph."
            )
        # One sum is NaN or infinite exactly when some value is: no [edges, 4] mask is needed.
        if not np.isfinite(features.sum(dtype=np.float64)):
            bad = low + int(np.argmax(~np.isfinite(features).all(axis=1)))
            raise GraphError(
                f"{self.directory / 'features.npy'}: edge {bad} is not finite "
                f"({features[bad - low].tolist()}); rebuild the graph."
            )

    def blocks(self, size: int) -> list[tuple[int, int]]:
        """User ranges of at most `size` users that cover the graph in order."""
        return [(start, min(start + size, self.users)) for start in range(0, self.users, size)]

    def user_counts(self, keep: Bool[np.ndarray, " edges"]) -> Int[np.ndarray, " users"]:
        """How many of each user's edges are kept; never more than a block of them in memory."""
        found = np.empty(self.users, dtype=np.int64)
        for start, stop in self.blocks(BLOCK_USERS):
            bounds = np.asarray(self.indptr[start : stop + 1])
            part = np.concatenate([[0], np.cumsum(keep[bounds[0] : bounds[-1]], dtype=np.int64)])
            found[start:stop] = np.diff(part[bounds - bounds[0]])
        return found

    def subreddit_counts(self, keep: Bool[np.ndarray, " edges"]) -> Int[np.ndarray, " subreddits"]:
        """How many of each community's edges are kept; never more than a block of them in memory."""
        found = np.zeros(self.subreddits, dtype=np.int64)
        for low in range(0, self.edges, BLOCK_EDGES):
            part = slice(low, low + BLOCK_EDGES)
            found += np.bincount(self.subreddit[part][keep[part]], minlength=self.subreddits)
        return found

    def verify(self, block_users: int = 100_000) -> None:
        """Read every edge once and hold it to the layout: ranges, order, finite features.

        Raises:
            GraphError: naming the file and the row.
        """
        ids = np.asarray(self.user_ids)
        if len(ids) > 1 and not (ids[1:] > ids[:-1]).all():
            bad = int(np.argmin(ids[1:] > ids[:-1])) + 1
            raise GraphError(f"{self.directory / 'user_ids.npy'} is not ascending at row {bad}.")
        for start, stop in self.blocks(block_users):
            block = self.block(start, stop)
            steps = np.diff(block.subreddit)
            inner = np.ones(max(len(block.subreddit) - 1, 0), dtype=bool)
            firsts = block.indptr[1:-1]
            inner[firsts[(firsts > 0) & (firsts < len(block.subreddit))] - 1] = False
            if (steps[inner] <= 0).any():
                bad = int(block.edges[1:][inner][np.argmax(steps[inner] <= 0)])
                raise GraphError(
                    f"{self.directory / 'subreddit.npy'}: edge {bad} is a duplicate or out of "
                    "order within its user; rebuild the graph."
                )
