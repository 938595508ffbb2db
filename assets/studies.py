"""Human studies: the blind votes between two methods' images, counted and checked.

The votes themselves are cast in the studio; simulated ones come from `simulated_votes`.
"""

from __future__ import annotations

from typing import Any

from assets.zipbench import BALLOTS, OWNER
from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, Summary, artifact, check
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.lake import Draft
from zipp_dagster.zipbench.config import ZipbenchSettings

IMPORTED_VOTES = "votes"
"""Folder below ZIPP_HOME that `zipp study import` fills."""


def votes_fingerprint(platform: Platform, partition: str | None) -> str:
    """The names, sizes and times of the vote files."""
    folder = platform.settings.zipbench.votes_dir or platform.home / IMPORTED_VOTES
    if not folder.is_dir():
        return "none"
    states = [(path.name, path.stat()) for path in sorted(folder.iterdir())]
    return str([(name, state.st_size, state.st_mtime_ns) for name, state in states])


@check("votes_add_up")
def votes_add_up(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Win rates follow from the counted votes."""
    import pyarrow.parquet as parquet

    rows = parquet.read_table(draft.files()).to_pylist()
    bad = [
        row["method"]
        for row in rows
        if row["wins"] + row["losses"]
        and abs(row["win_rate"] - row["wins"] / (row["wins"] + row["losses"])) > 1e-9
    ]
    return CheckOutcome(not bad, f"{len(rows)} comparisons; wrong: {bad or 'none'}")


def _study_check(name: str, draft: Draft) -> CheckOutcome:
    """One of the studio's checks, over all studies; simulated and human votes apart."""
    import pyarrow.parquet as parquet

    from zipp_dagster.studio.quality import study_checks

    votes = parquet.read_table(draft.path(BALLOTS)).to_pylist()
    studies = sorted({(vote["study"], vote["simulated"]) for vote in votes})
    found = []
    for study, simulated in studies:
        mine = [v for v in votes if (v["study"], v["simulated"]) == (study, simulated)]
        found += [(study, one) for one in study_checks(mine) if one.name == name]
    passed = all(one.passed for _, one in found)
    said = "; ".join(f"{study}: {one.description}" for study, one in found)
    return CheckOutcome(passed, said or "no votes yet", severity="warn")


@check("balance_of_sides", blocking=False)
def balance_of_sides(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Left and right were chosen about equally often."""
    return _study_check("balance_of_sides", draft)


@check("share_of_ties", blocking=False)
def share_of_ties(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """At most half of the votes see no difference."""
    return _study_check("share_of_ties", draft)


@check("rater_agreement", blocking=False)
def rater_agreement(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Raters do not disagree systematically (Krippendorff's alpha)."""
    return _study_check("rater_agreement", draft)


@check("enough_votes", blocking=False)
def enough_votes(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Each comparison has enough decided votes for a useful interval."""
    return _study_check("enough_votes", draft)


@artifact(
    group="zipbench",
    kinds={"parquet"},
    owner=OWNER,
    inputs=["simulated_votes"],
    optional=["simulated_votes"],
    checks=[votes_add_up, balance_of_sides, share_of_ties, rater_agreement, enough_votes],
    external_state=votes_fingerprint,
)
def human_preferences(
    inputs: Inputs, out: Draft, platform: Platform, settings: ZipbenchSettings
) -> Summary:
    """Blind votes between two methods' images: win rates with intervals, and all votes with flags.

    Intervals and p-values resample people and prompts; Wilson's and the exact test stand beside them.
    Reads the vote files of `zipbench.votes_dir` (or those of `zipp study import`), and the simulated
    votes of the sample world, which have rows of their own and are never counted with people's.
    """
    import pyarrow.parquet as parquet

    from zipp_dagster.zipbench.preferences import human_preferences

    simulated = inputs["simulated_votes"].table() if inputs.available("simulated_votes") else None
    result = human_preferences(
        settings, imported=platform.home / IMPORTED_VOTES, simulated=simulated
    )
    parquet.write_table(result.table, out.path("part-0.parquet"), compression="zstd")
    parquet.write_table(result.ballots, out.path(BALLOTS), compression="zstd")
    metadata: dict[str, Any] = {
        "votes": result.votes,
        "simulated_votes": simulated.num_rows if simulated is not None else 0,
    }
    if result.reason:
        metadata["note"] = result.reason
    shown = ("study", "simulated", "method", "opponent", "win_rate", "low", "high", "p_holm")
    rows = [{name: row[name] for name in shown} for row in result.table.to_pylist()]
    return Summary(rows=result.table.num_rows, metadata=metadata, tables={"win rates": rows})


ARTIFACTS = (human_preferences,)
