"""What a reward model or a comparing model prefers, where one is configured."""

from __future__ import annotations

from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, Skip, Summary, artifact, check
from zipp_dagster.platform.lake import Draft
from zipp_dagster.zipbench.config import JudgeSettings, ZipbenchSettings

OWNER = "team:zipbench"
LEAST_PARSED = 0.5


@check("answers_read")
def answers_read(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """At least half of the judge's answers could be read; else its win rates describe the rest."""
    import pyarrow.parquet as parquet

    rows = parquet.read_table(draft.files()).to_pylist()
    bad = [r["method"] for r in rows if r["unparsed"] > (1 - LEAST_PARSED) * r["cases"]]
    return CheckOutcome(not bad, f"{len(rows)} comparisons; mostly unreadable: {bad or 'none'}")


@artifact(
    group="zipbench",
    kinds={"torch", "parquet"},
    owner=OWNER,
    inputs=["benchmark_prompts", "generated_images", "personas"],
    checks=[answers_read],
    pool="gpu",
)
def judge_preferences(
    inputs: Inputs, out: Draft, judge: JudgeSettings, settings: ZipbenchSettings
) -> Summary:
    """Which of two methods' images a judge prefers: PickScore, HPSv2, ImageReward, or a model that compares.

    A comparing model is asked in both orders; inconclusive and unreadable answers are counted. Skipped
    where no judge is configured: no score stands in for it.
    """
    import pyarrow.parquet as parquet

    from zipp_dagster.zipbench.judges.base import judge_methods
    from zipp_dagster.zipbench.judges.loading import load_judge
    from zipp_dagster.zipbench.leaderboard import comparisons
    from zipp_dagster.zipbench.metrics import drawn_images
    from zipp_dagster.zipbench.registry import method_order

    if judge.kind is None:
        raise Skip("no judge is configured: set judge.kind (pickscore, hpsv2, imagereward or vlm)")
    drawn = inputs["generated_images"]
    images = drawn_images(drawn.files())
    prose = {row["user_id"]: row["summary"] for row in inputs["personas"].rows()}
    cases = {
        row["case_id"]: (row["user_id"], row["base_prompt"], prose.get(row["user_id"], ""))
        for row in inputs["benchmark_prompts"].rows()
    }
    methods = sorted(set(drawn.table(["method"])["method"].to_pylist()), key=method_order)
    table = judge_methods(
        load_judge(judge), images, cases, comparisons(methods), settings.confidence
    )
    parquet.write_table(table, out.path("part-0.parquet"), compression="zstd")
    return Summary(rows=table.num_rows, tables={"preferences": table.to_pylist()})


ARTIFACTS = (judge_preferences,)
