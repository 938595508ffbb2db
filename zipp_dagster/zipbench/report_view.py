"""The report's content as plain values (numbers, strings, lists): what scores.json holds.

Sentences that read a figure aloud are made here, so that page and JSON say the same. Layout is the
template's.
"""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import Any

from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.registry import (
    EXTRA_COMPARISONS,
    METHODS,
    METRICS,
    method_label,
    metric_label,
)
from zipp_dagster.zipbench.report_data import PARTS, ReportData

View = dict[str, Any]
_OURS = "zipp_0shot"
_NO_REASON = "this run did not produce it"
_NO_PICTURES = (
    "This run has no reference pictures, so no picture was compared with one: clip_i is not"
    " available, and no score stands in for it."
)


def build_view(data: ReportData, settings: ZipbenchSettings) -> View:
    """All sections of the report; a part without content has its reason under `skipped`."""
    leaderboard = _leaderboard(data)
    differences = _differences(data)
    view: View = {
        "title": "ZIPBench",
        "synthetic": data.synthetic,
        "private": not (data.synthetic or settings.show_real_personas),
        "profile": data.profile,
        "source": data.source,
        "created_at": data.created_at,
        "confidence": settings.confidence,
        "replicates": settings.bootstrap_replicates,
        "minimum_group": settings.minimum_group,
        "facts": dict(data.facts),
        "metrics": {name: asdict(metric) for name, metric in METRICS.items()},
        "leaderboard": leaderboard,
        "differences": differences,
        "findings": [row for row in differences if row["headline"]],
        "gallery": _gallery(data, settings),
        "encoder_ablation": _plain_table(data.encoder_ablation),
        "language_models": _rows(data.language_models),
        "curves": [
            {"title": c.title, "x_label": c.x_label, "y_label": c.y_label}
            | {"series": {name: [list(point) for point in line] for name, line in c.series.items()}}
            for c in data.curves
        ],
        "pluralism": _pluralism(data),
        "demographics": _demographics(data),
        "promotions": [asdict(decision) for decision in data.promotions],
        "preferences": _preferences(data),
        "leaks": dict(data.leaks) if data.leaks is not None else None,
        "lineage": [asdict(row) for row in data.lineage],
    }
    view["skipped"] = _skipped(data, view)
    return _clean(view)


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
        return f"{_capital(what)}: one person is too few for an interval, so this is no finding."
    if row["low"] > 0:
        return f"{_capital(what)} brings {closer}: the interval lies above zero."
    if row["high"] < 0:
        return f"{_capital(what)} brings {away}: the interval lies below zero."
    return f"{_capital(what)}: no difference that this run can see. The interval covers zero."


def _leaderboard(data: ReportData) -> View:
    """Methods × metrics, and which metric the plots show."""
    methods: dict[str, View] = {}
    for row in _rows(data.leaderboard):
        if row["baseline"] is not None:
            continue
        entry = methods.setdefault(row["method"], _method(row["method"]) | {"scores": {}})
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
    return {"rows": rows, "metrics": present, "primary": primary, "note": note}


def _differences(data: ReportData) -> list[View]:
    """Paired rows of the leaderboard with their sentence; the lift joins its difference."""
    rows = [row for row in _rows(data.leaderboard) if row["baseline"] is not None]
    lifts = {
        (row["method"], row["baseline"]): {key: row[key] for key in ("value", "low", "high")}
        for row in rows
        if row["metric"] == "lift"
    }
    result = []
    for row in rows:
        method, baseline, metric = row["method"], row["baseline"], row["metric"]
        if metric in ("lift", "prompt_truncated"):
            continue
        pair = (method, baseline)
        result.append(
            _method(method)
            | {key: row[key] for key in ("metric", "value", "low", "high", "cases", "users")}
            | {
                "baseline": baseline,
                "baseline_label": method_label(baseline),
                "metric_label": metric_label(metric),
                "sentence": explain_difference(method, baseline, metric, row),
                "lift": lifts.get(pair) if metric == "clip_i" else None,
                "headline": metric == "clip_i"
                and (pair in EXTRA_COMPARISONS or pair == (_OURS, "no_persona")),
            }
        )
    # The own-against-mismatched comparison is the one that shows personalisation: it comes first.
    return sorted(result, key=lambda row: (row["baseline"], row["method"]) not in _own_pairs())


def _own_pairs() -> set[tuple[str, str]]:
    return {(baseline, method) for method, baseline in EXTRA_COMPARISONS}


