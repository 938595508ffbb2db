"""Whether a candidate model becomes champion."""

from __future__ import annotations

from typing import Any

from assets.encoder import GRAPH_INPUTS, MODEL
from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, Summary, artifact, check
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.registry import CHAMPION, Registry, RegistryConflict
from zipp_dagster.platform.versions import LakeError
from zipp_dagster.zipbench.config import PromotionSettings, ZipbenchSettings

OWNER = "team:zipbench"
PROMOTION_METRICS = ("mrr", "hits10")


@check("decision_explained")
def decision_explained(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """The decision says promoted or kept, with at least one reason."""
    import json

    decision = json.loads(draft.path("decision.json").read_text())
    valid = decision["outcome"] in ("promoted", "kept") and bool(decision["reasons"])
    return CheckOutcome(valid, f"{decision['outcome']}: {'; '.join(decision['reasons'])}")


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
    registry: Registry,
    encoder: EncoderSettings,
    rule: PromotionSettings,
    settings: ZipbenchSettings,
) -> Summary:
    """Whether the candidate encoder becomes champion: both are scored on the same later-in-time links.

    Never fails because a candidate did not win: it says promoted or kept, and why, and moves the
    alias in MLflow accordingly.
    """
    import json
    from dataclasses import asdict, replace

    from zipp_dagster.encoder.candidates import user_scores
    from zipp_dagster.encoder.model_io import ModelError
    from zipp_dagster.zipbench.promotion import Comparison, decide_promotion

    candidate = inputs["gat_checkpoint"].version
    paths = [inputs[name].directory for name in GRAPH_INPUTS[:3]]

    def scores(directory: Any) -> Any:
        return user_scores(directory, *paths, PROMOTION_METRICS, encoder)

    champion, notes, theirs = registry.by_alias(MODEL, CHAMPION), [], None
    if champion is not None:
        try:
            theirs = scores(platform.lake.version(champion.asset, champion.lake_version).directory)
        except (ModelError, LakeError) as error:
            notes.append(f"the champion cannot be scored on this data: {error}")
    first = theirs is None
    ours = scores(candidate.directory)
    opponent = f"champion {champion.version}" if champion and not first else "popularity"
    theirs = theirs if theirs is not None else scores(None)
    registered = registry.by_lake_version(MODEL, candidate.id)
    assert registered is not None, "a checkpoint is registered when it is published"
    decision = decide_promotion(
        f"candidate {registered.version}",
        opponent,
        [
            Comparison(metric, "test links", ours[metric], theirs[metric], role=role)
            for metric, role in zip(PROMOTION_METRICS, ("primary", "guard"), strict=True)
        ],
        rule,
        settings,
        first=first,
    )
    already = champion is not None and champion.lake_version == candidate.id
    if decision.outcome == "promoted" and not already:
        try:
            registry.promote(
                MODEL,
                registered.version,
                who="promotion_decision",
                why="; ".join(decision.reasons),
                against=champion.version if champion else 0,
            )
        except RegistryConflict as told:
            decision = replace(decision, outcome="kept")
            notes.append(f"another promotion came first: {told}")
    document = {
        **asdict(decision),
        "reasons": [*notes, *decision.reasons],
        "candidate_lake_version": candidate.id,
        "champion_before": champion.lake_version if champion else None,
    }
    out.path("decision.json").write_text(json.dumps(document, indent=1))
    return Summary(
        metadata={
            "outcome": decision.outcome,
            "candidate": decision.candidate,
            "opponent": decision.opponent,
            "reasons": document["reasons"],
        }
    )


ARTIFACTS = (promotion_decision,)
