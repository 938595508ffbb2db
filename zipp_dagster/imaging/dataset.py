"""The renderer as an endless, deterministic, captioned data set.

Batches are drawn from (seed, step) alone, so that a resumed run sees what an unbroken run would.
Some combinations of factors are held out of all training of the generator. Pictures themselves come
from `sampleworld.render`, words from `sampleworld.captions`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zipp_dagster.sampleworld.captions import caption
from zipp_dagster.sampleworld.render import render
from zipp_dagster.sampleworld.vocabulary import FACTOR_NAMES, Factors, all_factors

IMAGE_SIZE = 64
_HELD_OUT_MODULUS = 20

# Words that say nothing about the picture: prompts of people carry them, so captions do at times.
FILLERS = (
    "beautiful",
    "highly detailed",
    "for my wall",
    "as i remember it",
    "trending",
    "my favorite",
    "high quality",
    "the way i like it",
    "lovely composition",
    "a picture of home",
    "please",
    "something for the kids",
)


def is_held_out(factors: Factors) -> bool:
    """Whether the combination (about 1 in 20) is kept out of the generator's training."""
    subject, palette, medium, mood = factors.indices()
    return (3 * subject + 7 * palette + 5 * medium + 11 * mood) % _HELD_OUT_MODULUS == 0


def training_factors() -> list[Factors]:
    """Every combination that training may show."""
    return [factors for factors in all_factors() if not is_held_out(factors)]


def held_out_factors() -> list[Factors]:
    """Every combination that training never shows."""
    return [factors for factors in all_factors() if is_held_out(factors)]


def draw_factors(pool: Sequence[Factors], rng: np.random.Generator, count: int) -> list[Factors]:
    """`count` combinations, uniformly, with repetition."""
    return [pool[int(i)] for i in rng.integers(len(pool), size=count)]


def draw_images(factors: Sequence[Factors], rng: np.random.Generator) -> np.ndarray:
    """One fresh picture for each combination: uint8 [n, 64, 64, 3]."""
    seeds = rng.integers(2**31, size=len(factors))
    return np.stack([render(f, int(seed), IMAGE_SIZE) for f, seed in zip(factors, seeds)])


def draw_captions(
    factors: Sequence[Factors], rng: np.random.Generator, drop: float = 0.1, filler: float = 0.15
) -> list[str]:
    """A fresh caption each, now and then with words that mean nothing to the picture."""
    captions = []
    for f in factors:
        text = caption(f, rng, drop=drop)
        if rng.random() < filler:
            extra = FILLERS[int(rng.integers(len(FILLERS)))]
            text = f"{extra}, {text}" if rng.random() < 0.3 else f"{text}, {extra}"
        captions.append(text)
    return captions


def labels(factors: Sequence[Factors]) -> np.ndarray:
    """Factor indices, int64 [n, 4], in the order of `FACTOR_NAMES`."""
    return np.array([f.indices() for f in factors], dtype=np.int64).reshape(-1, len(FACTOR_NAMES))


def to_model_range(images: np.ndarray) -> np.ndarray:
    """uint8 [n, h, w, 3] to float32 [n, 3, h, w] in -1..1."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32) / 127.5 - 1.0