def _gallery(data: ReportData, settings: ZipbenchSettings) -> View:
    """Cases without their bytes; empty, with the reason, for real people unless allowed."""
    if not data.synthetic and not settings.show_real_personas:
        hidden = (
            "personas, prompts and pictures of real people are not shown unless the setting"
            " zipbench.show_real_personas allows it"
        )
        return {"cases": [], "note": hidden}
    cases = [
        {
            "case_id": case.case_id,
            "person": case.person,
            "base_prompt": case.base_prompt,
            "reference_prompt": case.reference_prompt,
            "persona": case.persona,
            "gain": case.gain,
            "has_reference": case.reference is not None,
            "pictures": [
                {"label": p.label, "prompt": p.prompt, "clip_i": p.clip_i} for p in case.pictures
            ],
        }
        for case in data.gallery
    ]
    note: str | None = None
    if any(case["gain"] is not None for case in cases):
        note = (
            "Not hand-picked: the cases are evenly spaced from the largest gain of ZIPP 0-shot over"
            " no persona to the largest loss."
        )
    return {"cases": cases, "note": note}


def _pluralism(data: ReportData) -> list[View]:
    """One block a metric and scope, with its rows."""
    blocks: dict[tuple[str, str], View] = {}
    for row in _rows(data.pluralism):
        key = (row["metric"], row["scope"])
        block = blocks.setdefault(key, {"metric": key[0], "scope": key[1], "rows": []})
        name = row["method"]
        label = "the people's own pictures" if name == "reference" else method_label(name)
        block["rows"].append(row | {"label": label})
    for block in blocks.values():
        block["notes"] = _notes(block["rows"])
    order = ["cmmd_paper", "cmmd_unbiased", "vendi"]
    return [
        blocks[key] for key in sorted(blocks, key=lambda k: (order.index(k[0]), k[1] != "pooled"))
    ]


def _demographics(data: ReportData) -> View:
    rows = [row | {"label": method_label(row["method"])} for row in _rows(data.demographics)]
    dimensions: dict[str, list[View]] = {}
    for row in rows:
        if row["dimension"] is not None and row["method"] == _OURS:
            dimensions.setdefault(row["dimension"], []).append(row)
    return {
        "population": rows[0]["population"] if rows else None,
        "weighted": [row for row in rows if row["dimension"] is None],
        "notes": _notes(rows),
        "groups": [{"dimension": name, "rows": group} for name, group in dimensions.items()],
    }


def _preferences(data: ReportData) -> View | None:
    if data.preferences is None:
        return None
    rows = [
        row | {"label": method_label(row["method"]), "against": method_label(row["opponent"])}
        for row in _rows(data.preferences.table)
    ]
    return {"rows": rows, "votes": data.preferences.votes, "reason": data.preferences.reason}


def _skipped(data: ReportData, view: View) -> list[View]:
    """The parts without content, each with its reason; also parts that say so although present."""
    empty = {
        "leaderboard": not view["leaderboard"]["rows"],
        "gallery": not view["gallery"]["cases"],
        "encoder_ablation": not view["encoder_ablation"]["rows"],
        "pluralism": not view["pluralism"],
        "demographics": not (view["demographics"]["weighted"] or view["demographics"]["groups"]),
        "preferences": not (view["preferences"] and view["preferences"]["rows"]),
        "leaks": view["leaks"] is None,
    }
    known = {"gallery": view["gallery"]["note"]} if view["private"] else {}
    if view["preferences"] and view["preferences"]["reason"]:
        known["preferences"] = view["preferences"]["reason"]
    return [
        {"part": part, "reason": data.skipped.get(part) or known.get(part) or _NO_REASON}
        for part in PARTS
        if part in data.skipped or empty.get(part, not view[part])
    ]


def _notes(rows: list[View]) -> list[str]:
    """The rows' different notes, in their order."""
    return list(dict.fromkeys(row["note"] for row in rows if row["note"]))


def _method(name: str) -> View:
    role = METHODS[name].role if name in METHODS else "baseline"
    return {"method": name, "label": method_label(name), "role": role}


def _plain_table(table: Any) -> View:
    """Any table as columns and rows."""
    if table is None:
        return {"columns": [], "rows": []}
    return {"columns": list(table.column_names), "rows": table.to_pylist()}


def _rows(table: Any) -> list[View]:
    return table.to_pylist() if table is not None else []


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _clean(value: Any) -> Any:
    """JSON's own values only: tuples become lists, figures that are not numbers become null."""
    if isinstance(value, dict):
        return {str(key): _clean(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(entry) for entry in value]
    if isinstance(value, float):
        return value if isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
