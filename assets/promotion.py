"""Whether a candidate encoder becomes champion. Generators and rewriters are in `candidates`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assets.champions import decision_explained, registered_as, settle
from assets.encoder import GRAPH_INPUTS, MODEL
from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.platform.artifacts import Inputs, Summary, artifact
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.registry import CHAMPION
from zipp_dagster.platform.versions import LakeError
from zipp_dagster.zipbench.config import PromotionSettings, ZipbenchSettings

OWNER = "team:zipbench"
PROMOTION_METRICS = ("mrr", "hits10")


@artifact(
    group="zipbench",
    kinds={"mlflow"},
    owner=OWNER,
    inputs=["gat_evaluation", "gat_checkpoint", *GRAPH_INPUTS[:3]],
    checks=[decision_explained],
)
def promotion_decision(
    inputs: Inputs,
    out: Draft,
    platform: Platform,
    encoder: EncoderSettings,
    rule: PromotionSettings,
    settings: ZipbenchSettings,
) -> Summary:
    """Whether the candidate encoder becomes champion: both are scored on the same later-in-time links.

    Never fails because a candidate did not win: it says promoted or kept, and why, and moves the
    alias in MLflow accordingly.
    """
    from zipp_dagster.encoder.candidates import user_scores
    from zipp_dagster.encoder.model_io import ModelError
    from zipp_dagster.zipbench.promotion import Comparison, decide_promotion

    candidate = inputs["gat_checkpoint"].version
    graph, split, features = (inputs[name].directory for name in GRAPH_INPUTS[:3])

    def scores(directory: Any) -> Any:
        return user_scores(directory, graph, split, features, PROMOTION_METRICS, encoder)

    champion, notes, theirs = platform.registry.by_alias(MODEL, CHAMPION), [], None
    if champion is not None:
        try:
            stored = platform.lake.version(champion.asset, champion.lake_version)
            if reason := other_split(stored.manifest.metadata, split):
                notes.append(reason)
                rule = rule.model_copy(update={"first_must_win": True})
            else:
                theirs = scores(stored.directory)
        except (ModelError, LakeError) as error:
            notes.append(f"the champion cannot be scored on this data: {error}")
    first = theirs is None
    ours = scores(candidate.directory)
    notes.append(ours.evaluated)
    opponent = f"champion {champion.version}" if champion and not first else "popularity"
    theirs = theirs if theirs is not None else scores(None)
    registered = registered_as(MODEL, candidate, platform)
    decision = decide_promotion(
        f"candidate {registered.version}",
        opponent,
        [
            Comparison(
                metric, "test links", ours.by_metric[metric], theirs.by_metric[metric], role=role
            )
            for metric, role in zip(PROMOTION_METRICS, ("primary", "guard"), strict=True)
        ],
        rule,
        settings,
        first=first,
    )
    return settle(decision, registered, champion, notes, out.asset, platform, out)


def other_split(metadata: dict[str, Any], split: Path) -> str | None:
    """Why a champion with this metadata cannot be judged on a split; None where it can.

    On a split that was drawn otherwise, a champion has trained on links that a candidate was kept
    from. The candidate then has to be clearly better than popularity.
    """
    from zipp_dagster.graph.split import split_rule

    now, then = split_rule(split), metadata.get("split", "a split that is not recorded")
    if now == then:
        return None
    return (
        "the champion cannot be compared: it may have trained on links that are held out now "
        f"(then: {then}; now: {now}); the candidate must be clearly better than popularity"
    )


ARTIFACTS = (promotion_decision,)
