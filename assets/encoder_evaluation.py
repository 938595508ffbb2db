"""How good the candidate encoder is, alone and beside its rivals.

What lives here: the evaluation of a candidate and the ablation. What does not: the decision on it
(`promotion_decision` in `zipbench`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from assets.encoder import GRAPH_INPUTS, OWNER, images_of
from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.fanout import FanOut
from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, Summary, artifact, check
from zipp_dagster.platform.lake import Draft
from zipp_dagster.progress import Progress

OWN_COMMUNITIES = "own-communities.parquet"
"""Beside the ablation's table: how each encoder ranks benchmark users' communities."""

TOLERATED_LOSS = 0.1
"""Share of popularity's MRR that a valid encoder may certainly lose.

Without it an encoder that is just as good as popularity, as in a small or sparse world, would fail
the check in one run of forty: the interval covers 95 %.
"""


@check("scores_complete")
def scores_complete(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """The candidate has every metric over all links, each finite and within its interval."""
    from zipp_dagster.encoder.evaluation import METRICS

    rows = [r for r in _table_rows(draft) if r["encoder"] == "candidate" and not r["baseline"]]
    bad = [f"{r['metric']} ({r['group']})" for r in rows if not r["low"] <= r["value"] <= r["high"]]
    missing = sorted(set(METRICS) - {r["metric"] for r in rows if r["group"] == "all"})
    return CheckOutcome(
        not bad and not missing,
        f"{len(rows)} scores; without a valid interval: {bad or 'none'}; missing: {missing or 'none'}",
    )


@check("no_target_in_embeddings")
def no_target_in_embeddings(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """With the held-out links taken out of the graph, users embed as the evaluation embedded them."""
    from zipp_dagster.encoder.leak_check import largest_change_without_targets

    change = largest_change_without_targets(
        inputs["gat_checkpoint"].directory,
        inputs["interaction_graph"].directory,
        inputs["link_split"].directory,
        inputs["subreddit_features"].directory,
    )
    return CheckOutcome(
        change <= 1e-5,
        f"largest change of a user's embedding when held-out links are overwritten: {change:.2g}",
        {"largest_change": change},
    )


@check("not_below_popularity")
def not_below_popularity(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """The candidate is not certainly and clearly worse than mere popularity: its training failed.

    Clearly: by a tenth of popularity's score (`TOLERATED_LOSS`). Whether it is better, by enough to
    serve, is for `promotion_decision`: among people with two or three communities no encoder may be.
    """
    rows = _table_rows(draft)
    (row,) = [
        row
        for row in rows
        if (row["encoder"], row["metric"], row["baseline"]) == ("candidate", "mrr", "popularity")
    ]
    floor = _overall(rows)["popularity", "mrr"]
    limit = -TOLERATED_LOSS * floor
    interval = f"{row['value']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
    return CheckOutcome(
        row["high"] >= limit,
        f"MRR {interval} against {floor:.4f} of popularity; training has failed where the whole "
        f"interval is below {limit:+.4f}",
        {"difference": row["value"], "limit": limit},
    )


@check("better_than_popularity", blocking=False)
def better_than_popularity(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """The candidate ranks held-out communities better than their mere popularity does."""
    value = _overall(_table_rows(draft))
    ours, floor = value["candidate", "mrr"], value["popularity", "mrr"]
    return CheckOutcome(
        ours > floor, f"MRR {ours:.3f} against {floor:.3f} of popularity", severity="warn"
    )


def _overall(rows: list[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """(encoder, metric) → score over all links."""
    return {
        (row["encoder"], row["metric"]): row["value"]
        for row in rows
        if row["group"] == "all" and row["baseline"] is None
    }


def _table_rows(draft: Draft) -> list[dict[str, Any]]:
    import pyarrow.parquet as parquet

    rows: list[dict[str, Any]] = parquet.read_table(draft.files()).to_pylist()
    return rows


@artifact(
    group="encoder",
    kinds={"numba", "parquet"},
    owner=OWNER,
    inputs=[*GRAPH_INPUTS, "gat_checkpoint"],
    optional=["image_embeddings"],
    checks=[
        scores_complete,
        no_target_in_embeddings,
        not_below_popularity,
        better_than_popularity,
    ],
)
def gat_evaluation(inputs: Inputs, out: Draft, settings: EncoderSettings) -> Summary:
    """How well the candidate finds held-out communities, for seen and unseen users, by degree.

    Whether the candidate is better than the champion is `promotion_decision`; here a warning is all.
    """
    import pyarrow.parquet as parquet

    from zipp_dagster.encoder.ablation import evaluate_model

    result = evaluate_model(
        inputs["gat_checkpoint"].directory,
        inputs["interaction_graph"].directory,
        inputs["link_split"].directory,
        inputs["subreddit_features"].directory,
        images_of(inputs),
        settings,
    )
    parquet.write_table(result.table, out.path("part-0.parquet"), compression="zstd")
    return _metrics_summary(result.table.to_pylist(), result.notes, "candidate")


@check("all_encoders_scored")
def all_encoders_scored(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Every encoder has a finite score with its interval around it."""
    rows = [r for r in _table_rows(draft) if r["baseline"] is None and r["group"] == "all"]
    bad = [
        f"{r['encoder']} {r['metric']}"
        for r in rows
        if r["value"] is None or not r["low"] <= r["value"] <= r["high"]
    ]
    encoders = sorted({row["encoder"] for row in rows})
    return CheckOutcome(
        not bad and len(encoders) >= 3,
        f"without a valid interval: {', '.join(bad)}" if bad else f"scored: {', '.join(encoders)}",
    )


