"""A heavy-tailed random graph in the layout of `store`, of any size, for measurements of speed.

What lives here: sizes and shapes like those of a real interaction graph, without any structure to
learn. What does not: the world with interests to find (`planted`).

Degrees of users are log-normal (most have a few communities, some have thousands), communities are
drawn by a power law and numbered at random, so that popular ones are scattered over the arrays as
they are under real names. Nothing larger than one block of users is ever in memory.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int
from numba import njit
from numpy.lib.format import open_memmap

from zipp_dagster.graph.store import FEATURES, FORMAT
from zipp_dagster.progress import Progress, silent

# Spread of ln(degree): at 11 communities a user on average the median user has 5.
DEGREE_SPREAD = 1.4
# A uniform number to this power: a twentieth of the communities hold over a third of the edges.
SKEW = 3.0
PARTIAL = "partial.json"


def write_heavy_tailed_graph(
    directory: Path,
    users: int,
    edges: int,
    subreddits: int,
    *,
    seed: int = 0,
    block_users: int = 200_000,
    progress: Progress = silent,
) -> None:
    """Write a graph directory, or what is left of one that was interrupted; same seed, same bytes.

    Args:
        directory: an existing directory; one that holds this very graph is left as it is.
        users: U.
        edges: E, exactly; between U and a tenth of U × S.
        subreddits: S, at least 40.
        seed: of everything random.
        block_users: users drawn at once.
        progress: told users.

    Raises:
        ValueError: sizes that do not go together, or a directory that holds another graph.
    """
    if subreddits < 40 or not users <= edges <= users * subreddits // 10:
        raise ValueError(
            f"{users} users, {edges} edges and {subreddits} communities do not make a graph: give "
            "40 communities or more, and from 1 to a tenth of the communities a user on average."
        )
    recipe = {"users": users, "edges": edges, "subreddits": subreddits, "seed": seed}
    done = _unfinished(directory, recipe)
    if done is None:
        return
    degree = _degrees(users, edges, subreddits, seed)
    indptr = np.concatenate([[0], np.cumsum(degree)])
    mode = "r+" if done else "w+"
    index_type = np.uint16 if subreddits <= 2**16 else np.uint32
    files = {
        name: open_memmap(directory / f"{name}.npy", mode=mode, dtype=dtype, shape=shape)
        for name, dtype, shape in (
            ("subreddit", index_type, (edges,)),
            ("features", np.float16, (edges, len(FEATURES))),
            ("counts", np.uint32, (edges,)),
            ("first_seen", np.uint32, (edges,)),
        )
    }
    number = np.random.default_rng([seed, 1]).permutation(subreddits)
    for start in range(done, users, block_users):
        stop = min(start + block_users, users)
        low, high = int(indptr[start]), int(indptr[stop])
        rng = np.random.default_rng([seed, 2, start])
        rank = (subreddits * rng.random(high - low) ** SKEW).astype(np.int64)
        drawn = number[rank]
        _sort_distinct(indptr[start : stop + 1] - low, drawn, subreddits)
        files["subreddit"][low:high] = drawn
        files["features"][low:high] = rng.standard_normal(
            (high - low, len(FEATURES)), dtype=np.float32
        )
        files["counts"][low:high] = rng.integers(1, 50, high - low)
        files["first_seen"][low:high] = rng.integers(1_400_000_000, 1_700_000_000, high - low)
        (directory / PARTIAL).write_text(json.dumps(recipe | {"done": stop}))
        progress(stop, users, "users drawn")
    _finish(directory, files["subreddit"], indptr, recipe)


def _unfinished(directory: Path, recipe: dict[str, int]) -> int | None:
    """The first user still to be drawn; None where the graph is complete."""
    state, meta = directory / PARTIAL, directory / "graph.json"
    if meta.exists():
        if json.loads(meta.read_text()).get("recipe") != recipe:
            raise ValueError(f"{directory} holds another graph than {recipe}: give a new folder.")
        return None
    if not state.exists():
        return 0
    held = json.loads(state.read_text())
    done = int(held.pop("done"))
    return done if held == recipe else 0


def _degrees(users: int, edges: int, subreddits: int, seed: int) -> Int[np.ndarray, " users"]:
    """Log-normal, at least 1 and at most a quarter of the communities, with the exact sum."""
    rng = np.random.default_rng([seed, 3])
    shape = np.exp(DEGREE_SPREAD * rng.standard_normal(users))
    most = subreddits // 4

    def scaled(factor: float) -> np.ndarray:
        return np.clip(1 + (factor * shape).astype(np.int64), 1, most)

    low, high = 0.0, float(edges)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if scaled(middle).sum() > edges else (middle, high)
    degree = scaled(low)
    # What the rounding left over goes to random users, one each.
    missing = edges - int(degree.sum())
    while missing:
        able = np.flatnonzero(degree < most)
        chosen = rng.choice(able, min(missing, len(able)), replace=False)
        degree[chosen] += 1
        missing -= len(chosen)
    return degree


@njit(cache=True, nogil=True)
def _sort_distinct(indptr, drawn, subreddits):  # type: ignore[no-untyped-def]
    # In place: each user's communities ascending; a repeat moves on to the next free number.
    for user in range(len(indptr) - 1):
        row = drawn[indptr[user] : indptr[user + 1]]
        row.sort()
        for i in range(1, len(row)):
            row[i] = max(row[i], row[i - 1] + 1)
        limit = subreddits
        for i in range(len(row) - 1, -1, -1):
            limit = min(limit - 1, row[i])
            row[i] = limit


def _finish(
    directory: Path, subreddit: np.ndarray, indptr: np.ndarray, recipe: dict[str, int]
) -> None:
    subreddits, edges = recipe["subreddits"], recipe["edges"]
    degree = np.zeros(subreddits, dtype=np.int64)
    for start in range(0, edges, 10_000_000):
        degree += np.bincount(subreddit[start : start + 10_000_000], minlength=subreddits)
    np.save(directory / "indptr.npy", indptr)
    np.save(directory / "user_ids.npy", np.arange(1, recipe["users"] + 1, dtype=np.uint64))
    names = pa.table(
        {
            "index": np.arange(subreddits),
            "subreddit": [f"s{i:06d}" for i in range(subreddits)],
            "degree": degree,
            "total_count": degree,
        }
    )
    pq.write_table(names, directory / "subreddits.parquet")
    meta = {"format": FORMAT, "users": recipe["users"], "subreddits": subreddits, "edges": edges}
    text = json.dumps(meta | {"features": FEATURES, "recipe": recipe}, indent=1)
    (directory / "graph.json").write_text(text + "\n")
    (directory / PARTIAL).unlink()
