"""Intervals and tests: bootstrap over users, relative lift, Wilson interval, binomial test, Holm.

Everything takes arrays and a seed. What is compared with what is decided in `leaderboard`, not
here; strengths of many methods at once are in `bradley_terry`.

The percentile interval of a bootstrap over n users is too short by about √((n − 1)/n) times the ratio
of a normal to a t quantile: with 40 users it covers some 93 % instead of 95 %. So its percentiles are
widened accordingly (the *expanded percentile* interval of Hesterberg, "What Teachers Should Know
About the Bootstrap", The American Statistician 69, 2015). P-values are the same interval read
backwards: p < 0.05 exactly where the 95 % interval leaves zero out.

Values that are alike in two ways (votes of one person, votes on one prompt) are resampled by both, with
the variance of Cameron, Gelbach and Miller ("Robust Inference With Multiway Clustering", JBES 29, 2011):
see `two_way_difference`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import comb, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

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
    """A value with its interval; the ends are None where none can be formed (a single user).

    `p_value` tests that the value is zero (two-sided), `detectable` is the smallest true value that
    as many users would show in four of five samples; both for differences and lifts only.
    """

    value: float
    low: float | None
    high: float | None
    p_value: float | None = None
    detectable: float | None = None

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
    value: float,
    replicates: NDArray[np.float64],
    confidence: float,
    clusters: int | None = None,
) -> Interval:
    """The percentile bootstrap interval of a statistic around its value.

    With `clusters`, the number of resampled units (2 or more), the percentiles are widened for
    small samples; see the module's head.
    """
    tail = (1.0 - confidence) / 2.0
    if clusters is not None:
        tail = float(ndtr(_widening(clusters) * stdtrit(clusters - 1, tail)))
    low, high = np.quantile(replicates, [tail, 1.0 - tail])
    # Rounding in the resamples of equal values must not leave the value outside.
    return Interval(float(value), min(float(low), value), max(float(high), value))


def zero_p_value(replicates: NDArray[np.float64], clusters: int) -> float:
    """Two-sided p-value of "the statistic is zero" that the widened interval implies.

    At least what one replicate beyond zero would give: a bootstrap cannot show less.
    """
    below = ((replicates < 0).sum() + 0.5 * (replicates == 0).sum()) / len(replicates)
    tail = max(min(below, 1.0 - below), 1.0 / (len(replicates) + 1))
    return min(1.0, 2.0 * float(stdtr(clusters - 1, ndtri(tail) / _widening(clusters))))


def detectable_difference(
    replicates: NDArray[np.float64], clusters: int, confidence: float, power: float = 0.8
) -> float:
    """The smallest true value whose interval would leave zero out with probability `power`.

    From the spread of the replicates; it says what a sample of this size can see, not whether there
    is anything to see.
    """
    error = float(np.std(replicates)) * _widening(clusters)
    quantiles = stdtrit(clusters - 1, 0.5 + confidence / 2.0) + stdtrit(clusters - 1, power)
    return error * float(quantiles)


def mean_interval(values: ArrayLike, users: ArrayLike, bootstrap: Bootstrap) -> Interval:
    """Mean over cases with a bootstrap interval that resamples whole users.

    `values` [cases] float, `users` [cases] any hashable dtype. ValueError for no case or a value
    that is not finite. With one user the interval is None: one cluster says nothing about the
    spread between users.
    """
    value, means, clusters = _mean_replicates(values, users, bootstrap)
    if clusters < 2:
        return Interval(value, None, None)
    return percentile_interval(value, means, bootstrap.confidence, clusters)


def paired_difference(
    values: ArrayLike,
    baseline: ArrayLike,
    users: ArrayLike,
    bootstrap: Bootstrap,
) -> Interval:
    """Mean of `values − baseline` over cases, paired by position, resampling whole users.

    With its p-value, and the smallest difference that so many users can show.
    """
    difference = _same_length(values, baseline)
    value, means, clusters = _mean_replicates(difference, users, bootstrap)
    return _tested(value, means, clusters, bootstrap)


def two_way_difference(
    values: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    bootstrap: Bootstrap,
    against: float = 0.0,
) -> Interval:
    """Mean of values that are alike within two crossed or nested groupings, minus `against`, tested.

    Each replicate adds what resampling the groups of `first` does to the mean and what resampling
    those of `second` does. What is a single value's own would count twice so (three times in Owen's
    pigeonhole bootstrap, Annals of Applied Statistics 1, 2007), hence the replicates are drawn
    together to the multiway variance: first + second − both, and never less than either alone. The
    smaller number of groups widens the percentiles. No interval below two groups of either kind.

    Args:
        values: float [n].
        first: the groups [n] of one kind, any hashable dtype.
        second: those of the other kind [n].
        bootstrap: replicates, coverage and seed; the two kinds are drawn independently.
        against: what the mean is compared with.
    """
    value, by_first, firsts = _mean_replicates(values, first, bootstrap)
    other = replace(bootstrap, seed=bootstrap.seed + 1)
    _, by_second, seconds = _mean_replicates(values, second, other)
    if min(firsts, seconds) < 2:
        return Interval(value - against, None, None)
    error = np.asarray(values, np.float64) - value
    both = np.unique(np.stack([_codes(first), _codes(second)]), axis=1, return_inverse=True)[1]
    spread, others, cells = (
        float((np.bincount(codes, error) ** 2).sum())
        for codes in (_codes(first), _codes(second), both.ravel())
    )
    wanted = max(spread + others - cells, spread, others)
    shrink = sqrt(wanted / (spread + others)) if spread + others > 0 else 0.0
    replicates = value - against + shrink * ((by_first - value) + (by_second - value))
    return _tested(value - against, replicates, min(firsts, seconds), bootstrap)


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
    return _tested(value, np.concatenate(ratios), len(base_sums), bootstrap)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's step-down adjustment of a family of p-values [n], in their order; at most 1.

    The chance of any false rejection in the family stays below the level, whatever the dependence
    (Holm 1979). ValueError for a p-value outside 0 … 1.
    """
    array = np.asarray(p_values, np.float64)
    if not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"p-values must lie between 0 and 1: {array}")
    order = np.argsort(array, kind="stable")
    steps = array[order] * np.arange(len(array), 0, -1)
    adjusted = np.empty(len(array))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Share of successes with Wilson's score interval; ValueError without a trial."""
    _check_counts(successes, trials)
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    share = successes / trials
    scale = 1.0 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z / scale * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    # Rounding must not leave a share of 0 or 1 outside its own interval.
    return Interval(share, min(max(0.0, centre - half), share), max(min(1.0, centre + half), share))


