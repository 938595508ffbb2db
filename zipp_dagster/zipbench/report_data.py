"""What a report is made of: the dataclasses that callers of `report.write_report` fill in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from zipp_dagster.zipbench.gallery import GalleryCase, Picture
from zipp_dagster.zipbench.preferences import HumanPreferences
from zipp_dagster.zipbench.promotion import PromotionDecision

PARTS = (
    "leaderboard",
    "gallery",
    "grids",
    "encoder_ablation",
    "ablations",
    "language_models",
    "curves",
    "pluralism",
    "demographics",
    "promotions",
    "preferences",
    "judge",
    "leaks",
    "lineage",
)
"""The parts that a report may lack; keys of `ReportData.skipped`."""


@dataclass(frozen=True)
class Curve:
    """A training curve: series name → points (x, y); a y of None breaks the line."""

    title: str
    x_label: str
    y_label: str
    series: Mapping[str, Sequence[tuple[float, float | None]]]


@dataclass(frozen=True)
class LineageRow:
    """One input of the report."""

    asset: str
    partition: str | None
    version: str
    run_id: str
    created_at: str


@dataclass(frozen=True)
class GridRow:
    """A row of one of the two grids: one prompt through several personas, or one persona's prompts.

    `title` is the prompt (same_prompt) or the person's label; pictures are labelled with what varies.
    """

    kind: str
    title: str
    pictures: Sequence[Picture]
    persona: str | None = None


@dataclass(frozen=True)
class ReportData:
    """Everything a report may show. A part that is None or empty is named as skipped, with the
    reason in `skipped[part]` where the caller knows one.

    Tables follow the contracts of the same name; `encoder_ablation` may have any columns.
    `failures` are the largest losses; `cases` counts clean and leaking cases (`CaseSet.counts`);
    `not_run` says why a registered method is missing.

    `synthetic` must be true for generated worlds: it labels every figure, and lets personas show.
    """

    synthetic: bool
    profile: str
    source: str
    created_at: str
    facts: Mapping[str, str] = field(default_factory=dict)
    leaderboard: pa.Table | None = None
    gallery: Sequence[GalleryCase] = ()
    failures: Sequence[GalleryCase] = ()
    grids: Sequence[GridRow] = ()
    cases: Mapping[str, int] = field(default_factory=dict)
    not_run: Mapping[str, str] = field(default_factory=dict)
    encoder_ablation: pa.Table | None = None
    ablations: pa.Table | None = None
    language_models: pa.Table | None = None
    curves: Sequence[Curve] = ()
    pluralism: pa.Table | None = None
    demographics: pa.Table | None = None
    promotions: Sequence[PromotionDecision] = ()
    preferences: HumanPreferences | None = None
    judge: pa.Table | None = None
    leaks: Mapping[str, int] | None = None
    lineage: Sequence[LineageRow] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
