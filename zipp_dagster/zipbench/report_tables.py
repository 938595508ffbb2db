"""The report's view of the leaderboard, and the paper's tables beside it, as plain values."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from zipp_dagster.zipbench import paper
from zipp_dagster.zipbench.registry import (
    AGGREGATES,
    METHODS,
    METRICS,
    PRIMARY,
    method_label,
    metric_label,
)
from zipp_dagster.zipbench.report_data import ReportData

View = dict[str, Any]
_HEADLINES = (("zipp_0shot", "mismatched"), ("zipp_0shot", "no_persona"))
"""The comparisons that open the page: the own persona's effect, then that of having one."""
_NO_PICTURES = (
    "This run has no reference pictures, so no picture was compared with one: clip_i is not"
    " available, and no score stands in for it."
)


def explain_difference(method: str, baseline: str, metric: str, row: View) -> str:
    """What a paired difference says, and what it does not, in one or two sentences."""
    if baseline == "mismatched":
        what = "a person's own persona rather than somebody else's"
    elif method == "mismatched":
        what = "somebody else's persona rather than none"
    else:
        what = f"{method_label(method)} rather than {method_label(baseline)}"
    closer = {"clip_i": "the picture closer to the one that the person posted"}.get(
        metric, f"{metric_label(metric)} up"
    )
    away = {"clip_i": "the picture away from it"}.get(metric, f"{metric_label(metric)} down")
    if row["low"] is None or row["high"] is None:
        return f"{capital(what)}: one person is too few for an interval, so this is no finding."
    if row["low"] > 0:
        return f"{capital(what)} brings {closer}: the interval lies above zero."
    if row["high"] < 0:
        return f"{capital(what)} brings {away}: the interval lies below zero."
    return f"{capital(what)}: no difference that this run can see. The interval covers zero."


def leaderboard_view(data: ReportData) -> View:
    """Methods × metrics, and which metric the plots show."""
    methods: dict[str, View] = {}
    encoder = None
    for row in table_rows(data.leaderboard):
        if row["baseline"] is not None or row["split"] != "all":
            continue
        encoder = encoder or row["encoder"]
        entry = methods.setdefault(row["method"], method_view(row["method"]) | {"scores": {}})
        entry["scores"][row["metric"]] = {
            key: row[key] for key in ("value", "low", "high", "cases", "users")
        }
    rows = list(methods.values())
    present = [
        metric
        for metric in METRICS
        if any(row["scores"].get(metric, {}).get("value") is not None for row in rows)
    ]
    note = _NO_PICTURES if rows and "clip_i" not in present else None
    primary = "clip_i" if "clip_i" in present else "rouge_l" if "rouge_l" in present else None
    return {
        "rows": rows,
        "metrics": present,
        "primary": primary,
        "encoder": encoder,
        "extras": [metric for metric in AGGREGATES if any(metric in row["scores"] for row in rows)],
        "note": note,
    }


def differences_view(data: ReportData) -> list[View]:
    """Paired rows of the leaderboard with their sentence; lift and win rate join theirs."""
    paired = [row for row in table_rows(data.leaderboard) if row["baseline"] is not None]
    rows = [row for row in paired if row["split"] == "all"]
    keys = ("value", "low", "high", "p_value", "detectable")
    joined = {
        (row["metric"], row["method"], row["baseline"]): {key: row[key] for key in keys}
        for row in rows
        if row["metric"] in ("lift", "win_rate")
    }
    result = []
    for row in rows:
        method, baseline, metric = row["method"], row["baseline"], row["metric"]
        # Lift and win rate join their difference's row; votes have a section of their own.
        if metric not in METRICS or not METRICS[metric].higher_is_better:
            continue
        pair = (method, baseline)
        primary = metric == PRIMARY
        result.append(
            method_view(method)
            | {key: row[key] for key in ("metric", "value", "low", "high", "cases", "users")}
            | {key: row[key] for key in ("p_value", "p_holm", "detectable")}
            | {
                "baseline": baseline,
                "baseline_label": method_label(baseline),
                "metric_label": metric_label(metric),
                "sentence": explain_difference(method, baseline, metric, row),
                "lift": joined.get(("lift", *pair)) if primary else None,
                "win_rate": joined.get(("win_rate", *pair)) if primary else None,
                "headline": primary and pair in _HEADLINES,
                "splits": {
                    other["split"]: {key: other[key] for key in ("value", "low", "high", "cases")}
                    for other in paired
                    if (other["method"], other["baseline"], other["metric"]) == (*pair, metric)
                    and other["split"] != "all"
                },
            }
        )
    # The own-against-mismatched comparison is the one that shows personalisation: it comes first.
    order = {pair: place for place, pair in enumerate(_HEADLINES)}
    return sorted(result, key=lambda row: order.get((row["method"], row["baseline"]), len(order)))


def paper_view(data: ReportData) -> View:
    """Our figures in the paper's layout and scale (×100), each beside the paper's own."""
    scores: dict[str, View] = {}
    for row in table_rows(data.leaderboard):
        if row["baseline"] is None and row["split"] == "all":
            scores.setdefault(row["method"], {})[row["metric"]] = row
    pooled = {
        (row["method"], row["metric"]): row
        for row in table_rows(data.pluralism)
        if row["scope"] == "pooled"
    }
    raked = {
        row["method"]: row for row in table_rows(data.demographics) if row["dimension"] is None
    }
    theirs = {row.method: row for row in paper.MAIN_TABLE}
    names = [name for name in METHODS if name in scores or name in theirs]
    names += [name for name in theirs if name not in names]
    names += [name for name in scores if name not in names]
    rows = []
    for name in names:
        clip = scores.get(name, {}).get("clip_i") or {}
        weighted = raked.get(name) or {}
        printed = theirs.get(name)
        rows.append(
            method_view(name)
            | {
                "label": printed.label if printed and name not in METHODS else method_label(name),
                "clip_i": _hundred(clip.get("value")),
                "low": _hundred(clip.get("low")),
                "high": _hundred(clip.get("high")),
                "clip_t": _hundred((scores.get(name, {}).get("clip_t") or {}).get("value")),
                "raked": _hundred(weighted.get("raked")),
                "cmmd": (pooled.get((name, "cmmd_paper")) or {}).get("value"),
                "cmmd_unbiased": (pooled.get((name, "cmmd_unbiased")) or {}).get("value"),
                "paper": asdict(printed) if printed else None,
            }
        )
    return {
        "world": paper.WORLD,
        "rows": rows,
        "encoders": [list(row) for row in paper.ENCODERS],
        "language_models": [list(row) for row in paper.LANGUAGE_MODELS],
        "demographics": [list(row) for row in paper.DEMOGRAPHICS],
    }


def method_view(name: str) -> View:
    """A method's name, label and role."""
    role = METHODS[name].role if name in METHODS else "baseline"
    return {"method": name, "label": method_label(name), "role": role}


def table_rows(table: Any) -> list[View]:
    """A table's rows; none without a table."""
    return table.to_pylist() if table is not None else []


def capital(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def _hundred(value: float | None) -> float | None:
    return None if value is None else 100.0 * value
