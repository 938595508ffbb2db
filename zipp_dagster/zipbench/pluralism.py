"""How plural a method's pictures are: the `pluralism_scores` table, and the Vendi score.

CMMD, its variants and its floor are in `cmmd`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from zipp_dagster.zipbench.cmmd import (
    PAPER_SIGMA,
    Embeddings,
    Floor,
    cmmd,
    cmmd_unbiased,
    median_bandwidth,
    split_half_floor,
)
from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.metrics import ImageEmbeddings, generated_names
from zipp_dagster.zipbench.registry import method_order
from zipp_dagster.zipbench.statistics import Bootstrap, Interval, mean_interval

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
    compares all pictures at once, beside the floor of the same people's own halves; `per_user` is
    the mean over users of the distance between a person's own two sets (the pluralistic question),
    with an interval over users. The row of method `reference` holds the posted pictures' own Vendi
    score. Without any reference picture the table is empty.
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
                floors[key] = variant.floor(y, settings.seed, users)
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

    def floor(
        self, y: Embeddings, seed: int, users: NDArray[np.uint64] | None = None
    ) -> Floor | None:
        return split_half_floor(y, self.sigma, seed, unbiased=self.unbiased, users=users)


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
