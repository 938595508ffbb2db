"""How far raters agree: Cohen's kappa (two raters) and Krippendorff's alpha (any number, gaps allowed).

Sources: Cohen 1968 (weighted kappa), Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"
(its worked example is a test).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Level = Literal["nominal", "ordinal", "interval"]


def krippendorff_alpha(units: Sequence[Sequence[float]], level: Level = "nominal") -> float | None:
    """1 − observed / expected disagreement over units, each the values that raters gave it.

    Units with fewer than two values say nothing and are left out. None where nothing is left, or
    where all values are equal: agreement beyond chance is then undefined.
    """
    paired = [list(unit) for unit in units if len(unit) >= 2]
    values = sorted({value for unit in paired for value in unit})
    if len(values) < 2:
        return None
    place = {value: i for i, value in enumerate(values)}
    coincidences = np.zeros((len(values), len(values)))
    for unit in paired:
        counts = np.bincount([place[value] for value in unit], minlength=len(values)).astype(float)
        coincidences += (np.outer(counts, counts) - np.diag(counts)) / (len(unit) - 1)
    totals = coincidences.sum(0)
    distance = _distance(np.asarray(values, float), totals, level)
    expected = float((np.outer(totals, totals) * distance).sum()) / (totals.sum() - 1)
    return 1.0 - float((coincidences * distance).sum()) / expected


def cohen_kappa(first: Sequence[int], second: Sequence[int], categories: int) -> float | None:
    """Quadratically weighted kappa of two raters' values 1…categories; None where undefined.

    Undefined are no common items, and two raters who both gave one value only.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} ratings are not of the same items")
    if not first:
        return None
    observed = np.zeros((categories, categories))
    np.add.at(observed, (np.asarray(first) - 1, np.asarray(second) - 1), 1.0 / len(first))
    expected = np.outer(observed.sum(1), observed.sum(0))
    ranks = np.arange(categories)
    weights = (ranks[:, None] - ranks[None, :]) ** 2
    chance = float((weights * expected).sum())
    return 1.0 - float((weights * observed).sum()) / chance if chance else None


def mean_pairwise_kappa(
    ratings: Mapping[Hashable, Mapping[Hashable, int]], categories: int = 5
) -> float | None:
    """Mean weighted kappa over all pairs of raters, on the items that both rated."""
    kappas = []
    for a, b in combinations(sorted(ratings, key=str), 2):
        common = [item for item in ratings[a] if item in ratings[b]]
        kappa = cohen_kappa(
            [ratings[a][item] for item in common], [ratings[b][item] for item in common], categories
        )
        if kappa is not None:
            kappas.append(kappa)
    return float(np.mean(kappas)) if kappas else None


def _distance(
    values: NDArray[np.float64], totals: NDArray[np.float64], level: Level
) -> NDArray[np.float64]:
    """Squared differences between the values, by the level of measurement."""
    if level == "nominal":
        return 1.0 - np.eye(len(values))
    if level == "interval":
        return (values[:, None] - values[None, :]) ** 2
    # Ordinal: how many values lie between two, the ends by half.
    middle = np.cumsum(totals) - totals / 2
    return (middle[:, None] - middle[None, :]) ** 2
