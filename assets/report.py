"""The report: what it is gathered from, and the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from assets import sources
from assets.zipbench import OWNER, reference_images
from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, Summary, artifact, check
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.versions import Version
from zipp_dagster.zipbench.config import ZipbenchSettings

PARTS = {
    "encoder_ablation": "encoder_ablation",
    "ablations": "downstream_ablation",
    "language_models": "llm_ablation",
    "pluralism": "pluralism_scores",
    "demographics": "demographic_scores",
    "judge": "judge_preferences",
}
"""Part of the report → the asset that it is a table of."""

DECISIONS = ("promotion_decision", "diffusion_decision", "rewriter_decision")


def report_data(
    inputs: Inputs, platform: Platform, settings: ZipbenchSettings, references: Mapping[str, bytes]
) -> Any:
    """The report's data; a part whose asset was skipped is named with its reason."""
    from zipp_dagster.zipbench.gallery import build_gallery
    from zipp_dagster.zipbench.leaks import find_leaks
    from zipp_dagster.zipbench.metrics import drawn_images
    from zipp_dagster.zipbench.report import ReportData

    tables: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    for part, asset in PARTS.items():
        reason = inputs[asset].skipped
        if reason:
            skipped[part] = reason
        else:
            tables[part] = inputs[asset].table()
    if "encoder_ablation" in tables:
        tables["encoder_ablation"] = _encoders(tables["encoder_ablation"])
    columns = ["post_id", "user_id", "title", "sha256"]
    leaks = find_leaks(
        inputs["benchmark_holdout"].table().select(columns),
        inputs["image_posts"].table().select(columns),
    )
    personas = inputs["personas"].table()
    prose = dict(zip(personas["user_id"].to_pylist(), personas["summary"].to_pylist(), strict=True))
    shown = (
        inputs["benchmark_prompts"].table(),
        inputs["generated_images"].table(["case_id", "method", "prompt"]),
        drawn_images(inputs["generated_images"].files()),
        references,
        prose,
        inputs["benchmark_scores"].table(),
    )
    return ReportData(
        synthetic=inputs.available("sample_world"),
        profile=platform.settings.profile,
        source=sources.source(platform),
        created_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        facts=_facts(inputs),
        leaderboard=inputs["leaderboard"].table(),
        gallery=build_gallery(*shown, settings.gallery_size),
        failures=build_gallery(*shown, max(1, settings.gallery_size // 3), failures=True),
        grids=_grids(inputs, prose),
        cases=inputs["benchmark_cases"].version.manifest.metadata,
        not_run=inputs["rewritten_prompts"].version.manifest.metadata.get("not_run", {}),
        curves=_curves(inputs),
        promotions=[_promotion(inputs, asset) for asset in DECISIONS],
        preferences=_preferences(inputs),
        leaks=leaks.counts,
        lineage=_lineage(inputs),
        skipped=skipped,
        **tables,
    )


def _preferences(inputs: Inputs) -> Any:
    """The win rates as their asset counted them."""
    from zipp_dagster.zipbench.preferences import VOTES_SCHEMA, HumanPreferences

    found = inputs["human_preferences"]
    noted = found.version.manifest.metadata
    return HumanPreferences(
        found.table(), int(noted["votes"]), noted.get("note"), VOTES_SCHEMA.empty_table()
    )


SHOWN_ENCODER_METRICS = ("hits10", "mrr", "posting_accuracy", "image_mrr")


def _encoders(ablation: Any) -> Any:
    """One row an encoder and group of users, metrics beside each other, as the paper shows it."""
    import pyarrow as pa

    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for row in ablation.to_pylist():
        shown = row["metric"] in SHOWN_ENCODER_METRICS and row["group"] in ("all", "unseen")
        if shown and row["baseline"] is None:
            entry = rows.setdefault(
                (row["encoder"], row["group"]), {"encoder": row["encoder"], "users": row["group"]}
            )
            entry[row["metric"]] = f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    columns = ["encoder", "users", *SHOWN_ENCODER_METRICS]
    ordered = sorted(rows.values(), key=lambda entry: entry["users"])
    return pa.table({column: [row.get(column, "") for row in ordered] for column in columns})


def _grids(inputs: Inputs, prose: dict[int, str]) -> list[Any]:
    from zipp_dagster.zipbench.gallery import Picture
    from zipp_dagster.zipbench.report import GridRow

    rows: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for cell in inputs["gallery_images"].rows():
        rows.setdefault((cell["kind"], cell["row"]), []).append(cell)
    people: dict[int, str] = {}
    for cells in rows.values():
        for cell in cells:
            people.setdefault(cell["user_id"], f"person {chr(ord('A') + len(people))}")
    return [
        GridRow(
            kind,
            cells[0]["base_prompt"] if kind == "same_prompt" else people[cells[0]["user_id"]],
            [
                Picture(
                    people[cell["user_id"]] if kind == "same_prompt" else cell["base_prompt"],
                    cell["prompt"],
                    cell["image"],
                )
                for cell in cells
            ],
            persona=prose.get(cells[0]["user_id"]) if kind == "same_persona" else None,
        )
        for (kind, _), cells in rows.items()
    ]


def _facts(inputs: Inputs) -> dict[str, str]:
    """Sizes of the run in words."""
    prompts = inputs["benchmark_prompts"].table()
    facts = {
        "benchmark users": f"{len(set(prompts['user_id'].to_pylist())):,}",
        "cases": f"{prompts.num_rows:,}",
        "images": f"{inputs['generated_images'].count():,}",
        "personas": f"{inputs['personas'].count():,}",
        "months": ", ".join(v.partition or "" for v in inputs["media"].versions),
    }
    if inputs.available("persona_quality"):
        for row in inputs["persona_quality"].rows():
            if row["value"] is not None and row["kind"] in ("tastes", "interests", "demographics"):
                name = f"personas against the truth: {row['metric']} of {row['kind']}"
                facts[name] = f"{row['value']:.2f} (by chance {row['chance'] or 0:.2f})"
    if inputs["media"].skipped:
        facts["reference images"] = f"none: {inputs['media'].skipped}"
    return facts


def _curves(inputs: Inputs) -> list[Any]:
    from zipp_dagster.zipbench.report import Curve

    history = json.loads(inputs["gat_checkpoint"].path("history.json").read_text())
    names = {"link_loss": "link loss", "image_loss": "ImageAlign loss"}
    losses = {
        label: [(row["epoch"], row.get(name)) for row in history]
        for name, label in names.items()
        if any(row.get(name) is not None for row in history)
    }
    hits = [name for name in (history[0] if history else {}) if "hits" in name]
    curves = [Curve("Encoder training", "epoch", "loss", losses)] if losses else []
    if hits:
        series = {name: [(row["epoch"], row.get(name)) for row in history] for name in hits}
        curves.append(Curve("Encoder validation", "epoch", "share of links found", series))
    return curves


def _promotion(inputs: Inputs, asset: str) -> Any:
    from zipp_dagster.zipbench.promotion import PromotionDecision, Verdict
    from zipp_dagster.zipbench.statistics import Interval

    document = json.loads(inputs[asset].path("decision.json").read_text())
    verdicts = tuple(
        Verdict(**{**entry, "gain": Interval(**entry["gain"])}) for entry in document["verdicts"]
    )
    return PromotionDecision(
        document["outcome"],
        f"{document['model']}: {document['candidate']}",
        document["opponent"],
        tuple(document["reasons"]),
        verdicts,
    )


def _lineage(inputs: Inputs) -> list[Any]:
    from zipp_dagster.zipbench.report import LineageRow

    return [
        LineageRow(
            version.asset,
            version.partition,
            version.id,
            version.manifest.run_id or "",
            version.manifest.created,
        )
        for entry in inputs.values()
        for version in entry.versions
    ]


@check("report_complete")
def report_complete(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """The page and its scores exist, and the page needs nothing from the network."""
    import json
    import re

    page = draft.path("index.html").read_text()
    scores = json.loads(draft.path("scores.json").read_text())
    outside = re.findall(r"""(?:src|href)=["'](?:https?:)?//[^"']+""", page)
    return CheckOutcome(
        bool(scores) and not outside,
        f"{len(page) // 1024} KiB; {len(outside)} references to other places",
    )


def show_report(platform: Platform, version: Version) -> None:
    """Puts the published page where people look for it."""
    import shutil

    folder = platform.reports / "zipbench"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("scores.json", "index.html"):
        shutil.copyfile(version.directory / name, folder / f".{name}")
        (folder / f".{name}").replace(folder / name)


@check("current_inputs", blocking=False)
def current_inputs(draft: Draft, inputs: Inputs, platform: Platform) -> CheckOutcome:
    """Nothing that the report is made from was made from something that is no longer current."""
    from zipp_dagster.platform.staleness import staleness

    above = [version for name in inputs for version in inputs[name].versions]
    found = staleness(platform.lake, above).outdated
    said = "; ".join(outdated.sentence for outdated in found[:5])
    more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
    return CheckOutcome(
        not found,
        f"{said}{more}: `zipp run` makes it again" if found else "all inputs are current",
        {"outdated": len(found)},
        severity="warn",
    )


@artifact(
    group="zipbench",
    kinds={"html"},
    owner=OWNER,
    inputs=[
        "leaderboard",
        "benchmark_cases",
        "benchmark_scores",
        "gallery_images",
        "benchmark_prompts",
        "rewritten_prompts",
        "generated_images",
        "personas",
        "media",
        "encoder_ablation",
        "gat_checkpoint",
        "downstream_ablation",
        "llm_ablation",
        "pluralism_scores",
        "demographic_scores",
        "judge_preferences",
        "human_preferences",
        "persona_quality",
        *DECISIONS,
        "image_posts",
        "benchmark_holdout",
        "sample_world",
    ],
    optional=[
        "media",
        "demographic_scores",
        "judge_preferences",
        "persona_quality",
        "sample_world",
        "encoder_ablation",
        "downstream_ablation",
        "llm_ablation",
        "pluralism_scores",
    ],
    checks=[report_complete, current_inputs],
    after_publish=show_report,
)
def zipbench_report(
    inputs: Inputs, out: Draft, platform: Platform, settings: ZipbenchSettings
) -> Summary:
    """The benchmark as a page: leaderboard, gallery, curves, decisions, and where every number is from.

    Written to `reports/zipbench/`, with `scores.json` beside it. People of real dumps are not shown
    unless a setting allows it.
    """
    from zipp_dagster.zipbench.report import write_report

    references = reference_images(inputs, inputs["benchmark_prompts"].table())
    data = report_data(inputs, platform, settings, references)
    page = write_report(data, out.directory, settings)
    return Summary(metadata={"page": (platform.reports / "zipbench" / page.name).as_uri()})


ARTIFACTS = (zipbench_report,)
