"""Image retrieval, what ImageAlign is for: a user's embedding finds the user's own images.

What lives here: image retrieval over users that training never saw. What does not: link scores.

Every encoder gets the same chance: a ridge regression from user embeddings to visual profiles is
fitted on seen users, and unseen users' predictions rank all unseen users' profiles by cosine. For a
model with ImageAlign, its own image head is judged the same way, without any fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

from zipp_dagster.encoder.visual import UserImages
from zipp_dagster.graph.split import LinkSplit

MIN_USERS = 5
SIMILARITIES_AT_ONCE = 16_000_000


@dataclass(frozen=True)
class RetrievalResults:
    """Per unseen user with images: the rank of the own profile among `candidates`."""

    name: str
    user: Int[np.ndarray, " posters"]
    rank: Float[np.ndarray, " posters"]
    candidates: int

    def values(self) -> dict[str, Float[np.ndarray, " posters"]]:
        """Metrics per user; `image_auc` is the share of other profiles that are less alike."""
        others = max(self.candidates - 1, 1)
        return {
            "image_hits10": (self.rank <= 10).astype(np.float64),
            "image_mrr": 1.0 / self.rank,
            "image_auc": 1.0 - (self.rank - 1.0) / others,
        }


def image_retrieval(
    name: str,
    vectors: Float[np.ndarray, "users dim"],
    images: UserImages,
    split: LinkSplit,
    head: tuple[np.ndarray, np.ndarray] | None = None,
    posters: Int[np.ndarray, " posters"] | None = None,
) -> RetrievalResults | str:
    """Rank unseen users' profiles for each of them; a reason in words where that cannot be done.

    Args:
        name: of the encoder.
        vectors: user embeddings that were computed from message edges only.
        images: all users' images.
        split: says who is unseen.
        head: weight [image_dim, dim] and bias of the model's image head; None fits a ridge.
        posters: users with images, ascending; all by default.
    """
    posters, profiles = images.profiles(posters)
    seen = split.seen[posters]
    if (~seen).sum() < MIN_USERS or seen.sum() < MIN_USERS:
        return (
            f"{int(seen.sum())} seen and {int((~seen).sum())} unseen users have images; "
            f"retrieval needs {MIN_USERS} of each"
        )
    features = np.asarray(vectors[posters], dtype=np.float64)
    # What all profiles share does not tell users apart.
    mean = profiles[seen].mean(axis=0)
    if head is None:
        predicted = _ridge(features[seen], profiles[seen] - mean, features[~seen])
    else:
        predicted = features[~seen] @ head[0].T + head[1]
    wanted = profiles[~seen] - mean
    return RetrievalResults(
        name, posters[~seen], _ranks(_unit(predicted), _unit(wanted)), len(wanted)
    )


def _ranks(
    predicted: Float[np.ndarray, "posters image"], wanted: Float[np.ndarray, "posters image"]
) -> Float[np.ndarray, " posters"]:
    """The rank of each row's own profile; all similarities at once would be posters²."""
    rank = np.empty(len(wanted))
    step = max(1, SIMILARITIES_AT_ONCE // len(wanted))
    for start in range(0, len(wanted), step):
        similarity = predicted[start : start + step] @ wanted.T
        row = np.arange(len(similarity))
        own = similarity[row, start + row][:, None]
        level = (similarity == own).sum(axis=1) - 1
        rank[start : start + step] = 1.0 + (similarity > own).sum(axis=1) + 0.5 * level
    return rank


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _ridge(
    x: Float[np.ndarray, "seen dim"],
    y: Float32[np.ndarray, "seen image"],
    new: Float[np.ndarray, "unseen dim"],
) -> Float[np.ndarray, "unseen image"]:
    """Ridge with intercept; the penalty with the least generalised cross-validation error."""
    centre, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    shift = y.mean(axis=0)
    u, s, vt = np.linalg.svd((x - centre) / scale, full_matrices=False)
    projected = u.T @ (y - shift)
    best: tuple[float, np.ndarray] | None = None
    for penalty in np.logspace(-2, 4, 13) * len(x) / 1000:
        shrink = s**2 / (s**2 + penalty)
        residual = (y - shift) - u @ (shrink[:, None] * projected)
        error = float((residual**2).mean()) / max(1e-12, 1.0 - shrink.sum() / len(x)) ** 2
        if best is None or error < best[0]:
            best = (error, vt.T @ ((s / (s**2 + penalty))[:, None] * projected))
    assert best is not None
    return ((new - centre) / scale) @ best[1] + shift
