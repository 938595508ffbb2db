"""What a study has found so far: win rates, Bradley–Terry, groups, quality. JSON types.

The statistics are ZIPBench's own; simulated votes and people's are never counted together.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from zipp_dagster.studio import rating_store
from zipp_dagster.studio.agreement import krippendorff_alpha, mean_pairwise_kappa
from zipp_dagster.studio.bradley_terry import Outcome, strengths
from zipp_dagster.studio.quality import study_checks, with_flags
from zipp_dagster.studio.store import Store
from zipp_dagster.studio.study import StudyConfig
from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.preferences import VOTES_SCHEMA, win_rates
from zipp_dagster.zipbench.registry import method_label
from zipp_dagster.zipbench.statistics import Bootstrap

GROUPS = ("age_band", "surroundings", "work")
UNKNOWN = "not told"
Vote = Mapping[str, Any]


def study_results(store: Store, study: StudyConfig, settings: ZipbenchSettings) -> dict[str, Any]:
    """Everything that the Results room shows of a study of preferences."""
    votes = with_flags(store.votes(study.name))
    counts = store.counts(study.name)
    parts = []
    for simulated in (False, True):
        mine = [vote for vote in votes if bool(vote["simulated"]) == simulated]
        if mine:
            parts.append(_part(study.name, mine, simulated, settings))
    return {
        "study": study.name,
        "title": study.title,
        "wanted": study.participants,
        **counts,
        "parts": parts,
        "minimum_group": settings.minimum_group,
    }


def rating_results(store: Store, study: StudyConfig) -> dict[str, Any]:
    """Means and agreement of a persona quality study."""
    rows = rating_store.ratings(store, study.name)
    found = []
    for name in rating_store.DIMENSIONS:
        raters: dict[Any, dict[Any, int]] = defaultdict(dict)
        units: dict[str, list[float]] = defaultdict(list)
        for row in rows:
            raters[row["participant"]][row["position"]] = row[name]
            units[row["persona_id"]].append(float(row[name]))
        values = [row[name] for row in rows]
        found.append(
            {
                "dimension": name,
                "mean": float(np.mean(values)) if values else None,
                "n": len(values),
                "alpha": krippendorff_alpha(list(units.values()), "ordinal"),
                "kappa": mean_pairwise_kappa(raters),
            }
        )
    return {
        "study": study.name,
        "title": study.title,
        "wanted": study.participants,
        **store.counts(study.name),
        "ratings": found,
    }


def _part(
    name: str, votes: Sequence[Vote], simulated: bool, settings: ZipbenchSettings
) -> dict[str, Any]:
    clean = [vote for vote in votes if not vote["flags"]]
    flags: dict[str, int] = defaultdict(int)
    for vote in votes:
        for flag in vote["flags"].split():
            flags[flag] += 1
    outcomes = [
        Outcome(
            vote["participant"],
            vote["left_method"],
            vote["right_method"],
            {"left": 1.0, "right": 0.0, "tie": 0.5}[vote["choice"]],
        )
        for vote in clean
    ]
    ranking = strengths(outcomes, settings.confidence, settings.seed)
    return {
        "simulated": simulated,
        "votes": len(votes),
        "counted": len(clean),
        "flags": dict(flags),
        "participants": len({vote["participant"] for vote in clean}),
        "win_rates": comparisons(name, clean, settings),
        "bradley_terry": [
            {"method": s.method, "label": method_label(s.method)}
            | {"value": s.value, "low": s.low, "high": s.high}
            for s in ranking
        ],
        "groups": _groups(name, clean, settings),
        "checks": [vars(check) for check in study_checks(votes)],
    }


def comparisons(
    name: str, votes: Sequence[Vote], settings: ZipbenchSettings
) -> list[dict[str, Any]]:
    """Win rates of votes, with intervals that resample people and prompts, and Wilson's beside them."""
    fields = VOTES_SCHEMA.names
    table = pa.Table.from_pylist(
        [
            {key: vote[key] for key in fields if key in vote}
            | {"study": name, "created_at": None, "seconds": float(vote["seconds"])}
            for vote in votes
        ],
        schema=VOTES_SCHEMA,
    )
    return [labelled(row) for row in win_rates(table, Bootstrap.of(settings)).to_pylist()]


def labelled(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of win rates with what a page shows beside it."""
    return {
        **row,
        "n": row["wins"] + row["losses"],
        "label": method_label(row["method"]),
        "opponent_label": method_label(row["opponent"]),
    }


def _groups(name: str, votes: Sequence[Vote], settings: ZipbenchSettings) -> list[dict[str, Any]]:
    """Win rates of groups of k people or more; of the others only how many groups there are.

    Where all hidden groups together have fewer than k people, the smallest shown one is hidden
    too: else the total minus what is shown would tell their votes.
    """
    least = settings.minimum_group
    found: list[dict[str, Any]] = []
    for dimension in GROUPS:
        members: dict[str, list[Vote]] = defaultdict(list)
        people: dict[str, set[str]] = defaultdict(set)
        for vote in votes:
            answer = json.loads(vote["intake"]).get(dimension) or UNKNOWN
            members[answer].append(vote)
            people[answer].add(vote["participant"])
        if set(members) <= {UNKNOWN}:
            continue
        by_size = sorted(people, key=lambda answer: (len(people[answer]), answer))
        hidden = [a for a in by_size if len(people[a]) < least or a == UNKNOWN]
        shown = [a for a in by_size if a not in hidden]
        while shown and 0 < sum(len(people[answer]) for answer in hidden) < least:
            hidden.append(shown.pop(0))
        for answer in sorted(shown):
            rates = comparisons(name, members[answer], settings)
            group = {"dimension": dimension, "group": answer, "people": len(people[answer])}
            found.append(group | {"win_rates": rates})
        if hidden:
            found.append({"dimension": dimension, "group": None, "hidden": len(hidden)})
    return found
