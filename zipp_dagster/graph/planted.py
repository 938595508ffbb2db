"""A synthetic interactions table with known latent interests, for tests and benchmarks.

What lives here: the planted world of graph and encoder measurements. What does not: the sample
world that the whole platform runs on (`zipp_dagster.sampleworld`).

Communities and users have latent interests of `topics` dimensions; a user joins a community with
probability ∝ popularity · exp(affinity), is somewhat more active where affinity is high, and posts
images whose embeddings are a noisy linear image of the interests.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from jaxtyping import Float32

EPOCH = int(datetime(2022, 1, 1, tzinfo=UTC).timestamp())
DAY = 86_400


@dataclass(frozen=True)
class PlantedWorld:
    """Tables as the platform has them, and the truth behind them."""

    interactions: pa.Table
    subreddit_names: list[str]
    subreddit_text: Float32[np.ndarray, "subreddits dim"]
    image_embeddings: pa.Table
    user_ids: np.ndarray
    affinity: Float32[np.ndarray, "users subreddits"]
    log_popularity: Float32[np.ndarray, " subreddits"]


def planted_world(
    users: int = 2_000,
    subreddits: int = 120,
    *,
    mean_communities: float = 10.0,
    topics: int = 12,
    text_dim: int = 48,
    image_dim: int = 32,
    image_user_share: float = 0.5,
    strength: float = 4.0,
    seed: int = 0,
) -> PlantedWorld:
    """Draw a world. The affinity matrix is dense: for up to some 10⁸ user–community pairs."""
    rng = np.random.default_rng(seed)
    # Sparse interests: most of a person's weight is on two or three topics.
    interests = rng.dirichlet(np.full(topics, 0.25), users).astype(np.float32)
    themes = rng.dirichlet(np.full(topics, 0.15), subreddits).astype(np.float32)
    themes /= np.linalg.norm(themes, axis=1, keepdims=True)
    affinity = strength * (interests / np.linalg.norm(interests, axis=1, keepdims=True)) @ themes.T
    log_popularity = rng.normal(0.0, 1.0, subreddits).astype(np.float32)

    degree = 1 + rng.negative_binomial(1.5, 1.5 / (0.5 + mean_communities), users)
    degree = np.minimum(degree, subreddits // 2)
    # Gumbel top-k draws communities without replacement in proportion to exp(logit).
    keys = affinity + log_popularity + rng.gumbel(size=affinity.shape).astype(np.float32)
    order = np.argsort(-keys, axis=1)
    user = np.repeat(np.arange(users), degree)
    slot = np.arange(len(user)) - np.repeat(np.cumsum(degree) - degree, degree)
    subreddit = order[user, slot]

    strength_here = affinity[user, subreddit]
    rate = np.exp(0.35 * strength_here + rng.normal(0.0, 1.0, len(user)))
    comments = rng.poisson(3.0 * rate)
    posts = np.maximum(rng.poisson(0.5 * rate), (comments == 0).astype(np.int64))
    first = EPOCH + rng.integers(0, 700 * DAY, len(user))
    last = first + rng.integers(0, 30 * DAY, len(user))
    names = [f"community_{index:05d}" for index in range(subreddits)]
    # Pseudonyms are hashes: not in the order in which the users were drawn.
    user_ids = rng.permutation(np.arange(1, users + 1, dtype=np.uint64) * np.uint64(7919))
    interactions = pa.table(
        {
            "user_id": user_ids[user],
            "subreddit": pa.array(np.array(names)[subreddit]),
            "posts": posts,
            "comments": comments,
            "score_log": rng.normal(0.5, 1.0, len(user)) * np.sqrt(posts + comments),
            "first_at": pa.array(first * 1_000_000, pa.timestamp("us")),
            "last_at": pa.array(last * 1_000_000, pa.timestamp("us")),
            "recency": 0.5 ** ((last.max() - last) / (180 * DAY)),
        }
    )
    mixing = rng.normal(size=(topics, text_dim)).astype(np.float32)
    text = themes @ mixing + rng.normal(0.0, 0.7, (subreddits, text_dim)).astype(np.float32)
    return PlantedWorld(
        interactions=interactions,
        subreddit_names=names,
        subreddit_text=text,
        image_embeddings=_images(rng, interests, user_ids, image_dim, image_user_share),
        user_ids=user_ids,
        affinity=affinity,
        log_popularity=log_popularity,
    )


def _images(
    rng: np.random.Generator,
    interests: np.ndarray,
    user_ids: np.ndarray,
    dim: int,
    share: float,
) -> pa.Table:
    posters = np.flatnonzero(rng.random(len(user_ids)) < share)
    owner = np.repeat(posters, rng.integers(2, 9, len(posters)))
    taste = interests @ rng.normal(size=(interests.shape[1], dim)).astype(np.float32)
    vectors = taste[owner] + rng.normal(0.0, 0.6, (len(owner), dim)) + 1.0
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    flat = pa.array(vectors.ravel())
    return pa.table(
        {
            "post_id": [f"p{index}" for index in range(len(owner))],
            "user_id": user_ids[owner],
            "embedding": pa.FixedSizeListArray.from_arrays(flat, dim).cast(pa.list_(pa.float32())),
        }
    )
