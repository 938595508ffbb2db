"""How a study's pairs are laid out for one participant: order, sides, prompts, attention checks.

Pure functions of the study and a random generator. Which side a method is on is balanced within a
participant; prompts do not repeat before all were used; methods take turns.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from zipp_dagster.studio.study import StudyConfig

BROKEN = "broken"
"""The method of an attention check's bad picture: the good one with its parts shuffled."""


@dataclass(frozen=True)
class PlannedPair:
    """One pair before it is drawn. Both sides have the same prompt, seed and settings."""

    position: int
    kind: Literal["vote", "attention"]
    prompt: str
    seed: int
    left_method: str
    right_method: str


def plan_pairs(study: StudyConfig, rng: random.Random) -> list[PlannedPair]:
    """A participant's own order. The first pair is never an attention check."""
    prompts: list[str] = []
    while len(prompts) < study.pairs + study.attention_checks:
        prompts += rng.sample(study.prompts, len(study.prompts))
    comparisons = [study.methods[i % len(study.methods)] for i in range(study.pairs)]
    # Balanced over the whole and within each comparison: every other time the other way round.
    turns = [i // len(study.methods) % 2 == 0 for i in range(study.pairs)]
    first = rng.random() < 0.5
    laid: list[tuple[str, tuple[str, str]]] = [
        ("vote", pair if turn == first else (pair[1], pair[0]))
        for pair, turn in zip(comparisons, turns, strict=True)
    ]
    rng.shuffle(laid)
    for _ in range(study.attention_checks):
        sides = ("no_persona", BROKEN) if rng.random() < 0.5 else (BROKEN, "no_persona")
        laid.insert(rng.randint(1, len(laid)), ("attention", sides))
    return [
        PlannedPair(
            position,
            "vote" if kind == "vote" else "attention",
            prompts[position],
            rng.choice(study.seeds),
            sides[0],
            sides[1],
        )
        for position, (kind, sides) in enumerate(laid)
    ]
