"""The leaderboard: each method's mean scores and its paired differences, with intervals over users.

Which methods are compared is in `registry`; how intervals and tests are formed, in `statistics`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from zipp_dagster.zipbench.bradley_terry import strength_intervals
from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.families import adjust
from zipp_dagster.zipbench.preferences import vote_rows
from zipp_dagster.zipbench.registry import (
    AGGREGATES,
    BASELINE,
    EXTRA_COMPARISONS,
    METRICS,
    PRIMARY,
    method_order,
)
from zipp_dagster.zipbench.statistics import (
    Bootstrap,
    Interval,
    binomial_test,
    mean_interval,
    paired_difference,
    relative_lift,
    wilson_interval,
)

SCHEMA = pa.schema(
    [
        ("method", pa.string()),
        ("metric", pa.string()),
        ("baseline", pa.string()),
        ("split", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("p_value", pa.float64()),
        ("p_holm", pa.float64()),
        ("detectable", pa.float64()),
        ("cases", pa.int64()),
        ("users", pa.int64()),
        ("encoder", pa.string()),
        ("wilson_low", pa.float64()),
        ("wilson_high", pa.float64()),
        ("binomial_p", pa.float64()),
    ]
)
_WHOLE = 0.5
"""Share of the cases that a method must have scores for to count as run for everybody."""
ALL, CLEAN, LEAKED = "all", "clean", "leaked"

_Scores = dict[str, tuple[int, float]]
"""case → (user, score), of one method and metric, without the missing ones."""
_Table = dict[str, dict[str, _Scores]]
"""method → metric → scores."""


@dataclass(frozen=True)
class MethodCost:
    """What one image of a method costs; None where it was not measured."""

    images: int
    rewrite_seconds: float | None = None
    rewrite_tokens: float | None = None
    draw_seconds: float | None = None
    fit_seconds: float | None = None


def build_leaderboard(
    scores: pa.Table,
    settings: ZipbenchSettings,
    costs: Mapping[str, MethodCost] | None = None,
    votes: pa.Table | None = None,
) -> pa.Table:
    """The `leaderboard` table from `benchmark_scores`, and from `votes` (VOTES_SCHEMA) where there are any.

    Rows without `baseline`: mean of a metric over the method's cases that have it (null with 0
    cases where none has: no reference picture, no score), its Bradley–Terry strength in clip_i over
    the cases that all methods have that were run for everybody, and its costs. Rows with `baseline`:
    mean paired difference to that method over the cases that both have, with p-value and Holm's
    adjustment over the table's comparisons in that metric; metric `lift`, the relative gain in
    clip_i (left out where the baseline's mean is not positive); metric `win_rate`, the share of users
    whom the method brings closer. Rows of votes: see `preferences.vote_rows`. Where some cases leak,
    splits `clean` and `leaked` stand beside `all`. Intervals resample users. ValueError for a case
    scored twice.
    """
    encoder = scores["encoder"][0].as_py() if scores.num_rows else None
    leaked = scores["leaked"].to_pylist()
    splits = {ALL: scores}
    if any(leaked):
        splits[CLEAN] = scores.filter(pa.array([not leak for leak in leaked]))
        splits[LEAKED] = scores.filter(pa.array(leaked))
    rows: list[dict[str, object]] = []
    for split, part in splits.items():
        table = _by_method(part)
        methods = sorted(table, key=method_order)
        found = [
            *_means(table, methods, settings),
            *_strengths(table, methods, settings),
            *_differences(table, methods, settings),
        ]
        if split == ALL:
            found += _costs(costs or {}, methods)
        rows += [row | {"split": split} for row in found]
    if votes is not None:
        rows += vote_rows(votes, Bootstrap.of(settings))
    for row in rows:
        seen = METRICS.get(str(row["metric"])) or AGGREGATES[str(row["metric"])]
        row["encoder"] = encoder if seen.image else None
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _row(
    method: str, metric: str, baseline: str | None, score: Interval | None, cases: int, users: int
) -> dict[str, object]:
    return {
        "method": method,
        "metric": metric,
        "baseline": baseline,
        "value": score.value if score else None,
        "low": score.low if score else None,
        "high": score.high if score else None,
        "p_value": score.p_value if score else None,
        "detectable": score.detectable if score else None,
        "cases": cases,
        "users": users,
    }


def _means(
    table: _Table, methods: Sequence[str], settings: ZipbenchSettings
) -> Iterator[dict[str, object]]:
    for method in methods:
        for metric in METRICS:
            cases = table[method][metric]
            users, values = _columns(cases, sorted(cases))
            score = mean_interval(values, users, Bootstrap.of(settings)) if cases else None
            yield _row(method, metric, None, score, len(cases), len(np.unique(users)))


def _differences(
    table: _Table, methods: Sequence[str], settings: ZipbenchSettings
) -> list[dict[str, object]]:
    """Paired rows of every comparison, with Holm's adjustment within each metric.

    A method that reads the answer is no hypothesis: it stays out of the family.
    """
    rows: list[dict[str, object]] = []
    bootstrap = Bootstrap.of(settings)
    for method, baseline in comparisons(methods):
        for metric in METRICS:
            ours, theirs = table[method][metric], table[baseline][metric]
            shared = sorted(ours.keys() & theirs.keys())
            if not shared:
                continue
            users, values = _columns(ours, shared)
            _, below = _columns(theirs, shared)
            counts = (len(shared), len(np.unique(users)))
            gain = paired_difference(values, below, users, bootstrap)
            rows.append(_row(method, metric, baseline, gain, *counts))
            if metric == PRIMARY:
                lift = relative_lift(values, below, users, bootstrap)
                if lift is not None:
                    rows.append(_row(method, "lift", baseline, lift, *counts))
                won = _win_rate(values - below, users, settings.confidence)
                if won is not None:
                    rows.append(_row(method, "win_rate", baseline, won, *counts))
    adjust(rows, lambda row: row["metric"])
    return rows


def _win_rate(
    gains: NDArray[np.float64], users: NDArray[np.uint64], confidence: float
) -> Interval | None:
    """Share of users whose mean gain is positive, of those where it is not zero.

    One comparison a user, so that they are independent: Wilson's interval, exact binomial test.
    """
    of_user = np.array([gains[users == user].mean() for user in np.unique(users)])
    wins, losses = int((of_user > 1e-12).sum()), int((of_user < -1e-12).sum())
    if not wins + losses:
        return None
    rate = wilson_interval(wins, wins + losses, confidence)
    return Interval(rate.value, rate.low, rate.high, binomial_test(wins, wins + losses))


def _strengths(
    table: _Table, methods: Sequence[str], settings: ZipbenchSettings
) -> Iterator[dict[str, object]]:
    """Bradley–Terry strengths in clip_i over the cases that every method has.

    A method that was run for some people only has no strength: it would leave the others next to
    no cases.
    """
    most = max((len(table[method][PRIMARY]) for method in methods), default=0)
    scored = [m for m in methods if len(table[m][PRIMARY]) > _WHOLE * most]
    if len(scored) < 2:
        return
    shared = sorted(set.intersection(*(set(table[method][PRIMARY]) for method in scored)))
    if not shared:
        return
    columns = [_columns(table[method][PRIMARY], shared) for method in scored]
    users, codes = np.unique(columns[0][0], return_inverse=True)
    values = np.stack([column for _, column in columns], axis=1)
    gaps = values[:, :, None] - values[:, None, :]
    won = np.where(np.abs(gaps) < 1e-12, 0.5, gaps > 0)  # a tie is half a win each way
    wins = np.zeros((len(users), len(scored), len(scored)))
    np.add.at(wins, codes, won)
    for method, strength in zip(
        scored, strength_intervals(wins, Bootstrap.of(settings)), strict=True
    ):
        yield _row(method, "bradley_terry", None, strength, len(shared), len(users))


def _costs(costs: Mapping[str, MethodCost], methods: Sequence[str]) -> Iterator[dict[str, object]]:
    for method in methods:
        if method not in costs:
            continue
        cost = costs[method]
        for metric in ("rewrite_seconds", "rewrite_tokens", "draw_seconds", "fit_seconds"):
            value = getattr(cost, metric)
            if value is not None:
                yield _row(method, metric, None, Interval(value, None, None), cost.images, 0)


def comparisons(methods: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every method with the baseline, then the registered extra pairs, where both were run."""
    if BASELINE in methods:
        yield from ((method, BASELINE) for method in methods if method != BASELINE)
    for method, baseline in EXTRA_COMPARISONS:
        if method in methods and baseline in methods:
            yield method, baseline


def _by_method(scores: pa.Table) -> _Table:
    """Method → metric → case → (user, score)."""
    result: _Table = {}
    seen: set[tuple[str, str]] = set()
    columns = scores.select(["case_id", "user_id", "method", *METRICS]).to_pydict()
    for row in range(scores.num_rows):
        case, method = columns["case_id"][row], columns["method"][row]
        if (case, method) in seen:
            raise ValueError(f"benchmark_scores holds case {case} twice for method {method}")
        seen.add((case, method))
        metrics = result.setdefault(method, {metric: {} for metric in METRICS})
        for metric in METRICS:
            value = columns[metric][row]
            if value is not None:
                metrics[metric][case] = (columns["user_id"][row], float(value))
    return result


def _columns(scores: _Scores, cases: list[str]) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
    users = np.array([scores[case][0] for case in cases], np.uint64)
    return users, np.array([scores[case][1] for case in cases], np.float64)
