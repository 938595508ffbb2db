"""The leaderboard: each method's mean scores and its paired differences, with intervals over users.

Which methods are compared is in `registry`; how intervals are formed, in `statistics`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.registry import BASELINE, EXTRA_COMPARISONS, METRICS, method_order
from zipp_dagster.zipbench.statistics import (
    Bootstrap,
    Interval,
    mean_interval,
    paired_difference,
    relative_lift,
)

SCHEMA = pa.schema(
    [
        ("method", pa.string()),
        ("metric", pa.string()),
        ("baseline", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("cases", pa.int64()),
        ("users", pa.int64()),
        ("encoder", pa.string()),
    ]
)

_Scores = dict[str, tuple[int, float]]
"""case → (user, score), of one method and metric, without the missing ones."""


def build_leaderboard(scores: pa.Table, settings: ZipbenchSettings) -> pa.Table:
    """The `leaderboard` table from `benchmark_scores`.

    Rows without `baseline`: mean of a metric over the method's cases that have it (null with 0
    cases where none has: no reference picture, no score). Rows with `baseline`: mean paired
    difference to that method over the cases that both have, and metric `lift`, the relative gain in
    clip_i (left out where the baseline's mean is not positive). Intervals resample users.
    ValueError for a case scored twice.
    """
    table = _by_method(scores)
    encoder = scores["encoder"][0].as_py() if scores.num_rows else None
    rows: list[dict[str, object]] = []

    def add(
        method: str, metric: str, baseline: str | None, score: Interval | None, n: int, u: int
    ) -> None:
        rows.append(
            {
                "method": method,
                "metric": metric,
                "baseline": baseline,
                "value": score.value if score else None,
                "low": score.low if score else None,
                "high": score.high if score else None,
                "cases": n,
                "users": u,
                "encoder": encoder if metric == "lift" or METRICS[metric].image else None,
            }
        )

    bootstrap = Bootstrap.of(settings)
    methods = sorted(table, key=method_order)
    for method in methods:
        for metric in METRICS:
            cases = table[method][metric]
            users, values = _columns(cases, sorted(cases))
            score = mean_interval(values, users, bootstrap) if cases else None
            add(method, metric, None, score, len(cases), len(np.unique(users)))
    for method, baseline in _comparisons(methods):
        for metric in METRICS:
            ours, theirs = table[method][metric], table[baseline][metric]
            shared = sorted(ours.keys() & theirs.keys())
            if not shared:
                continue
            users, values = _columns(ours, shared)
            _, below = _columns(theirs, shared)
            counts = (len(shared), len(np.unique(users)))
            gain = paired_difference(values, below, users, bootstrap)
            add(method, metric, baseline, gain, *counts)
            if metric == "clip_i":
                lift = relative_lift(values, below, users, bootstrap)
                if lift is not None:
                    add(method, "lift", baseline, lift, *counts)
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _comparisons(methods: list[str]) -> Iterator[tuple[str, str]]:
    """Every method with the baseline, then the registered extra pairs, where both were run."""
    if BASELINE in methods:
        yield from ((method, BASELINE) for method in methods if method != BASELINE)
    for method, baseline in EXTRA_COMPARISONS:
        if method in methods and baseline in methods:
            yield method, baseline


def _by_method(scores: pa.Table) -> dict[str, dict[str, _Scores]]:
    """Method → metric → case → (user, score)."""
    result: dict[str, dict[str, _Scores]] = {}
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
