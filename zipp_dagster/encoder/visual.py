"""The images that users posted, lined up with the graph's users.

What lives here: from the image_embeddings (or visual_profiles) table to arrays by user, and which
images training may see. What does not: the ImageAlign loss, and making the embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float32, Int

from zipp_dagster.graph.split import MESSAGE, LinkSplit
from zipp_dagster.graph.store import InteractionGraph


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

    def profiles(self) -> tuple[Int[np.ndarray, " posters"], Float32[np.ndarray, "posters dim"]]:
        """Users with images, and the unit-norm mean of theirs."""
        posters = np.flatnonzero(self.count)
        if len(posters) == 0:
            return posters, np.zeros((0, self.dim), dtype=np.float32)
        sums = np.add.reduceat(self.embeddings, self.indptr[:-1][posters], axis=0)
        return posters, sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def align_images(graph: InteractionGraph, table: pa.Table) -> UserImages:
    """Sort a table of (user_id, embedding) by the graph's users; users outside it are left out.

    Raises:
        ValueError: embeddings of different widths, or not finite.
    """
    user, row, embeddings = _rows_by_user(graph, table)
    counts = np.bincount(user, minlength=graph.users)
    return UserImages(np.concatenate([[0], np.cumsum(counts)]), embeddings[row])


def training_images(graph: InteractionGraph, split: LinkSplit, table: pa.Table) -> UserImages:
    """The images that ImageAlign may see: of seen users, and not from held-out communities.

    Where the table has a `subreddit` column, images posted in a community whose link is held out
    are dropped: they would tell about the target (rule 2 of the design).
    """
    user, row, embeddings = _rows_by_user(graph, table)
    keep = split.seen[user]
    if "subreddit" in table.column_names:
        index_of = {name: index for index, name in enumerate(graph.subreddit_names)}
        names = table.column("subreddit").to_pylist()
        held: set[tuple[int, int]] = set()
        owner = np.repeat(np.arange(graph.users), graph.degrees)
        hidden = np.flatnonzero(np.asarray(split.roles) != MESSAGE)
        held.update(zip(owner[hidden].tolist(), graph.subreddit[hidden].tolist()))
        keep &= np.array(
            [
                (int(u), index_of.get(names[r], -1)) not in held
                for u, r in zip(user.tolist(), row.tolist())
            ],
            dtype=bool,
        )
    user, row = user[keep], row[keep]
    counts = np.bincount(user, minlength=graph.users)
    return UserImages(np.concatenate([[0], np.cumsum(counts)]), embeddings[row])


def _rows_by_user(
    graph: InteractionGraph, table: pa.Table
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    column = table.column("embedding").combine_chunks()
    widths = set(pc.list_value_length(column).to_pylist()) or {0}
    if len(widths) > 1 or column.null_count:
        raise ValueError(
            f"Image embeddings have widths {sorted(widths)} or nulls; embed them again."
        )
    embeddings = column.flatten().to_numpy().astype(np.float32).reshape(len(column), widths.pop())
    if not np.isfinite(embeddings).all():
        bad = int(np.argmax(~np.isfinite(embeddings).all(axis=1)))
        raise ValueError(f"The image embedding in row {bad} is not finite; embed the images again.")
    ids = table.column("user_id").to_numpy().astype(np.uint64)
    known = np.asarray(graph.user_ids)
    position = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    row = np.flatnonzero(known[position] == ids)
    user = position[row]
    # Stable: a user's images keep the table's order.
    order = np.argsort(user, kind="stable")
    return user[order], row[order], embeddings
