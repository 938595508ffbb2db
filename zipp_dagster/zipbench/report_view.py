"""The report's content as plain values (numbers, strings, lists): what scores.json holds.

Sentences that read a figure aloud are made here, so that page and JSON say the same. Layout is the
template's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.demographics import GAP
from zipp_dagster.zipbench.gallery import GalleryCase
from zipp_dagster.zipbench.registry import AGGREGATES, METRICS, method_label
from zipp_dagster.zipbench.report_data import PARTS, ReportData
from zipp_dagster.zipbench.report_tables import (
    View,
    differences_view,
    leaderboard_view,
    method_view,
    paper_view,
    table_rows,
)

_OURS = "zipp_0shot"
_NO_REASON = "this run did not produce it"
PROVENANCE: dict[str, tuple[str, ...]] = {
    "leaderboard": ("leaderboard", "benchmark_scores"),
    "differences": ("leaderboard", "benchmark_scores"),
    "paper": ("leaderboard", "pluralism_scores", "demographic_scores"),
    "gallery": ("benchmark_prompts", "generated_images", "benchmark_scores"),
    "grids": ("gallery_images", "personas"),
    "encoder_ablation": ("encoder_ablation",),
    "ablations": ("downstream_ablation",),
    "language_models": ("llm_ablation",),
    "curves": ("gat_checkpoint",),
    "pluralism": ("pluralism_scores",),
    "demographics": ("demographic_scores",),
    "promotions": ("promotion_decision", "diffusion_decision", "rewriter_decision"),
    "preferences": ("human_preferences",),
    "judge": ("judge_preferences",),
    "leaks": ("benchmark_holdout", "image_posts", "benchmark_cases"),
}
"""Section of the page → the assets that its numbers are read from."""


def build_view(data: ReportData, settings: ZipbenchSettings) -> View:
    """All sections of the report; a part without content has its reason under `skipped`."""
    leaderboard = leaderboard_view(data)
    differences = differences_view(data)
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
        "metrics": {name: asdict(metric) for name, metric in (METRICS | AGGREGATES).items()},
        "leaderboard": leaderboard,
        "some_people": _for_some_people(leaderboard),
        "differences": differences,
        "findings": [row for row in differences if row["headline"]],
        "paper": paper_view(data),
        "not_run": [
            {"label": method_label(name), "reason": reason} for name, reason in data.not_run.items()
        ],
        "cases": dict(data.cases),
        "gallery": _gallery(data, settings),
        "failures": _pictures_of(data.failures) if not _hidden(data, settings) else [],
        "grids": _grids(data, settings),
        "encoder_ablation": _plain_table(data.encoder_ablation),
        "ablations": _ablations(data),
        "language_models": table_rows(data.language_models),
        "curves": [
            {"title": c.title, "x_label": c.x_label, "y_label": c.y_label}
            | {"series": {name: [list(point) for point in line] for name, line in c.series.items()}}
            for c in data.curves
        ],
        "pluralism": _pluralism(data),
        "demographics": _demographics(data),
        "promotions": [asdict(decision) for decision in data.promotions],
        "preferences": _preferences(data),
        "judge": [
            row | {"label": method_label(row["method"]), "against": method_label(row["opponent"])}
            for row in table_rows(data.judge)
        ],
        "leaks": dict(data.leaks) if data.leaks is not None else None,
        "lineage": [asdict(row) for row in data.lineage],
        "provenance": _provenance(data),
    }
    view["skipped"] = _skipped(data, view)
    return _clean(view)


def _hidden(data: ReportData, settings: ZipbenchSettings) -> bool:
    return not (data.synthetic or settings.show_real_personas)


def _gallery(data: ReportData, settings: ZipbenchSettings) -> View:
    """Cases without their bytes; empty, with the reason, for real people unless allowed."""
    if _hidden(data, settings):
        hidden = (
            "personas, prompts and pictures of real people are not shown unless the setting"
            " zipbench.show_real_personas allows it"
        )
        return {"cases": [], "note": hidden}
    cases = _pictures_of(data.gallery)
    note: str | None = None
    if any(case["gain"] is not None for case in cases):
        note = (
            "Not hand-picked: the cases are evenly spaced from the largest gain of ZIPP 0-shot over"
            " no persona to the largest loss."
        )
    return {"cases": cases, "note": note}


def _pictures_of(cases: Sequence[GalleryCase]) -> list[View]:
    return [
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
        for case in cases
    ]


def _grids(data: ReportData, settings: ZipbenchSettings) -> list[View]:
    if _hidden(data, settings):
        return []
    return [
        {
            "kind": row.kind,
            "title": row.title,
            "persona": row.persona,
            "pictures": [{"label": p.label, "prompt": p.prompt} for p in row.pictures],
        }
        for row in data.grids
    ]


def _provenance(data: ReportData) -> dict[str, list[View]]:
    """Section → the versions that its numbers were read from."""
    versions: dict[str, list[View]] = {}
    for row in data.lineage:
        versions.setdefault(row.asset, []).append(
            {"asset": row.asset, "partition": row.partition, "version": row.version}
        )
    return {
        section: [version for asset in assets for version in versions.get(asset, [])]
        for section, assets in PROVENANCE.items()
    }


def _pluralism(data: ReportData) -> list[View]:
    """One block a metric and scope, with its rows."""
    blocks: dict[tuple[str, str], View] = {}
    for row in table_rows(data.pluralism):
        key = (row["metric"], row["scope"])
        block = blocks.setdefault(key, {"metric": key[0], "scope": key[1], "rows": []})
        name = row["method"]
        label = "the people's own pictures" if name == "reference" else method_label(name)
        block["rows"].append(row | {"label": label, "role": method_view(name)["role"]})
    for block in blocks.values():
        block["notes"] = _notes(block["rows"])
    order = ["cmmd_paper", "cmmd_unbiased", "vendi"]
    return [
        blocks[key] for key in sorted(blocks, key=lambda k: (order.index(k[0]), k[1] != "pooled"))
    ]


def _demographics(data: ReportData) -> View:
    rows = [row | {"label": method_label(row["method"])} for row in table_rows(data.demographics)]
    dimensions: dict[str, list[View]] = {}
    for row in rows:
        if row["dimension"] is not None and row["method"] == _OURS and row["category"] != GAP:
            dimensions.setdefault(row["dimension"], []).append(row)
    return {
        "population": rows[0]["population"] if rows else None,
        "weighted": [row for row in rows if row["dimension"] is None],
        "notes": _notes([row for row in rows if row["dimension"] is None]),
        "gaps": [row for row in rows if row["category"] == GAP],
        "groups": [{"dimension": name, "rows": group} for name, group in dimensions.items()],
    }


def _preferences(data: ReportData) -> View | None:
    if data.preferences is None:
        return None
    rows = [
        row | {"label": method_label(row["method"]), "against": method_label(row["opponent"])}
        for row in table_rows(data.preferences.table)
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
        "grids": not view["grids"],
        "preferences": not (view["preferences"] and view["preferences"]["rows"]),
        "leaks": view["leaks"] is None,
    }
    hidden = view["gallery"]["note"]
    known = {"gallery": hidden, "grids": hidden} if view["private"] else {}
    if view["preferences"] and view["preferences"]["reason"]:
        known["preferences"] = view["preferences"]["reason"]
    return [
        {"part": part, "reason": data.skipped.get(part) or known.get(part) or _NO_REASON}
        for part in PARTS
        if part in data.skipped or empty.get(part, not view[part])
    ]


def _for_some_people(leaderboard: View) -> list[str]:
    """Labels of methods with at most half of the users that the largest has."""
    primary = leaderboard["primary"]
    users = {
        row["label"]: row["scores"].get(primary, {}).get("users", 0) for row in leaderboard["rows"]
    }
    most = max(users.values(), default=0)
    return [label for label, count in users.items() if 0 < count <= most / 2]


def _ablations(data: ReportData) -> list[View]:
    """The variants by what they change, in the table's order."""
    blocks: dict[str, list[View]] = {}
    for row in table_rows(data.ablations):
        blocks.setdefault(row["dimension"], []).append(row)
    return [{"dimension": name, "rows": rows} for name, rows in blocks.items()]


def _notes(rows: list[View]) -> list[str]:
    """The rows' different notes, in their order."""
    return list(dict.fromkeys(row["note"] for row in rows if row["note"]))


def _plain_table(table: Any) -> View:
    """Any table as columns and rows."""
    if table is None:
        return {"columns": [], "rows": []}
    return {"columns": list(table.column_names), "rows": table.to_pylist()}


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
