"""What a judge is, and how its answers are counted: order swapped, nothing silently dropped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from zipp_dagster.imaging.stored_images import several
from zipp_dagster.zipbench.statistics import binomial_test, wilson_interval

Answer = Literal["first", "second", "tie"] | None
"""What a comparing judge said; None where its answer could not be read."""
Outcome = Literal["win", "loss", "inconclusive", "unparsed"]

SCHEMA = pa.schema(
    [
        ("method", pa.string()),
        ("opponent", pa.string()),
        ("judge", pa.string()),
        ("wins", pa.int64()),
        ("losses", pa.int64()),
        ("inconclusive", pa.int64()),
        ("unparsed", pa.int64()),
        ("win_rate", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("p_value", pa.float64()),
        ("reward", pa.float64()),
        ("opponent_reward", pa.float64()),
        ("cases", pa.int64()),
        ("users", pa.int64()),
    ]
)


_BATCH = 64
"""Cases whose pictures are held at once; a multiple of the reward models' own batches."""


class JudgeError(ValueError):
    """A judge's checkpoint that cannot be loaded, or that gives no number; says which and why."""


@dataclass(frozen=True)
class Pair:
    """Two encoded pictures of one prompt, and what is known of the person (empty: nothing)."""

    prompt: str
    first: bytes
    second: bytes
    person: str = ""


@runtime_checkable
class RewardModel(Protocol):
    """Scores one picture for one prompt; higher is better."""

    name: str

    def score(self, prompts: Sequence[str], images: Sequence[bytes]) -> NDArray[np.float64]:
        """Rewards float64 [n]."""
        ...


@runtime_checkable
class ComparingJudge(Protocol):
    """Says which of two pictures is better; may prefer a position, which is why both are asked."""

    name: str

    def compare(self, pairs: Sequence[Pair]) -> list[Answer]:
        """One answer a pair, in order."""
        ...


@dataclass(frozen=True)
class Judged:
    """The outcome of each pair for its first picture, and rewards where the judge gives any."""

    outcomes: tuple[Outcome, ...]
    first: NDArray[np.float64] | None = None
    second: NDArray[np.float64] | None = None

    @property
    def parse_rate(self) -> float:
        """Share of pairs whose answers could be read; NaN without a pair."""
        read = sum(outcome != "unparsed" for outcome in self.outcomes)
        return read / len(self.outcomes) if self.outcomes else float("nan")


def judge_pairs(judge: RewardModel | ComparingJudge, pairs: Sequence[Pair]) -> Judged:
    """Judges every pair; a comparing judge is asked twice, with the order swapped.

    Only two answers for the same picture are a win or a loss; answers that follow the position, or
    a tie, are inconclusive; a pair with an answer that cannot be read is unparsed. JudgeError for a
    reward that is not a number.
    """
    if isinstance(judge, RewardModel):
        prompts = [pair.prompt for pair in pairs]
        first, second = (
            _finite(judge, judge.score(prompts, images))
            for images in ([p.first for p in pairs], [p.second for p in pairs])
        )
        return Judged(
            tuple(
                "win" if a > b else "loss" if a < b else "inconclusive"
                for a, b in zip(first, second, strict=True)
            ),
            first,
            second,
        )
    straight = judge.compare(pairs)
    swapped = judge.compare([Pair(p.prompt, p.second, p.first, p.person) for p in pairs])
    return Judged(tuple(_agreed(a, b) for a, b in zip(straight, swapped, strict=True)))


def judge_row(
    method: str,
    opponent: str,
    judge: str,
    judged: Judged,
    users: Sequence[object],
    confidence: float,
) -> dict[str, object]:
    """A row of `judge_preferences`: counts, and the win rate over people.

    Every person is one comparison (the sign of wins minus losses), so that several cases of one
    person are not taken for independent ones. Wilson's interval, exact binomial test.
    """
    balance: dict[object, int] = {}
    for user, outcome in zip(users, judged.outcomes, strict=True):
        balance[user] = balance.get(user, 0) + {"win": 1, "loss": -1}.get(outcome, 0)
    wins = sum(value > 0 for value in balance.values())
    decided = wins + sum(value < 0 for value in balance.values())
    rate = wilson_interval(wins, decided, confidence) if decided else None
    counts = {
        name: judged.outcomes.count(outcome)
        for name, outcome in (
            ("wins", "win"),
            ("losses", "loss"),
            ("inconclusive", "inconclusive"),
            ("unparsed", "unparsed"),
        )
    }
    return {
        "method": method,
        "opponent": opponent,
        "judge": judge,
        **counts,
        "win_rate": rate.value if rate else None,
        "low": rate.low if rate else None,
        "high": rate.high if rate else None,
        "p_value": binomial_test(wins, decided) if decided else None,
        "reward": None if judged.first is None else float(judged.first.mean()),
        "opponent_reward": None if judged.second is None else float(judged.second.mean()),
        "cases": len(judged.outcomes),
        "users": len(balance),
    }


def judge_methods(
    judge: RewardModel | ComparingJudge,
    images: Mapping[str, bytes],
    cases: Mapping[str, tuple[object, str, str]],
    pairs: Iterable[tuple[str, str]],
    confidence: float,
) -> pa.Table:
    """The `judge_preferences` table: every (method, opponent) over the cases that both drew.

    `images` maps `case_id/method` to a picture, `cases` a case to its user, base prompt and
    persona text. The prompt that is judged is the base prompt, the same for both sides: a judge of
    the rewritten one would reward whoever asked for less. Pictures of one batch of cases are held.
    """
    rows = []
    for method, opponent in pairs:
        shared = [c for c in cases if f"{c}/{method}" in images and f"{c}/{opponent}" in images]
        if not shared:
            continue
        parts = []
        for start in range(0, len(shared), _BATCH):
            some = shared[start : start + _BATCH]
            first, second = (
                several(images, [f"{c}/{name}" for c in some]) for name in (method, opponent)
            )
            asked = [
                Pair(cases[c][1], a, b, cases[c][2])
                for c, a, b in zip(some, first, second, strict=True)
            ]
            parts.append(judge_pairs(judge, asked))
        judged = _together(parts)
        users = [cases[c][0] for c in shared]
        rows.append(judge_row(method, opponent, judge.name, judged, users, confidence))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _together(parts: Sequence[Judged]) -> Judged:
    """The batches of one comparison as one."""
    rewards = [
        (part.first, part.second)
        for part in parts
        if part.first is not None and part.second is not None
    ]
    return Judged(
        tuple(outcome for part in parts for outcome in part.outcomes),
        np.concatenate([first for first, _ in rewards]) if rewards else None,
        np.concatenate([second for _, second in rewards]) if rewards else None,
    )


def _agreed(straight: Answer, swapped: Answer) -> Outcome:
    if straight is None or swapped is None:
        return "unparsed"
    if (straight, swapped) == ("first", "second"):
        return "win"
    if (straight, swapped) == ("second", "first"):
        return "loss"
    return "inconclusive"


def _finite(judge: RewardModel, rewards: NDArray[np.float64]) -> NDArray[np.float64]:
    array = np.asarray(rewards, np.float64)
    if not np.isfinite(array).all():
        broken = int((~np.isfinite(array)).sum())
        raise JudgeError(f"{judge.name} gave {broken} rewards that are not numbers")
    return array
