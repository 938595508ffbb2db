"""Scores weighted to a population, and scores of groups, as one table: `demographic_scores`.

Weights come from `raking`, targets from the caller. Nothing about a group below `minimum_group`
people leaves this module, nor can it be computed from the published groups: small groups are
pooled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.raking import (
    UNKNOWN,
    Raked,
    RakingError,
    Targets,
    collapse_sparse,
    rake,
    replicate_weights,
)
from zipp_dagster.zipbench.registry import METRICS, method_order
from zipp_dagster.zipbench.statistics import (
    Bootstrap,
    Interval,
    mean_interval,
    percentile_interval,
    resample_counts,
)

SCHEMA = pa.schema(
    [
        ("method", pa.string()),
        ("metric", pa.string()),
        ("dimension", pa.string()),
        ("category", pa.string()),
        ("raw", pa.float64()),
        ("raked", pa.float64()),
        ("trimmed", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("delta_percent", pa.float64()),
        ("ess", pa.float64()),
        ("chance", pa.float64()),
        ("marginal_error", pa.float64()),
        ("trimmed_error", pa.float64()),
        ("known", pa.float64()),
        ("n", pa.int64()),
        ("population", pa.string()),
        ("note", pa.string()),
    ]
)

GAP = "gap"
"""Category of the row that holds a dimension's best group minus its worst."""
WELL_KNOWN = 0.5
"""Who is unknown in a dimension is not weighted by it: below this share of known people the note says so."""
_SHUFFLES = 500
_KEPT_REPLICATES = 0.9
"""With fewer converged replicates an interval would describe only the easy ones: none is given."""

Scored = dict[tuple[str, str], dict[int, float]]
"""(method, metric) → user → mean over the user's cases."""


@dataclass(frozen=True)
class Population:
    """A named target population: dimension → category → share or count."""

    name: str
    targets: Targets


