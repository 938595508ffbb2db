"""ZIPBench: leak checks, cases, scores, leaderboard.

Ablations are in `ablations`, votes in `studies`, the promotion decision in `promotion`, the report in
`report`, demographics (which open the sample world's truth) in `evaluation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, Summary, artifact, check
from zipp_dagster.platform.lake import Draft
from zipp_dagster.progress import Progress
from zipp_dagster.zipbench.config import ZipbenchSettings

if TYPE_CHECKING:
    import pyarrow as pa

OWNER = "team:zipbench"
BALLOTS = "votes.parquet"
"""Of human_preferences: all votes, beside the win rates that follow from them."""


@check("nothing_held_out")
def nothing_held_out(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """No visible post shares an id or a picture with the hold-out, or a title with its user's."""
    import pyarrow.parquet as parquet

    from zipp_dagster.zipbench.leaks import find_leaks

    columns = ["post_id", "user_id", "title", "sha256"]
    report = find_leaks(
        inputs["benchmark_holdout"].table().select(columns),
        parquet.read_table(draft.files(), columns=columns),
    )
    found = ", ".join(f"{count} {kind}" for kind, count in report.counts.items())
    return CheckOutcome(report.clean, found, dict(report.counts))


CHECKS_OF_TABLES = {"image_posts": (nothing_held_out,)}
"""Checks of SQL models that need more than a contract."""


def reference_images(
    inputs: Inputs, cases: pa.Table, spool: Path | None = None
) -> Mapping[str, bytes]:
    """SHA-256 → picture, for the cases' reference images; empty where there is no media.

    They are read as they are asked for; who asks for all of them names a folder to `spool` them in.
    """
    if not inputs.available("media"):
        return {}
    from zipp_dagster.imaging.stored_images import StoredImages

    wanted = {sha for sha in cases["reference_sha256"].to_pylist() if sha}
    found = StoredImages(inputs["media"].files(), ["sha256"], wanted)
    return found if spool is None else found.spooled(spool)