def binomial_test(successes: int, trials: int) -> float:
    """Two-sided exact p-value of the hypothesis that success and failure are equally likely."""
    _check_counts(successes, trials)
    fewer = min(successes, trials - successes)
    tail = sum(comb(trials, k) for k in range(fewer + 1))
    # Whole numbers up to the last division: exact for any number of votes.
    return min(1.0, 2 * tail / 2**trials)


def _widening(clusters: int) -> float:
    """√(n / (n − 1)): resamples of n units spread less than the population does."""
    return sqrt(clusters / (clusters - 1))


def _mean_replicates(
    values: ArrayLike, users: ArrayLike, bootstrap: Bootstrap
) -> tuple[float, NDArray[np.float64], int]:
    """The mean over cases, its replicates (none for one user), and the number of users."""
    sums, counts = _per_cluster(values, users)
    value = float(sums.sum() / counts.sum())
    if len(sums) < 2:
        return value, np.empty(0), len(sums)
    means = [(drawn @ sums) / (drawn @ counts) for drawn in resample_counts(len(sums), bootstrap)]
    return value, np.concatenate(means), len(sums)


def _tested(
    value: float, replicates: NDArray[np.float64], clusters: int, bootstrap: Bootstrap
) -> Interval:
    """The interval with its p-value and the detectable value; one cluster has none of them."""
    if clusters < 2:
        return Interval(value, None, None)
    interval = percentile_interval(value, replicates, bootstrap.confidence, clusters)
    return Interval(
        value,
        interval.low,
        interval.high,
        zero_p_value(replicates, clusters),
        detectable_difference(replicates, clusters, bootstrap.confidence),
    )


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
    codes = _codes(ids)
    return np.bincount(codes, array).astype(np.float64), np.bincount(codes).astype(np.float64)


def _codes(groups: ArrayLike) -> NDArray[np.int64]:
    """The number of each value's group, by the groups' order."""
    return np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)


def _same_length(values: ArrayLike, baseline: ArrayLike) -> NDArray[np.float64]:
    first, second = np.asarray(values, np.float64), np.asarray(baseline, np.float64)
    if first.shape != second.shape:
        raise ValueError(f"paired values differ in number: {first.shape} and {second.shape}")
    return first - second


def _check_counts(successes: int, trials: int) -> None:
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials is not a count")
