"""Quality of votes: who failed the attention checks, which votes count, what a study looks like.

The checks say what a reader should know before the win rates; none of them changes a vote.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zipp_dagster.studio.agreement import krippendorff_alpha
from zipp_dagster.studio.pairs import BROKEN
from zipp_dagster.zipbench.statistics import binomial_test

INATTENTIVE = "inattentive"
Vote = Mapping[str, Any]

ENOUGH_DECIDED = 50
"""Decided votes a comparison: fewer leave an interval wider than ± 14 points."""
MOST_TIES = 0.5
UNBALANCED_P = 0.001


@dataclass(frozen=True)
class StudyCheck:
    """One thing to know about a study's votes."""

    name: str
    passed: bool
    description: str


def with_flags(votes: Sequence[Vote]) -> list[dict[str, Any]]:
    """Votes on real pairs with all their flags; attention checks become flags of their person.

    A participant who ever chose the broken picture, or said that it made no difference, is
    inattentive: all of their votes are flagged.
    """
    failed = {
        vote["participant"]
        for vote in votes
        if vote["kind"] == "attention" and chosen(vote) in (None, BROKEN)
    }
    return [
        {**vote, "flags": _joined(vote["flags"], vote["participant"] in failed)}
        for vote in votes
        if vote["kind"] == "vote"
    ]


def chosen(vote: Vote) -> str | None:
    """The method that was voted for; None for no difference."""
    sides = {"left": vote["left_method"], "right": vote["right_method"]}
    return sides.get(vote["choice"])


def study_checks(votes: Sequence[Vote]) -> list[StudyCheck]:
    """Balance of sides, share of ties, agreement of raters, enough votes; on votes without flags."""
    clean = [vote for vote in votes if not vote["flags"]]
    left = sum(vote["choice"] == "left" for vote in clean)
    decided = sum(vote["choice"] != "tie" for vote in clean)
    checks = []
    if decided:
        p = binomial_test(left, decided)
        text = f"{left} of {decided} decided votes went left (p = {p:.3f})"
        checks.append(StudyCheck("balance_of_sides", p >= UNBALANCED_P, text))
    ties = 1 - decided / len(clean) if clean else 0.0
    checks.append(
        StudyCheck("share_of_ties", ties <= MOST_TIES, f"{ties:.0%} of votes see no difference")
    )
    alpha = rater_agreement(clean)
    text = (
        f"Krippendorff's alpha {alpha:.2f} over prompts and comparisons (0 = as by chance)"
        if alpha is not None
        else "no prompt was judged by two people with different answers"
    )
    # Personal pictures need not please others: only systematic disagreement is a fault.
    checks.append(StudyCheck("rater_agreement", alpha is None or alpha > -0.2, text))
    counts: dict[tuple[str, ...], int] = defaultdict(int)
    for vote in clean:
        counts[_comparison(vote)] += vote["choice"] != "tie"
    few = [f"{a} and {b}: {n}" for (a, b), n in sorted(counts.items()) if n < ENOUGH_DECIDED]
    text = f"decided votes below {ENOUGH_DECIDED}: {', '.join(few)}" if few else "all comparisons"
    checks.append(StudyCheck("enough_votes", bool(counts) and not few, text))
    return checks


def rater_agreement(votes: Sequence[Vote]) -> float | None:
    """Alpha of preferred methods, where several people judged a comparison on the same prompt."""
    units: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for vote in votes:
        pair = _comparison(vote)
        method = chosen(vote)
        value = 0.0 if method is None else 1.0 if method == pair[0] else -1.0
        units[(*pair, vote["prompt"])].append(value)
    return krippendorff_alpha(list(units.values()), "ordinal")


def _comparison(vote: Vote) -> tuple[str, ...]:
    return tuple(sorted((vote["left_method"], vote["right_method"])))


def _joined(flags: str, failed: bool) -> str:
    return " ".join([*flags.split(), *([INATTENTIVE] if failed else [])])