@check("leaks_flagged")
def leaks_flagged(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Every case has its flags; more than one leaking case in ten is worth a look."""
    import pyarrow.parquet as parquet

    flags = parquet.read_table(draft.files(), columns=["leaks"])["leaks"].to_pylist()
    leaked = sum(bool(leaks) for leaks in flags)
    return CheckOutcome(
        leaked <= 0.1 * len(flags), f"{leaked} of {len(flags)} cases leak", severity="warn"
    )


@artifact(
    group="zipbench",
    kinds={"parquet"},
    owner=OWNER,
    inputs=["benchmark_prompts", "image_posts"],
    checks=[leaks_flagged],
)
def benchmark_cases(inputs: Inputs, out: Draft, settings: ZipbenchSettings) -> Summary:
    """The benchmark's cases in one canonical row each, with the person's history and leak flags.

    Public data sets load into the same columns (`zipp zipbench cases`); clean and leaked cases are
    reported apart.
    """
    import pyarrow.parquet as parquet

    from zipp_dagster.zipbench.cases import pipeline_cases

    posts = inputs["image_posts"].table().select(["user_id", "created_at", "title", "sha256"])
    cases = pipeline_cases(
        inputs["benchmark_prompts"].table(),
        posts.sort_by([("user_id", "ascending"), ("created_at", "ascending")]),
        threshold=settings.leak_token_f1,
    )
    parquet.write_table(cases.table(), out.path("part-0.parquet"), compression="zstd")
    return Summary(rows=len(cases.cases), metadata=cases.counts())


@check("all_cases_scored")
def all_cases_scored(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Every generated image has its row, and every case with a reference picture its score."""
    import pyarrow.parquet as parquet

    rows = parquet.read_table(draft.files())
    images = inputs["generated_images"].count()
    with_picture = {
        row["case_id"]
        for row in inputs["benchmark_prompts"].rows()
        if row["reference_sha256"] is not None
    }
    expected = sum(case in with_picture for case in rows["case_id"].to_pylist())
    scored = rows.num_rows - rows["clip_i"].null_count
    possible = expected if inputs.available("media") else 0
    return CheckOutcome(
        rows.num_rows == images and scored == possible,
        f"{rows.num_rows} of {images} images; clip_i for {scored} of {possible} that can have one",
    )


@artifact(
    group="zipbench",
    kinds={"torch", "parquet"},
    owner=OWNER,
    inputs=[
        "benchmark_cases",
        "benchmark_prompts",
        "generated_images",
        "media",
        "evaluation_encoder",
    ],
    optional=["media"],
    checks=[all_cases_scored],
    pool="gpu",
)
def benchmark_scores(
    inputs: Inputs, out: Draft, settings: ZipbenchSettings, progress: Progress
) -> Summary:
    """One row a case and method: likeness to the user's own picture, and to the user's own prompt.

    The encoder is the evaluation's own. A case without its picture has no image score, never a zero.
    """
    import pyarrow.parquet as parquet

    from zipp_dagster.imaging.encoders import load_evaluation_encoder
    from zipp_dagster.imaging.stored_models import stored_model
    from zipp_dagster.zipbench.metrics import (
        SCORED,
        drawn_images,
        embed_images,
        embed_references,
        save_embeddings,
        score_cases,
    )

    stored = stored_model(inputs["evaluation_encoder"].directory)
    encoder = load_evaluation_encoder(stored.model, stored.revision)
    cases, generated = inputs["benchmark_prompts"].table(), inputs["generated_images"]
    references = reference_images(inputs, cases, out.scratch)
    made = embed_images(drawn_images(generated.files()), encoder.embed_images, progress)
    posted = embed_references(cases, references, encoder.embed_images)
    flags = inputs["benchmark_cases"].table().select(["case_id", "leaks"]).to_pylist()
    scores = score_cases(
        cases,
        generated.table(SCORED),
        references,
        encoder.embed_images,
        getattr(encoder, "embed_texts", None),  # only a CLIP-class encoder reads texts
        encoder=f"{encoder.name}@{encoder.version[:8]}",
        embeddings=(made, posted),
        leaks={row["case_id"]: row["leaks"] for row in flags},
    )
    parquet.write_table(scores, out.path("part-0.parquet"), compression="zstd")
    save_embeddings(made, out.path("embeddings-generated.parquet"))
    save_embeddings(posted, out.path("embeddings-reference.parquet"))
    scored = scores.num_rows - scores["clip_i"].null_count
    metadata: dict[str, Any] = {"image_scores": scored, "reference_pictures": len(posted.names)}
    metadata["encoder"] = f"{encoder.name}@{encoder.version}"
    if not references:
        metadata["note"] = f"no reference images: {inputs['media'].skipped or 'none were found'}"
    return Summary(rows=scores.num_rows, metadata=metadata)


@check("intervals_valid")
def intervals_valid(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Every value lies in its interval; a metric without a case has no value."""
    import pyarrow.parquet as parquet

    rows = parquet.read_table(draft.files()).to_pylist()
    bad = [
        f"{row['method']} {row['metric']}"
        for row in rows
        if (row["value"] is not None and row["cases"] == 0)
        or (row["low"] is not None and not row["low"] <= row["value"] <= row["high"])
    ]
    return CheckOutcome(
        bool(rows) and not bad, f"{len(rows)} rows; wrong: {', '.join(bad) or 'none'}"
    )


def method_costs(inputs: Inputs) -> dict[str, Any]:
    """What an image of each method cost, as the runs that made prompts and images measured it.

    Drawing is timed for all methods of the frozen generator together, and only where it drew
    something; tokens only where a language model counts them.
    """
    from zipp_dagster.zipbench.leaderboard import MethodCost
    from zipp_dagster.zipbench.methods.drawing import with_image_step
    from zipp_dagster.zipbench.registry import METHODS

    drawing = inputs["generated_images"].version.manifest.metadata
    drawn = drawing.get("drawn")
    per_image = drawing["seconds"] / drawn if drawn else None
    special, result = with_image_step(METHODS), {}
    personal = drawing.get("personal_costs", {})
    for cost in inputs["rewritten_prompts"].version.manifest.metadata.get("costs", []):
        prompts = max(cost["prompts"], 1)
        tokens = cost["prompt_tokens"] + cost["completion_tokens"]
        result[cost["method"]] = MethodCost(
            cost["prompts"],
            rewrite_seconds=cost["seconds"] / prompts,
            rewrite_tokens=tokens / prompts if tokens else None,
            draw_seconds=personal.get(cost["method"], {}).get("draw_seconds")
            if cost["method"] in special
            else per_image,
            fit_seconds=personal.get(cost["method"], {}).get("fit_seconds"),
        )
    return result


@artifact(
    group="zipbench",
    kinds={"numpy", "parquet"},
    owner=OWNER,
    inputs=["benchmark_scores", "rewritten_prompts", "generated_images", "human_preferences"],
    checks=[intervals_valid],
)
def leaderboard(inputs: Inputs, out: Draft, settings: ZipbenchSettings) -> Summary:
    """Every method by every metric, and paired differences, with intervals, tests and costs.

    Intervals resample users, those of votes people and prompts; p-values are Holm-adjusted within a
    metric. The row that matters: ZIPP 0-shot with the own persona against another person's persona.
    """
    import pyarrow.parquet as parquet

    from zipp_dagster.zipbench.leaderboard import build_leaderboard

    table = build_leaderboard(
        inputs["benchmark_scores"].table(),
        settings,
        method_costs(inputs),
        parquet.read_table(inputs["human_preferences"].path(BALLOTS)),
    )
    parquet.write_table(table, out.path("part-0.parquet"), compression="zstd")
    rows = table.to_pylist()
    columns = ("method", "metric", "baseline", "value", "low", "high", "p_holm", "cases", "users")
    shown = [{column: row[column] for column in columns} for row in rows if row["split"] == "all"]
    numbers = {
        f"{row['metric']}_{row['method']}": row["value"]
        for row in rows
        if row["baseline"] is None and row["value"] is not None and row["split"] == "all"
    }
    return Summary(rows=len(rows), metadata=numbers, tables={"leaderboard": shown})


@check("distances_finite")
def distances_finite(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Every distance is a number, and none is below its own sampling noise by far."""
    import math

    import pyarrow.parquet as parquet

    rows = parquet.read_table(draft.files()).to_pylist()
    bad = [
        f"{row['method']} {row['metric']}"
        for row in rows
        if row["value"] is not None and not math.isfinite(row["value"])
    ]
    return CheckOutcome(not bad, f"{len(rows)} rows; not finite: {', '.join(bad) or 'none'}")


@artifact(
    group="zipbench",
    kinds={"numpy", "parquet"},
    owner=OWNER,
    inputs=["benchmark_prompts", "generated_images", "benchmark_scores"],
    checks=[distances_finite],
)
def pluralism_scores(inputs: Inputs, out: Draft, settings: ZipbenchSettings) -> Summary:
    """Does a method draw the spread of somebody's tastes: CMMD as published, unbiased, with its floor.

    Beside it the Vendi score, the effective number of different pictures.
    """
    import pyarrow.parquet as parquet

    from zipp_dagster.zipbench.metrics import load_embeddings
    from zipp_dagster.zipbench.pluralism import pluralism_scores

    scores = inputs["benchmark_scores"]
    table = pluralism_scores(
        inputs["benchmark_prompts"].table(),
        inputs["generated_images"].table(["case_id", "method"]),
        load_embeddings(scores.path("embeddings-generated.parquet")),
        load_embeddings(scores.path("embeddings-reference.parquet")),
        settings,
        encoder=str(scores.version.manifest.metadata["encoder"]),
    )
    parquet.write_table(table, out.path("part-0.parquet"), compression="zstd")
    shown = ("method", "metric", "scope", "value", "low", "high", "floor")
    rows = [{column: row[column] for column in shown} for row in table.to_pylist()]
    return Summary(rows=table.num_rows, tables={"pluralism": rows})


ARTIFACTS = (
    benchmark_cases,
    benchmark_scores,
    leaderboard,
    pluralism_scores,
)
