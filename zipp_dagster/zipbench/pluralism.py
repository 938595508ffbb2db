"""How plural a set of pictures is: CMMD as published and an honest one, floors, Vendi score.

Two traps that this module is built around (zipp-method.md): at the paper's bandwidth σ = 10 the
kernel on unit vectors is almost linear, so its CMMD is about 10·‖μx − μy‖² and hardly sees spread;
and its estimator is biased, with a floor that grows as the sets shrink. So the paper's variant
stands beside the unbiased U-statistic at the median-heuristic bandwidth, the number of pictures,
and what two halves of the *same* set score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.metrics import ImageEmbeddings, generated_names
from zipp_dagster.zipbench.registry import method_order
from zipp_dagster.zipbench.statistics import Bootstrap, Interval, mean_interval

PAPER_SIGMA = 10.0
SCALE = 1000.0
_ROWS = 2048
_FLOOR_SPLITS = 50
_MEDIAN_POINTS = 2000

Embeddings = NDArray[np.floating]
"""Unit-norm rows [pictures, dimensions]."""

SCHEMA = pa.schema(
    [
        ("method", pa.string()),
        ("metric", pa.string()),
        ("scope", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("floor", pa.float64()),
        ("floor_high", pa.float64()),
        ("sigma", pa.float64()),
        ("images", pa.int64()),
        ("users", pa.int64()),
        ("encoder", pa.string()),
        ("note", pa.string()),
    ]
)


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
    x: Embeddings, sigma: float, seed: int, *, unbiased: bool = True, splits: int = _FLOOR_SPLITS
) -> Floor | None:
    """CMMD between random halves of one set; None below four pictures."""
    if len(x) < 4:
        return None
    half = len(x) // 2
    rng = np.random.default_rng(seed)
    first, second = np.zeros((2, len(x), splits))
    for split in range(splits):
        order = rng.permutation(len(x))
        first[order[:half], split] = second[order[half : 2 * half], split] = 1.0
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


def vendi_score(x: Embeddings) -> float:
    """Effective number of different pictures, 1 … n (exp of the cosine kernel's entropy)."""
    if len(x) < 1:
        raise ValueError("the Vendi score needs at least one picture")
    array = np.asarray(x, np.float64)
    array = array / np.linalg.norm(array, axis=1, keepdims=True)
    spectrum = np.linalg.eigvalsh(array @ array.T / len(array))
    spectrum = spectrum[spectrum > 1e-12]
    return float(np.exp(-(spectrum * np.log(spectrum)).sum()))


def pluralism_scores(
    cases: pa.Table,
    generated: pa.Table,
    made: ImageEmbeddings,
    references: ImageEmbeddings,
    settings: ZipbenchSettings,
    *,
    encoder: str = "evaluation_encoder",
) -> pa.Table:
    """The `pluralism_scores` table: per method, CMMD pooled and within users, and the Vendi score.

    Only cases with a reference picture enter, the same for generated and reference side. `pooled`
    compares all pictures at once; `per_user` is the mean over users of the distance between a
    person's own two sets (the pluralistic question), with an interval over users. The row of method
    `reference` holds the posted pictures' own Vendi score. Without any reference picture the table
    is empty.
    """
    user_of = dict(zip(cases["case_id"].to_pylist(), cases["user_id"].to_pylist(), strict=True))
    sha_of = dict(
        zip(cases["case_id"].to_pylist(), cases["reference_sha256"].to_pylist(), strict=True)
    )
    made_row, reference_row = made.row(), references.row()
    by_method: dict[str, list[tuple[int, int, int]]] = {}
    pairs = zip(
        generated["case_id"].to_pylist(),
        generated["method"].to_pylist(),
        generated_names(generated),
        strict=True,
    )
    for case, method, name in pairs:
        if sha_of[case] in reference_row:
            place = (user_of[case], made_row[name], reference_row[sha_of[case]])
            by_method.setdefault(method, []).append(place)

    # One bandwidth for all methods, from the posted pictures: else they would not be comparable.
    posted = sorted({row for places in by_method.values() for _, _, row in places})
    variants = (
        _Variant("cmmd_paper", PAPER_SIGMA, unbiased=False),
        _Variant("cmmd_unbiased", median_bandwidth(references.vectors[posted]), unbiased=True),
    )
    floors: dict[tuple[str, bytes], Floor | None] = {}  # methods over the same cases share them
    rows: list[dict[str, object]] = []
    for method in sorted(by_method, key=method_order):
        users, x_rows, y_rows = np.array(sorted(by_method[method]), dtype=np.uint64).T
        x = made.vectors[x_rows.astype(np.int64)]
        y = references.vectors[y_rows.astype(np.int64)]
        groups = [np.flatnonzero(users == user) for user in np.unique(users)]
        plural = [group for group in groups if len(group) >= 2]
        for variant in variants:
            key = (variant.metric, y_rows.tobytes())
            if key not in floors:
                floors[key] = variant.floor(y, settings.seed)
            if len(x) >= 2:
                rows.append(
                    _row(method, variant, "pooled", Interval(variant(x, y), None, None))
                    | _floor(floors[key])
                    | {"images": len(x), "users": len(groups)}
                )
            if plural:
                rows.append(_within_row(method, variant, x, y, plural, settings))
        rows += _vendi_rows(method, [x[group] for group in plural], settings)
    if by_method:
        rows += _reference_rows(by_method, references, settings)
    for row in rows:
        row["encoder"] = encoder
    return pa.Table.from_pylist(rows, schema=SCHEMA)


@dataclass(frozen=True)
class _Variant:
    """One form of CMMD on paired sets."""

    metric: str
    sigma: float
    unbiased: bool

    def __call__(self, x: Embeddings, y: Embeddings) -> float:
        if self.unbiased:
            return cmmd_unbiased(x, y, self.sigma, paired=True)
        return cmmd(x, y, self.sigma)

    def floor(self, y: Embeddings, seed: int) -> Floor | None:
        return split_half_floor(y, self.sigma, seed, unbiased=self.unbiased)


def _within_row(
    method: str,
    variant: _Variant,
    x: Embeddings,
    y: Embeddings,
    groups: Sequence[NDArray[np.int64]],
    settings: ZipbenchSettings,
) -> dict[str, object]:
    """The mean over users of the distance between a person's two sets."""
    within = [variant(x[group], y[group]) for group in groups]
    known = [f for f in (variant.floor(y[group], settings.seed) for group in groups) if f]
    # A mean of percentiles is no percentile of the mean: the floor's `high` stays empty.
    floor = Floor(float(np.mean([f.mean for f in known])), None) if known else None
    return (
        _row(method, variant, "per_user", _over_users(within, settings))
        | _floor(floor)
        | {
            "images": sum(map(len, groups)),
            "users": len(groups),
            "note": None if known else "no floor: it needs four pictures of a person",
        }
    )


def _reference_rows(
    by_method: dict[str, list[tuple[int, int, int]]],
    references: ImageEmbeddings,
    settings: ZipbenchSettings,
) -> list[dict[str, object]]:
    """The people's own pictures, for scale: what their diversity is."""
    posted = sorted({(user, row) for places in by_method.values() for user, _, row in places})
    groups: dict[int, list[int]] = {}
    for user, row in posted:
        groups.setdefault(user, []).append(row)
    sets = [references.vectors[group] for group in groups.values() if len(group) >= 2]
    return _vendi_rows("reference", sets, settings)


def _vendi_rows(
    method: str, sets: Sequence[Embeddings], settings: ZipbenchSettings
) -> list[dict[str, object]]:
    if not sets:
        return []
    scores = _over_users([vendi_score(vectors) for vectors in sets], settings)
    counts = {"images": sum(map(len, sets)), "users": len(sets)}
    return [_row(method, "vendi", "per_user", scores) | counts]


def _over_users(scores: Sequence[float], settings: ZipbenchSettings) -> Interval:
    return mean_interval(scores, np.arange(len(scores)), Bootstrap.of(settings))


def _row(method: str, variant: _Variant | str, scope: str, score: Interval) -> dict[str, object]:
    return {
        "method": method,
        "metric": variant if isinstance(variant, str) else variant.metric,
        "scope": scope,
        "value": score.value,
        "low": score.low,
        "high": score.high,
        "sigma": None if isinstance(variant, str) else variant.sigma,
    }


def _floor(floor: Floor | None) -> dict[str, object]:
    return {"floor": floor.mean, "floor_high": floor.high} if floor else {}


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