def demographic_scores(
    scores: pa.Table,
    groups: pa.Table,
    population: Population,
    settings: ZipbenchSettings,
    metrics: Sequence[str] = ("clip_i",),
) -> pa.Table:
    """The `demographic_scores` table: weighted rows (no `dimension`), then publishable groups.

    `scores` is benchmark_scores, `groups` has user_id and one column a dimension (null or "unknown"
    allowed); the unit is the user, whose score is the mean of their cases. `low`/`high` belong to
    `raked` in weighted rows (re-raked in every replicate) and to `raw` in group rows; `n` counts
    users; `ess` is Kish's; `known` is the share of people whose category is known, in the raked
    dimension where it is smallest. Where a dimension has two groups or more, its `gap` row is the best
    group minus the worst; its `chance` is what the same groups differ by when people are shuffled
    over them, since a largest difference is never zero. RakingError when the targets cannot be met.
    """
    scored = _per_user(scores, metrics)
    rows: list[dict[str, object]] = []
    weighted: dict[tuple[int, ...], tuple[Raked, list[NDArray[np.float64]]]] = {}
    known_shares: dict[tuple[int, ...], dict[str, float]] = {}
    members = _members(groups)
    for (method, metric), values in scored.items():
        users = tuple(sorted(user for user in values if user in members))
        if not users:
            continue
        if users not in weighted:  # methods over the same people share weights and resamples
            described = {
                dimension: [members[user].get(dimension) for user in users]
                for dimension in population.targets
            }
            known_shares[users] = {
                dimension: sum(value in population.targets[dimension] for value in values)
                / len(users)
                for dimension, values in described.items()
            }
            weighted[users] = weights_and_replicates(described, population.targets, settings)
        column = np.array([values[user] for user in users])
        raked, replicates = weighted[users]
        row = _weighted_row(column, raked, replicates, known_shares[users], settings)
        rows.append({"method": method, "metric": metric, "population": population.name} | row)
    for (method, metric), values in scored.items():
        for row in _group_rows(values, members, settings):
            rows.append({"method": method, "metric": metric, "population": population.name} | row)
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def weights_and_replicates(
    groups: Mapping[str, Sequence[str | None]], targets: Targets, settings: ZipbenchSettings
) -> tuple[Raked, list[NDArray[np.float64]]]:
    """Raked weights and those of the bootstrap replicates, over categories that are not too sparse.

    Where the margins, or those of more than a tenth of the replicates, contradict each other, the
    categories are merged further, with a minimum half as large again, and so on. RakingError where
    even the coarsest margins do not fit.
    """
    minimum, people = settings.raking_minimum, len(next(iter(groups.values()), ()))
    while True:
        coarse = collapse_sparse(groups, targets, minimum)
        last = 2 * minimum > people
        try:
            raked = rake(coarse.groups, coarse.targets, settings)
        except RakingError:
            if last:
                raise
        else:
            replicates = list(replicate_weights(coarse.groups, coarse.targets, settings))
            kept = sum(map(len, replicates))
            if last or kept >= _KEPT_REPLICATES * settings.bootstrap_replicates:
                notes = (*coarse.notes, *raked.collapsed)
                return replace(raked, collapsed=notes), replicates
        minimum += -(-minimum // 2)


def publishable_groups(sizes: Mapping[str, int], minimum: int) -> dict[str, str]:
    """Category → label under which it may be published; empty when even all together are too few.

    Categories below `minimum` are pooled. Where the pool is still too small, the next smallest
    category joins it: else the pool's score could be had by subtracting the published groups from
    the whole.
    """
    order = sorted(sizes, key=lambda category: (sizes[category], category))
    small = [category for category in order if sizes[category] < minimum]
    large = order[len(small) :]
    while small and sum(sizes[category] for category in small) < minimum:
        if not large:
            return {}
        small.append(large.pop(0))
    pooled = " + ".join(sorted(small))
    return {category: pooled if category in small else category for category in sizes}


def _per_user(scores: pa.Table, metrics: Sequence[str]) -> Scored:
    columns = scores.select(["user_id", "method", *metrics]).to_pydict()
    cases: dict[tuple[str, str], dict[int, list[float]]] = {}
    for method in sorted(set(columns["method"]), key=method_order):
        for metric in METRICS:
            if metric in metrics:
                cases[method, metric] = {}
    for row in range(scores.num_rows):
        for metric in metrics:
            value = columns[metric][row]
            if value is not None:
                of_user = cases[columns["method"][row], metric]
                of_user.setdefault(columns["user_id"][row], []).append(float(value))
    return {
        key: {user: float(np.mean(values)) for user, values in sorted(users.items())}
        for key, users in cases.items()
    }


def _members(groups: pa.Table) -> dict[int, dict[str, str]]:
    """User → dimension → category, nulls as unknown."""
    result = {}
    for row in groups.to_pylist():
        user = row.pop("user_id")
        result[user] = {name: UNKNOWN if value is None else value for name, value in row.items()}
    return result


def _weighted_row(
    values: NDArray[np.float64],
    raked: Raked,
    replicates: Sequence[NDArray[np.float64]],
    known: Mapping[str, float],
    settings: ZipbenchSettings,
) -> dict[str, object]:
    raw = float(values.mean())
    score = float(np.average(values, weights=raked.weights))
    notes = list(raked.collapsed)
    notes += [
        f"{dimension}: known of {share:.0%} of the people, all others are not weighted by it"
        for dimension, share in known.items()
        if share < WELL_KNOWN
    ]
    means = np.concatenate([chunk @ values / chunk.sum(1) for chunk in replicates])
    interval = Interval(score, None, None)
    if len(values) < 2:
        notes.append("no interval: one person")
    elif len(means) < _KEPT_REPLICATES * settings.bootstrap_replicates:
        notes.append(
            f"no interval: raking converged in {len(means)} of"
            f" {settings.bootstrap_replicates} resamples"
        )
    else:
        interval = percentile_interval(score, means, settings.confidence, len(values))
    return {
        "raw": raw,
        "raked": score,
        "trimmed": float(np.average(values, weights=raked.trimmed)),
        "low": interval.low,
        "high": interval.high,
        "delta_percent": 100.0 * (score - raw) / raw if raw else None,
        "ess": raked.ess,
        "marginal_error": raked.error,
        "trimmed_error": raked.trimmed_error,
        "known": min(known.values(), default=None),
        "n": len(values),
        "note": "; ".join(notes) or None,
    }


def _group_rows(
    values: Mapping[int, float], members: Mapping[int, dict[str, str]], settings: ZipbenchSettings
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    known = [user for user in values if user in members]
    for dimension in list(members[known[0]]) if known else []:
        category = {user: members[user][dimension] for user in known}
        names = list(category.values())
        labels = publishable_groups(
            {name: names.count(name) for name in sorted(set(names))}, settings.minimum_group
        )
        of_label = {
            label: [user for user in known if labels.get(category[user]) == label]
            for label in sorted(set(labels.values()))
        }
        for label, users in of_label.items():
            score = mean_interval([values[user] for user in users], users, Bootstrap.of(settings))
            rows.append(
                {
                    "dimension": dimension,
                    "category": label,
                    "raw": score.value,
                    "low": score.low,
                    "high": score.high,
                    "n": len(users),
                }
            )
        if len(of_label) > 1:
            rows.append({"dimension": dimension} | _gap_row(values, of_label, settings))
    return rows


def _gap_row(
    values: Mapping[int, float], groups: Mapping[str, Sequence[int]], settings: ZipbenchSettings
) -> dict[str, object]:
    """The best group's mean minus the worst's, resampled within the two, and the gap by chance."""
    scores = {label: np.array([values[user] for user in users]) for label, users in groups.items()}
    order = sorted(scores, key=lambda label: float(scores[label].mean()))
    worst, best = order[0], order[-1]
    gap = float(scores[best].mean() - scores[worst].mean())
    bootstrap = Bootstrap.of(settings)
    # Different seeds: the two groups are resampled independently of each other.
    replicates = [
        np.concatenate([drawn @ array for drawn in resample_counts(len(array), seeded)])
        / len(array)
        for array, seeded in (
            (scores[best], bootstrap),
            (scores[worst], replace(bootstrap, seed=bootstrap.seed + 1)),
        )
    ]
    interval = percentile_interval(
        gap,
        replicates[0] - replicates[1],
        settings.confidence,
        min(len(scores[best]), len(scores[worst])),
    )
    rng = np.random.default_rng(settings.seed)
    pool, sizes = np.concatenate(list(scores.values())), [len(s) for s in scores.values()]
    ends = np.cumsum(sizes)[:-1]
    shuffled = []
    for _ in range(_SHUFFLES):
        means = [part.mean() for part in np.split(rng.permutation(pool), ends)]
        shuffled.append(max(means) - min(means))
    return {
        "category": GAP,
        "raw": gap,
        "low": interval.low,
        "high": interval.high,
        "chance": float(np.mean(shuffled)),
        "n": len(scores[best]) + len(scores[worst]),
        "note": f"{best} minus {worst}",
    }
