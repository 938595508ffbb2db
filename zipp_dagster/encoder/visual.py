"""The images that users posted, lined up with the graph's users.

What lives here: from the image_embeddings (or visual_profiles) table to arrays by user, and which
images training may see. What does not: the ImageAlign loss, and making the embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float32, Int

from zipp_dagster.graph.split import MESSAGE, LinkSplit
from zipp_dagster.graph.store import BLOCK_USERS, InteractionGraph

ROWS_AT_ONCE, POSTERS_AT_ONCE = 65_536, 10_000


@dataclass(frozen=True)
class UserImages:
    """Unit-norm image embeddings, sorted by user: user i's are `indptr[i]:indptr[i+1]`."""

    indptr: Int[np.ndarray, " users+1"]
    embeddings: Float32[np.ndarray, "images dim"]

    @property
    def count(self) -> Int[np.ndarray, " users"]:
        """Images per user."""
        return np.diff(self.indptr)

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return self.embeddings.shape[1]

    def draw(
        self, users: Int[np.ndarray, " batch"], per_user: int, rng: np.random.Generator
    ) -> tuple[Int[np.ndarray, " images"], Float32[np.ndarray, "images dim"]]:
        """Up to `per_user` random images of each given user, and their row in `users`."""
        counts = self.count[users]
        owner = np.repeat(np.arange(len(users)), counts)
        first = np.cumsum(counts) - counts
        rows = np.arange(len(owner)) - first[owner] + self.indptr[users][owner]
        shuffled = np.lexsort((rng.random(len(owner)), owner))
        position = np.arange(len(owner)) - first[owner]
        chosen = shuffled[position < per_user]
        return owner[chosen], self.embeddings[rows[chosen]]

    def profiles(
        self, posters: Int[np.ndarray, " posters"] | None = None
    ) -> tuple[Int[np.ndarray, " posters"], Float32[np.ndarray, "posters dim"]]:
        """Users with images (all by default), and the unit-norm mean of theirs."""
        posters = np.flatnonzero(self.count) if posters is None else posters
        sums = np.empty((len(posters), self.dim), dtype=np.float32)
        for start in range(0, len(posters), POSTERS_AT_ONCE):
            part = posters[start : start + POSTERS_AT_ONCE]
            counts = self.count[part]
            first = np.cumsum(counts) - counts
            rows = np.arange(counts.sum()) + np.repeat(self.indptr[part] - first, counts)
            sums[start : start + len(part)] = np.add.reduceat(self.embeddings[rows], first, axis=0)
        return posters, sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def align_images(graph: InteractionGraph, table: pa.Table) -> UserImages:
    """Sort a table of (user_id, embedding) by the graph's users; users outside it are left out.

    Raises:
        ValueError: embeddings of different widths, or not finite.
    """
    return _collect(graph, table, *_rows_by_user(graph, table))


def training_images(graph: InteractionGraph, split: LinkSplit, table: pa.Table) -> UserImages:
    """The images that ImageAlign may see: of seen users, and not from held-out communities.

    Where the table has a `subreddit` column, images posted in a community whose link is held out
    are dropped: they would tell about the target (rule 2 of the design).
    """
    user, row = _rows_by_user(graph, table)
    keep = split.seen[user]
    if "subreddit" in table.column_names:
        names = pa.array(graph.subreddit_names, pa.string())
        places = pc.index_in(table.column("subreddit").cast(pa.string()), value_set=names)
        community = places.fill_null(-1).to_numpy().astype(np.int64)[row]
        keep &= ~_held_out(graph, split, user, community)
    return _collect(graph, table, user[keep], row[keep])


def _held_out(
    graph: InteractionGraph,
    split: LinkSplit,
    user: Int[np.ndarray, " images"],
    community: Int[np.ndarray, " images"],
) -> Bool[np.ndarray, " images"]:
    """Whether the link between each image's user (ascending) and community is held out.

    A block of users at a time: the held-out links of everybody are tens of millions.
    """
    held = np.zeros(len(user), dtype=bool)
    for start, stop in graph.blocks(BLOCK_USERS):
        first, last = np.searchsorted(user, [start, stop])
        if first == last:
            continue
        low, high = int(graph.indptr[start]), int(graph.indptr[stop])
        hidden = low + np.flatnonzero(np.asarray(split.roles[low:high]) != MESSAGE)
        owner = np.searchsorted(graph.indptr[start : stop + 1], hidden, side="right") - 1 + start
        links = owner * graph.subreddits + graph.subreddit[hidden].astype(np.int64)
        here = slice(int(first), int(last))
        images = user[here] * graph.subreddits + community[here]
        held[here] = (community[here] >= 0) & np.isin(images, links, kind="sort")
    return held


def _rows_by_user(
    graph: InteractionGraph, table: pa.Table
) -> tuple[Int[np.ndarray, " images"], Int[np.ndarray, " images"]]:
    """User index, ascending, and table row of each image whose user the graph has."""
    ids = table.column("user_id").to_numpy().astype(np.uint64, copy=False)
    known = np.asarray(graph.user_ids)
    position = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    row = np.flatnonzero(known[position] == ids)
    user = position[row]
    # Stable: a user's images keep the table's order.
    order = np.argsort(user, kind="stable")
    return user[order], row[order]


def _collect(
    graph: InteractionGraph,
    table: pa.Table,
    user: Int[np.ndarray, " images"],
    row: Int[np.ndarray, " images"],
) -> UserImages:
    """The embeddings of these rows of the table; beside it, they alone are held in memory."""
    column = table.column("embedding")
    widths = set(pc.unique(pc.list_value_length(column)).drop_null().to_pylist()) or {0}
    if len(widths) > 1 or column.null_count:
        raise ValueError(
            f"Image embeddings have widths {sorted(widths)} or nulls; embed them again."
        )
    embeddings = np.empty((len(row), widths.pop()), dtype=np.float32)
    by_row = np.argsort(row)
    in_order, low = row[by_row], 0
    for chunk in column.chunks:
        for start in range(0, len(chunk), ROWS_AT_ONCE):
            part = chunk.slice(start, ROWS_AT_ONCE)
            values = part.flatten().to_numpy().astype(np.float32, copy=False)
            values = values.reshape(len(part), embeddings.shape[1])
            finite = np.isfinite(values).all(axis=1)
            if not finite.all():
                bad = low + int(np.argmin(finite))
                raise ValueError(
                    f"The image embedding in row {bad} is not finite; embed the images again."
                )
            first, last = np.searchsorted(in_order, [low, low + len(part)])
            embeddings[by_row[first:last]] = values[in_order[first:last] - low]
            low += len(part)
    counts = np.bincount(user, minlength=graph.users)
    return UserImages(np.concatenate([[0], np.cumsum(counts)]), embeddings)
