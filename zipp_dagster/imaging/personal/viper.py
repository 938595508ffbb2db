"""ViPer: one static taste a user, added to every prompt alike.

Liked and disliked attributes are taken from the user's history and encoded as text; the prompt's
states are moved by `strength` times the liked ones, the unconditional branch's by the disliked ones
(Salehi et al., ViPer, 2024). The same taste is used whatever the prompt is about: it knows no context.
"""

# ruff: noqa: TID253  (torch: this module's subject)
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.personal.base import Fitted, History, cost_of, draw_batches
from zipp_dagster.imaging.personal.text_states import TextStates, text_states
from zipp_dagster.imaging.pipelines import LoadedPipeline

STRENGTH = 0.85


@dataclass
class Taste:
    """Attribute lists, and how far they move the states: [tokens, width], with what is pooled."""

    liked: list[str]
    disliked: list[str]
    towards: TextStates | None
    away: TextStates | None


def attributes(prompts: Sequence[str], others: Sequence[str] = (), most: int = 4) -> list[str]:
    """What recurs in prompts: comma-separated segments, the most frequent first.

    A segment counts once a prompt, and must recur unless there is but one prompt. What `others`
    (the opposite list) holds as often says nothing of taste, and is left out.
    """
    counts = _segments(prompts)
    against = _segments(others)
    recurs = min(2, len(prompts))
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    kept = [word for word, count in ranked if count >= recurs and count > against[word]]
    return kept[:most]


def _segments(prompts: Sequence[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for prompt in prompts:
        found.update({part.strip().lower() for part in prompt.split(",") if part.strip()})
    return found


class Viper:
    """The static taste as a personal method."""

    name = "viper"

    def __init__(self, strength: float = STRENGTH, most: int = 4) -> None:
        self.strength, self.most = strength, most

    def fit(
        self, loaded: LoadedPipeline, history: History, settings: ImagingSettings, seed: int = 0
    ) -> Fitted:
        """Attribute lists and their states; ValueError when no attribute recurs."""
        fitted = Fitted(None, 0.0, 0.0)
        with cost_of(fitted):
            liked = attributes(history.liked_prompts, history.disliked_prompts, self.most)
            disliked = attributes(history.disliked_prompts, history.liked_prompts, self.most)
            if not liked and not disliked:
                raise ValueError(
                    "viper: nothing recurs in the user's prompts, so there is no taste"
                )
            towards = text_states(loaded, [", ".join(liked)]) if liked else None
            away = text_states(loaded, [", ".join(disliked)]) if disliked else None
            fitted.state = Taste(liked, disliked, towards, away)
        fitted.numbers = {"liked": float(len(liked)), "disliked": float(len(disliked))}
        return fitted

    def draw(
        self,
        loaded: LoadedPipeline,
        fitted: Fitted,
        prompts: Sequence[str],
        seeds: Sequence[int],
        settings: ImagingSettings,
    ) -> np.ndarray:
        """Images of prompts, moved by the taste, uint8 [n, size, size, 3]."""
        taste: Taste = fitted.state

        def conditioning(batch: Sequence[str]) -> dict[str, Any]:
            return self.move(text_states(loaded, batch), taste).arguments(loaded)

        return draw_batches(loaded, prompts, seeds, settings, conditioning)

    def move(self, states: TextStates, taste: Taste) -> TextStates:
        """States of prompts + strength · liked; unconditional ones + strength · disliked."""
        return TextStates(
            prompt=self._added(states.prompt, taste.towards),
            negative=self._added(states.negative, taste.away),
            pooled=self._pooled(states.pooled, taste.towards),
            negative_pooled=self._pooled(states.negative_pooled, taste.away),
        )

    def _added(self, states: torch.Tensor, taste: TextStates | None) -> torch.Tensor:
        return states if taste is None else states + self.strength * taste.prompt

    def _pooled(self, states: torch.Tensor | None, taste: TextStates | None) -> torch.Tensor | None:
        if states is None or taste is None or taste.pooled is None:
            return states
        return states + self.strength * taste.pooled
