"""What champions share: where an alias points, the champion's files, and settling a decision.

Which models have champions, and how candidates are compared, is in `encoder`, `promotion` and
`candidates`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, Skip, Summary, check
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.registry import CHAMPION, ModelVersion, RegistryConflict

if TYPE_CHECKING:
    from zipp_dagster.platform.versions import Version
    from zipp_dagster.zipbench.promotion import PromotionDecision


def fingerprint_of(model: str) -> Callable[[Platform, str | None], str]:
    """A function that says which lake version is a model's champion: an asset's external state."""

    def fingerprint(platform: Platform, partition: str | None) -> str:
        champion = platform.registry.by_alias(model, CHAMPION)
        return champion.lake_version if champion else "none"

    return fingerprint


def take_over(model: str, decision: str, platform: Platform, out: Draft) -> Summary:
    """Puts the champion's files into a draft: the very version that the alias points to.

    Raises:
        Skip: nobody is champion; the reason names the decision that says why.
    """
    import shutil

    champion = platform.registry.by_alias(model, CHAMPION)
    if champion is None:
        raise Skip(f"no version of {model} is champion: see {decision} for the reasons")
    source = platform.lake.version(champion.asset, champion.lake_version)
    for entry in source.manifest.files:
        target = out.path(entry.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.directory / entry.path, target)
    return Summary(
        metadata={
            "model": model,
            "model_version": champion.version,
            "lake_version": champion.lake_version,
            "mlflow_run": champion.run_id,
        }
    )


def registered_as(model: str, candidate: Version, platform: Platform) -> ModelVersion:
    """The registered version of a candidate."""
    registered = platform.registry.by_lake_version(model, candidate.id)
    assert registered is not None, f"{candidate.id} is registered when it is published"
    return registered


def settle(
    decision: PromotionDecision,
    candidate: ModelVersion,
    champion: ModelVersion | None,
    notes: Sequence[str],
    asset: str,
    platform: Platform,
    out: Draft,
) -> Summary:
    """Moves the alias if the decision says so, and writes the decision with its reasons.

    Where another promotion came in between, the candidate is kept and told.
    """
    import json
    from dataclasses import asdict, replace

    told = list(notes)
    if decision.outcome == "promoted" and (champion is None or champion != candidate):
        try:
            platform.registry.promote(
                candidate.name,
                candidate.version,
                who=asset,
                why="; ".join(decision.reasons),
                against=champion.version if champion else 0,
            )
        except RegistryConflict as conflict:
            decision = replace(decision, outcome="kept")
            told.append(f"another promotion came first: {conflict}")
    document: dict[str, Any] = {
        **asdict(decision),
        "model": candidate.name,
        "reasons": [*told, *decision.reasons],
        "candidate_lake_version": candidate.lake_version,
        "champion_before": champion.lake_version if champion else None,
    }
    out.path("decision.json").write_text(json.dumps(document, indent=1))
    gains = {f"gain_{v.metric}": v.gain.value for v in decision.verdicts if v.gain.low is not None}
    return Summary(
        metadata={
            "outcome": decision.outcome,
            "candidate": decision.candidate,
            "opponent": decision.opponent,
            "reasons": document["reasons"],
            **gains,
        }
    )


@check("decision_explained")
def decision_explained(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """The decision says promoted or kept, with at least one reason."""
    import json

    decision = json.loads(draft.path("decision.json").read_text())
    valid = decision["outcome"] in ("promoted", "kept") and bool(decision["reasons"])
    return CheckOutcome(valid, f"{decision['outcome']}: {'; '.join(decision['reasons'])}")
