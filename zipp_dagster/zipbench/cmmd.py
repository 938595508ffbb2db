"""CMMD between two sets of pictures: as published, unbiased, and its floor.

Two traps that this module is built around : at the paper's bandwidth σ = 10 the
kernel on unit vectors is almost linear, so its CMMD is about 10·‖μx − μy‖² and hardly sees spread;
and its estimator is biased, with a floor that grows as the sets shrink. So the paper's variant
stands beside the unbiased U-statistic at the median-heuristic bandwidth, the number of pictures,
and what two halves of the *same* people's pictures score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

PAPER_SIGMA = 10.0
SCALE = 1000.0
_ROWS = 2048
_FLOOR_SPLITS = 50
_MEDIAN_POINTS = 2000

Embeddings = NDArray[np.floating]
"""Unit-norm rows [pictures, dimensions]."""


@dataclass(frozen=True)
class Floor:
    """What two disjoint halves of one set score: mean and 95th percentile over random splits.

    `high` is None for a mean over users: a mean of percentiles is no percentile of the mean.
    """

    mean: float
    high: float | None


def cmmd(x: Embeddings, y: Embeddings, sigma: float = PAPER_SIGMA, scale: float = SCALE) -> float:
    """CMMD as published: scale·(mean K_xx + mean K_yy − 2 mean K_xy), biased (self-pairs count)."""
    _check(x, y, least=1)
    within = _mean_kernel(x, x, sigma) + _mean_kernel(y, y, sigma)
    return scale * (within - 2.0 * _mean_kernel(x, y, sigma))


def cmmd_unbiased(
    x: Embeddings, y: Embeddings, sigma: float, scale: float = SCALE, *, paired: bool = False
) -> float:
    """The U-statistic of the same distance, without self-pairs: zero in expectation.

    `paired` says that row i of both sets is one case: such rows resemble each other for the case's
    sake, so K_xy leaves them out too, else the distance would be negative for that reason alone.
    """
    _check(x, y, least=2)
    between = _mean_kernel(x, y, sigma)
    if paired:
        if len(x) != len(y):
            raise ValueError(f"paired sets differ in size: {len(x)} and {len(y)}")
        squares = ((np.asarray(x, np.float64) - np.asarray(y, np.float64)) ** 2).sum(1)
        matched = float(np.exp(squares / (-2.0 * sigma * sigma)).sum())
        between = (between * len(x) ** 2 - matched) / (len(x) * (len(x) - 1))
    return scale * (_mean_pair_kernel(x, sigma) + _mean_pair_kernel(y, sigma) - 2.0 * between)


def median_bandwidth(x: Embeddings) -> float:
    """Median distance between different pictures of a set (of evenly spaced ones in a large set).

    1.0 where all pictures are identical: every bandwidth then gives the same distance, zero.
    """
    points = np.asarray(x, np.float64)
    if len(points) > _MEDIAN_POINTS:
        points = points[np.linspace(0, len(points) - 1, _MEDIAN_POINTS).astype(int)]
    distances = np.sqrt(_squared_distances(points, points)[np.triu_indices(len(points), 1)])
    distances = distances[distances > 1e-6]  # copies of a picture are not pairs of pictures
    return float(np.median(distances)) if len(distances) else 1.0


def split_half_floor(
    x: Embeddings,
    sigma: float,
    seed: int,
    *,
    unbiased: bool = True,
    splits: int = _FLOOR_SPLITS,
    users: ArrayLike | None = None,
) -> Floor | None:
    """CMMD between random halves of one set; None below four pictures.

    With `users` [pictures], every user's pictures are shared out equally (an odd one is left out at
    random, and with it everybody who has one picture): what remains is the distance between two
    sets of the *same people's* pictures, which a perfect method would reach.
    """
    if len(x) < 4:
        return None
    rng = np.random.default_rng(seed)
    groups = None
    if users is not None:
        ids = np.asarray(users)
        groups = [found for u in np.unique(ids) if len(found := np.flatnonzero(ids == u)) >= 2]
        if sum(len(group) // 2 for group in groups) < 2:
            return None
    first, second = np.zeros((2, len(x), splits))
    half = 0
    for split in range(splits):
        pairs = [rng.permutation(len(x))] if groups is None else map(rng.permutation, groups)
        halves = [(order[: len(order) // 2], order[len(order) // 2 :]) for order in pairs]
        left = np.concatenate([one for one, _ in halves])
        right = np.concatenate([other[: len(one)] for one, other in halves])
        first[left, split] = second[right, split] = 1.0
        half = len(left)
    # All splits share one pass over the kernel: the sum over a half is a product with its members.
    within, between = np.zeros(splits), np.zeros(splits)
    for start in range(0, len(x), _ROWS):
        rows = slice(start, start + _ROWS)
        kernel = np.exp(_squared_distances(x[rows], x) / (-2.0 * sigma * sigma))
        to_first, to_second = kernel @ first, kernel @ second
        within += (first[rows] * to_first + second[rows] * to_second).sum(0)
        between += (first[rows] * to_second).sum(0)
    if unbiased:  # each picture's kernel with itself is 1
        within = (within - 2 * half) / (half * (half - 1))
    else:
        within = within / half**2
    scores = SCALE * (within - 2.0 * between / half**2)
    return Floor(float(scores.mean()), float(np.quantile(scores, 0.95)))


def _check(x: Embeddings, y: Embeddings, least: int) -> None:
    if min(len(x), len(y)) < least:
        raise ValueError(f"CMMD needs at least {least} pictures a set, got {len(x)} and {len(y)}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("CMMD of embeddings that are not numbers: check the evaluation encoder")


def _squared_distances(x: Embeddings, y: Embeddings) -> NDArray[np.float64]:
    left, right = np.asarray(x, np.float64), np.asarray(y, np.float64)
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1)[None, :] - 2.0 * left @ right.T
    return np.maximum(squares, 0.0)


def _mean_kernel(x: Embeddings, y: Embeddings, sigma: float) -> float:
    """Mean kernel over all pairs, in blocks of rows: 40,000 pictures do not fit as one matrix."""
    total = 0.0
    for start in range(0, len(x), _ROWS):
        block = _squared_distances(x[start : start + _ROWS], y)
        total += float(np.exp(block / (-2.0 * sigma * sigma)).sum())
    return total / (len(x) * len(y))


def _mean_pair_kernel(x: Embeddings, sigma: float) -> float:
    """Mean kernel over pairs of different pictures: the self-pairs, each 1, are taken out."""
    count = len(x)
    return (_mean_kernel(x, x, sigma) * count * count - count) / (count * (count - 1))
