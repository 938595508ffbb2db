"""Who does what, when and where: the plan of all comments and posts, before any text exists.

Counts and times depend on the seed alone; communities also on shown tastes (`communities.py`).
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from zipp_dagster.sampleworld.communities import Community
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.people import Person, stream


@dataclass(frozen=True)
class Month:
    """One calendar month: its label (YYYY-MM) and bounds as Unix seconds, the end excluded."""

    label: str
    start: int
    end: int


@dataclass(frozen=True)
class Volume:
    """How many comments, image posts and text posts each person writes; int64 [people] each."""

    comments: np.ndarray
    image_posts: np.ndarray
    text_posts: np.ndarray


def make_months(settings: WorldSettings) -> list[Month]:
    """The months of the world, in order."""
    year, month = int(settings.start_month[:4]), int(settings.start_month[5:])
    months = []
    for _ in range(settings.months):
        start = int(datetime(year, month, 1, tzinfo=UTC).timestamp())
        days = calendar.monthrange(year, month)[1]
        months.append(Month(f"{year:04d}-{month:02d}", start, start + days * 86_400))
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return months


def make_volume(settings: WorldSettings, people: list[Person]) -> Volume:
    """Heavy-tailed counts whose means are the settings'; creators write and post much more."""
    rng = stream(settings.seed, "volume")
    creator = np.array([person.creator for person in people])
    talk = rng.lognormal(0.0, 0.9, size=len(people)) * np.where(creator, 3.0, 1.0)
    # Bounded, so that nobody looks like a bot to a rate heuristic.
    talk = np.minimum(talk, 12.0 * talk.mean())
    image = rng.gamma(3.0, 1 / 3.0, size=len(people)) * np.where(creator, 10.0, 0.6)
    text = rng.gamma(0.8, 1 / 0.8, size=len(people))
    return Volume(
        comments=1 + _counts(talk, settings.comments_per_person - 1.0, rng),
        image_posts=_counts(image, settings.image_posts_per_person, rng),
        text_posts=_counts(text, settings.text_posts_per_person, rng),
    )


def event_times(months: list[Month], count: int, rng: np.random.Generator) -> list[int]:
    """Sorted Unix seconds over the whole world, busier in the (UTC) evening."""
    start, end = months[0].start, months[-1].end
    days = rng.integers((end - start) // 86_400, size=count)
    hours = 24 * rng.beta(2.2, 1.4, size=count)
    seconds = start + days * 86_400 + np.minimum((hours * 3600).astype(np.int64), 86_399)
    return sorted(int(second) for second in seconds)


def spread(shares: dict[int, float], count: int, rng: np.random.Generator) -> list[int]:
    """A community index for each of `count` events, in random order."""
    indices = np.array(list(shares))
    chosen = rng.choice(len(indices), size=count, p=np.array(list(shares.values())))
    return [int(indices[i]) for i in chosen]


def only(shares: dict[int, float], allowed: list[Community]) -> dict[int, float]:
    """The shares of the allowed communities alone, renormalised; empty if there are none."""
    kept = {c.index: shares[c.index] for c in allowed if c.index in shares}
    total = sum(kept.values())
    return {index: share / total for index, share in kept.items()}


def _counts(weights: np.ndarray, mean: float, rng: np.random.Generator) -> np.ndarray:
    return rng.poisson(weights / weights.mean() * max(mean, 0.0))