@artifact(
    group="encoder",
    kinds={"torch", "parquet"},
    owner=OWNER,
    inputs=[*GRAPH_INPUTS, "gat_checkpoint", "benchmark_holdout"],
    optional=["image_embeddings"],
    checks=[all_encoders_scored],
    pool="gpu",
)
def encoder_ablation(
    inputs: Inputs, out: Draft, settings: EncoderSettings, compute: FanOut, progress: Progress
) -> Summary:
    """The candidate beside its rivals on one split, each graph encoder with and without ImageAlign.

    Popularity, TF-IDF + SVD, TF-IDF + NMI, text, LightGCN, GraphSAGE, GATv2: every one has the same
    number of tuning runs, which are listed; whichever wins, the table says so. How each ranks the
    benchmark users' own communities lies beside it: what personas mined with it are worth is
    `downstream_ablation`.
    """
    import numpy as np
    import pyarrow.parquet as parquet

    from zipp_dagster.encoder.ablation import run_ablation
    from zipp_dagster.encoder.model_io import load_model

    candidate = inputs["gat_checkpoint"].directory
    aligned = load_model(candidate).config.image_dim is not None
    result = run_ablation(
        inputs["interaction_graph"].directory,
        inputs["link_split"].directory,
        inputs["subreddit_features"].directory,
        images_of(inputs),
        settings,
        out.scratch,
        {"gatv2_imagealign" if aligned else "gatv2": candidate},
        progress,
        # Ids only: the encoders never see what was held out.
        users=np.unique(inputs["benchmark_holdout"].table()["user_id"].to_numpy()),
        fan_out=compute,
    )
    parquet.write_table(result.table, out.path("part-0.parquet"), compression="zstd")
    parquet.write_table(result.rankings, out.path(OWN_COMMUNITIES), compression="zstd")
    summary = _metrics_summary(result.table.to_pylist(), result.notes, None)
    return replace(summary, tables={**summary.tables, "tuning runs": list(result.tuning)})


def _metrics_summary(rows: list[dict[str, Any]], notes: list[str], encoder: str | None) -> Summary:
    """A table of encoders by metric, and one encoder's scores as numbers for the UI's plots."""
    whole = [r for r in rows if r["baseline"] is None and r["group"] in ("all", "unseen")]
    table: dict[tuple[str, str], dict[str, Any]] = {}
    for row in whole:
        entry = table.setdefault(
            (row["encoder"], row["group"]), {"encoder": row["encoder"], "users": row["group"]}
        )
        entry[row["metric"]] = row["value"]
    columns = list(dict.fromkeys(key for entry in table.values() for key in entry))
    shown = [{column: entry.get(column) for column in columns} for entry in table.values()]
    numbers = {
        f"{row['metric']}_{row['group']}": row["value"]
        for row in whole
        if row["encoder"] == encoder
    }
    return Summary(
        rows=len(rows), metadata={**numbers, "notes": notes}, tables={"held-out links": shown}
    )


ARTIFACTS = (gat_evaluation, encoder_ablation)
