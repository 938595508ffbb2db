"""Preference accuracy on pairs: how often a method's picture is nearer to the preferred one.

For data sets of preference pairs (MovieLens posters, Rapidata, Pick-a-Pic), where there is no
reference picture of the person's own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from zipp_dagster.zipbench.cases import Case
from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.metrics import ImageEmbeddings
from zipp_dagster.zipbench.registry import method_order
from zipp_dagster.zipbench.statistics import Bootstrap, binomial_test, mean_interval

SCHEMA = pa.schema(
    [
        ("method", pa.string()),
        ("accuracy", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("p_value", pa.float64()),
        ("cases", pa.int64()),
        ("users", pa.int64()),
        ("encoder", pa.string()),
    ]
)


def preference_accuracy(
    cases: Sequence[Case],
    generated: ImageEmbeddings,
    pictures: ImageEmbeddings,
    settings: ZipbenchSettings,
    *,
    encoder: str,
) -> pa.Table:
    """Share of cases where the method's picture is nearer (cosine) to the preferred picture than to
    the rejected one; a draw counts one half. One row a method, chance is 0.5.

    `generated` is named `case_id/method`, `pictures` by the cases' picture names; both from one
    encoder. The interval resamples users; the p-value is the exact binomial test over users, each
    counting once. A case whose pictures are missing is left out.
    """
    of_case = {case.case_id: case for case in cases if case.is_pair}
    place = pictures.row()
    scores: dict[str, list[tuple[str, float]]] = {}
    for name, vector in zip(generated.names, generated.vectors, strict=True):
        case_id, _, method = name.rpartition("/")
        case = of_case.get(case_id)
        if case is None or case.preferred_image not in place or case.rejected_image not in place:
            continue
        preferred, rejected = (
            float(vector @ pictures.vectors[place[str(picture)]])
            for picture in (case.preferred_image, case.rejected_image)
        )
        correct = 0.5 if preferred == rejected else float(preferred > rejected)
        scores.setdefault(method, []).append((case.user_id, correct))
    rows = []
    for method in sorted(scores, key=method_order):
        users = np.array([user for user, _ in scores[method]])
        values = np.array([value for _, value in scores[method]])
        accuracy = mean_interval(values, users, Bootstrap.of(settings))
        people = [values[users == user].mean() - 0.5 for user in np.unique(users)]
        right, wrong = sum(mean > 0 for mean in people), sum(mean < 0 for mean in people)
        rows.append(
            {
                "method": method,
                "accuracy": accuracy.value,
                "low": accuracy.low,
                "high": accuracy.high,
                "p_value": binomial_test(right, right + wrong) if right + wrong else None,
                "cases": len(values),
                "users": len(people),
                "encoder": encoder,
            }
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)
