"""Bradley–Terry: one strength a method from all pairwise comparisons, P(i beats j) = σ(sᵢ − sⱼ).

Takes counts of wins; where they come from (scores of cases, a judge, people) is the caller's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zipp_dagster.zipbench.statistics import (
    Bootstrap,
    Interval,
    percentile_interval,
    resample_counts,
)

PRIOR = 0.5
"""Wins added each way between every two methods. Without them a method that never loses would be
infinitely strong; with hundreds of comparisons they change nothing that can be seen."""
_STEPS = 100
_TOLERANCE = 1e-10


def bradley_terry(wins: NDArray[np.floating], prior: float = PRIOR) -> NDArray[np.float64]:
    """Maximum-likelihood strengths [..., m] of `wins` [..., m, m]; each row of strengths sums to 0.

    `wins[i, j]` counts how often i beat j (ties: half each way); the diagonal is ignored. Leading
    axes are independent problems. Newton's method. ValueError for a negative count, or where the
    likelihood has no maximum (prior 0, and some methods never lost to the others).
    """
    counts = np.asarray(wins, np.float64)
    methods = counts.shape[-1]
    if counts.ndim < 2 or counts.shape[-2] != methods:
        raise ValueError(f"wins must be square, method by method, not {counts.shape}")
    if not (np.isfinite(counts).all() and (counts >= 0).all()):
        raise ValueError("wins must be finite and not negative")
    off_diagonal = 1.0 - np.eye(methods)
    counts = (counts + prior) * off_diagonal
    games = counts + np.swapaxes(counts, -1, -2)
    won = counts.sum(-1)
    strengths = np.zeros(counts.shape[:-1])
    for _ in range(_STEPS):
        chance = 1.0 / (1.0 + np.exp(strengths[..., None, :] - strengths[..., :, None]))
        gradient = won - (games * chance).sum(-1)
        information = games * chance * (1.0 - chance)
        # Strengths are defined up to a constant: the added ones fix their sum at zero.
        curvature = np.eye(methods) * information.sum(-1)[..., None] - information + 1.0 / methods
        try:
            step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        except np.linalg.LinAlgError:
            break  # flat: no finite strengths are best
        strengths = strengths + np.clip(step, -2.0, 2.0)
        if np.abs(step).max(initial=0.0) < _TOLERANCE:
            return strengths - strengths.mean(-1, keepdims=True)
    raise ValueError(
        "Bradley–Terry strengths do not converge: some methods never lost to the others;"
        " use a prior above zero"
    )


def strength_intervals(wins: NDArray[np.floating], bootstrap: Bootstrap) -> list[Interval]:
    """Each method's strength, with an interval that resamples whole users.

    `wins` [users, m, m]: each user's own counts. With one user there is no interval.
    """
    users, methods = len(wins), wins.shape[-1]
    values = bradley_terry(wins.sum(0))
    if users < 2:
        return [Interval(float(value), None, None) for value in values]
    flat = wins.reshape(users, -1)
    replicates = np.concatenate(
        [
            bradley_terry((drawn @ flat).reshape(len(drawn), methods, methods))
            for drawn in resample_counts(users, bootstrap)
        ]
    )
    return [
        percentile_interval(float(value), replicates[:, place], bootstrap.confidence, users)
        for place, value in enumerate(values)
    ]
