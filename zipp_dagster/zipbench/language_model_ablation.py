"""What a persona adds under each language model that rewrites prompts: the `llm_ablation` table.

Running the language models is not this module's work: it takes each one's case scores.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.leaderboard import build_leaderboard
from zipp_dagster.zipbench.registry import BASELINE

WITH_PERSONA = "zipp_0shot"
SCHEMA = pa.schema(
    [
        ("language_model", pa.string()),
        ("metric", pa.string()),
        ("without_persona", pa.float64()),
        ("with_persona", pa.float64()),
        ("lift", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("cases", pa.int64()),
        ("users", pa.int64()),
        ("note", pa.string()),
    ]
)
ONLY_ONE = "only this language model is configured: there is nothing to compare it with"
NO_SCORES = "no case has a reference picture under both methods"
NO_RATIO = "the score without persona is not positive: a relative lift means nothing"


def language_model_ablation(scores: Mapping[str, pa.Table], settings: ZipbenchSettings) -> pa.Table:
    """One row a language model: clip_i without and with persona (0-shot), and the paired lift.

    `scores` maps a model's name to its benchmark_scores. Both means are over the cases that both
    methods have, so they and the lift speak of the same cases. What cannot be computed is null,
    with the reason in `note`.
    """
    rows = [_row(model, scores[model], settings) for model in sorted(scores)]
    if len(rows) == 1:
        rows[0]["note"] = f"{ONLY_ONE}; {rows[0]['note']}" if rows[0].get("note") else ONLY_ONE
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _row(model: str, scores: pa.Table, settings: ZipbenchSettings) -> dict[str, object]:
    row: dict[str, object] = {"language_model": model, "metric": "clip_i", "cases": 0, "users": 0}
    shared = _paired_cases(scores)
    if not shared.num_rows:
        return row | {"note": NO_SCORES}
    for entry in build_leaderboard(shared, settings).to_pylist():
        if entry["metric"] == "clip_i" and entry["baseline"] is None:
            name = "without_persona" if entry["method"] == BASELINE else "with_persona"
            row |= {name: entry["value"], "cases": entry["cases"], "users": entry["users"]}
        elif entry["metric"] == "lift":
            row |= {"lift": entry["value"], "low": entry["low"], "high": entry["high"]}
    return row if "lift" in row else row | {"note": NO_RATIO}


def _paired_cases(scores: pa.Table) -> pa.Table:
    """The rows of both methods, of the cases where both have a clip_i."""
    keys = list(
        zip(
            scores["case_id"].to_pylist(),
            scores["method"].to_pylist(),
            scores["clip_i"].to_pylist(),
            strict=True,
        )
    )
    scored = {
        method: {case for case, name, value in keys if name == method and value is not None}
        for method in (BASELINE, WITH_PERSONA)
    }
    both = scored[BASELINE] & scored[WITH_PERSONA]
    mask = [case in both and method in scored for case, method, _ in keys]
    return scores.filter(pa.array(mask, pa.bool_()))
