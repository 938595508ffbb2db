"""Intervals and tests: bootstrap over users, relative lift, Wilson interval, binomial test.

Everything takes arrays and a seed. What is compared with what is decided in `leaderboard`, not
here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zipp_dagster.zipbench.config import ZipbenchSettings

_CELLS_A_CHUNK = 4_000_000
"""Bounds the memory of one chunk of resamples to about 100 MB, whatever the number of users."""


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are resampled: replicates, coverage, seed."""

    replicates: int = 2000
    confidence: float = 0.95
    seed: int = 0

    @classmethod
    def of(cls, settings: ZipbenchSettings) -> Bootstrap:
        """The benchmark's own."""
        return cls(settings.bootstrap_replicates, settings.confidence, settings.seed)


@dataclass(frozen=True)
class Interval:
    """A value with its interval; the ends are None where none can be formed (a single user)."""

    value: float
    low: float | None
    high: float | None

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval exists and lies on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def resample_counts(clusters: int, bootstrap: Bootstrap) -> Iterator[NDArray[np.float64]]:
    """How often each replicate draws each cluster, in chunks [some replicates, clusters].

    The same seed draws the same clusters, so two statistics with one seed are resampled together.
    """
    rng = np.random.default_rng(bootstrap.seed)
    chunk = max(1, _CELLS_A_CHUNK // max(clusters, 1))
    for start in range(0, bootstrap.replicates, chunk):
        rows = min(chunk, bootstrap.replicates - start)
        drawn = rng.integers(0, clusters, size=(rows, clusters))
        drawn += np.arange(rows)[:, None] * clusters
        counts = np.bincount(drawn.ravel(), minlength=rows * clusters)
        yield counts.reshape(rows, clusters).astype(np.float64)


def percentile_interval(
    value: float, replicates: NDArray[np.float64], confidence: float
) -> Interval:
    """The percentile bootstrap interval of a statistic around its value."""
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(replicates, [tail, 1.0 - tail])
    return Interval(float(value), float(low), float(high))


def mean_interval(values: ArrayLike, users: ArrayLike, bootstrap: Bootstrap) -> Interval:
    """Mean over cases with a bootstrap interval that resamples whole users.

    `values` [cases] float, `users` [cases] any hashable dtype. ValueError for no case or a value
    that is not finite. With one user the interval is None: one cluster says nothing about the
    spread between users.
    """
    sums, counts = _per_cluster(values, users)
    value = float(sums.sum() / counts.sum())
    if len(sums) < 2:
        return Interval(value, None, None)
    means = [(drawn @ sums) / (drawn @ counts) for drawn in resample_counts(len(sums), bootstrap)]
    return percentile_interval(value, np.concatenate(means), bootstrap.confidence)


def paired_difference(
    values: ArrayLike,
    baseline: ArrayLike,
    users: ArrayLike,
    bootstrap: Bootstrap,
) -> Interval:
    """Mean of `values − baseline` over cases, paired by position, resampling whole users."""
    difference = _same_length(values, baseline)
    return mean_interval(difference, users, bootstrap)


def relative_lift(
    values: ArrayLike,
    baseline: ArrayLike,
    users: ArrayLike,
    bootstrap: Bootstrap,
) -> Interval | None:
    """Relative gain mean(values)/mean(baseline) − 1, paired, resampling whole users.

    None where the baseline's mean is not positive, in the sample or in any resample: a ratio to it
    would say nothing (cosines may be negative).
    """
    _same_length(values, baseline)
    gain_sums, _ = _per_cluster(values, users)
    base_sums, _ = _per_cluster(baseline, users)
    if base_sums.sum() <= 0:
        return None
    value = float(gain_sums.sum() / base_sums.sum() - 1.0)
    if len(base_sums) < 2:
        return Interval(value, None, None)
    ratios = []
    for drawn in resample_counts(len(base_sums), bootstrap):
        below = drawn @ base_sums
        if (below <= 0).any():
            return None
        ratios.append((drawn @ gain_sums) / below - 1.0)
    return percentile_interval(value, np.concatenate(ratios), bootstrap.confidence)


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Share of successes with Wilson's score interval; ValueError without a trial."""
    _check_counts(successes, trials)
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    share = successes / trials
    scale = 1.0 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z / scale * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def binomial_test(successes: int, trials: int) -> float:
    """Two-sided exact p-value of the hypothesis that success and failure are equally likely."""
    _check_counts(successes, trials)
    fewer = min(successes, trials - successes)
    tail = sum(comb(trials, k) for k in range(fewer + 1))
    # Whole numbers up to the last division: exact for any number of votes.
    return min(1.0, 2 * tail / 2**trials)


def _per_cluster(
    values: ArrayLike, users: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and number of values of each user, in the order of the users' ids."""
    array = np.asarray(values, dtype=np.float64)
    ids = np.asarray(users)
    if array.ndim != 1 or array.shape != ids.shape:
        raise ValueError(f"values {array.shape} and users {ids.shape} must be equally long lists")
    if not len(array):
        raise ValueError("an interval needs at least one case")
    if not np.isfinite(array).all():
        place = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(f"value {place} (user {ids[place]}) is {array[place]}, not a number")
    _, codes = np.unique(ids, return_inverse=True)
    return np.bincount(codes, array).astype(np.float64), np.bincount(codes).astype(np.float64)


def _same_length(values: ArrayLike, baseline: ArrayLike) -> NDArray[np.float64]:
    first, second = np.asarray(values, np.float64), np.asarray(baseline, np.float64)
    if first.shape != second.shape:
        raise ValueError(f"paired values differ in number: {first.shape} and {second.shape}")
    return first - second


def _check_counts(successes: int, trials: int) -> None:
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials is not a count")
