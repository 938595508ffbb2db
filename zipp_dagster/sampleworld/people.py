"""The people of the sample world: demographics, interests, visual tastes, and what they show.

Tastes are one (palette, medium, mood) a *context* of subjects, independent of demographics and
interests. What text and communities may know is `shown`, never `tastes`: see `couple`. Pictures
follow `tastes` (`posts.py`).
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, replace

import numpy as np

from zipp_dagster.sampleworld import catalog
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.vocabulary import MEDIA, MOODS, PALETTES, SUBJECT_CONTEXTS, SUBJECTS

CONTEXTS: tuple[str, ...] = tuple(dict.fromkeys(SUBJECT_CONTEXTS[s] for s in SUBJECTS))
STYLE_VALUES: dict[str, tuple[str, ...]] = {
    "palette": tuple(PALETTES),
    "medium": tuple(MEDIA),
    "mood": tuple(MOODS),
}


@dataclass(frozen=True)
class Taste:
    """What somebody likes to see for the subjects of one context."""

    palette: str
    medium: str
    mood: str


@dataclass(frozen=True)
class Person:
    """One author. `shown` is what text and communities reveal; at full coupling it is `tastes`."""

    index: int
    name: str
    age_band: str
    gender: str
    country: catalog.Country
    profession: catalog.Trade
    hobbies: tuple[catalog.Trade, ...]
    creator: bool
    context_interest: dict[str, float]
    subject_interest: dict[str, float]
    tastes: dict[str, Taste]
    shown: dict[str, Taste]
    coupled: dict[str, bool]


def stream(seed: int, *names: object) -> np.random.Generator:
    """An independent numpy generator for a named purpose, stable across platforms."""
    return np.random.default_rng([seed, zlib.crc32("/".join(map(str, names)).encode())])


def text_stream(seed: int, *names: object) -> random.Random:
    """The same for `random.Random`, whose single draws are several times cheaper than numpy's."""
    return random.Random(f"{seed}/" + "/".join(map(str, names)))


def make_people(settings: WorldSettings) -> list[Person]:
    """Everybody, with tastes already coupled to what they show."""
    rng = stream(settings.seed, "people")
    names = _names(settings.people, stream(settings.seed, "names"))
    creators = max(1, round(settings.people * settings.creators_share))
    is_creator = np.zeros(settings.people, dtype=bool)
    is_creator[rng.permutation(settings.people)[:creators]] = True
    people = [
        _person(index, names[index], bool(is_creator[index]), rng)
        for index in range(settings.people)
    ]
    return couple(people, settings.taste_coupling, stream(settings.seed, "coupling"))


def couple(people: list[Person], coupling: float, rng: np.random.Generator) -> list[Person]:
    """Sets what each person shows: own taste with probability `coupling`, else a stranger's.

    Drawn for each person and context. A stranger's tastes keep their distribution, so text and
    communities look the same at every coupling; the draws are the same too, so that worlds of one
    seed differ in nothing else.
    """
    offsets = rng.integers(1, len(people), size=len(people))
    own = rng.random((len(people), len(CONTEXTS))) < coupling
    coupled = []
    for person in people:
        stranger = people[(person.index + int(offsets[person.index])) % len(people)]
        flags = {name: bool(own[person.index, i]) for i, name in enumerate(CONTEXTS)}
        shown = {c: (person if flags[c] else stranger).tastes[c] for c in CONTEXTS}
        coupled.append(replace(person, shown=shown, coupled=flags))
    return coupled


def _person(index: int, name: str, creator: bool, rng: np.random.Generator) -> Person:
    countries = catalog.COUNTRIES
    country = countries[_draw([c.share for c in countries], rng)]
    age_band = list(catalog.AGE_BANDS)[_draw(list(catalog.AGE_BANDS.values()), rng)]
    gender = list(catalog.GENDERS)[_draw(list(catalog.GENDERS.values()), rng)]
    hobbies = rng.permutation(len(catalog.HOBBIES))[: int(rng.integers(1, 4))]
    # Creators draw all contexts with a mild preference, so that a taste can be seen in each.
    interests = rng.dirichlet(np.full(len(CONTEXTS), 4.0 if creator else 1.2))
    subjects = rng.gamma(2.0, size=len(SUBJECTS))
    tastes = _tastes(rng)
    return Person(
        index=index,
        name=name,
        age_band=age_band,
        gender=gender,
        country=country,
        profession=catalog.PROFESSIONS[_draw(_profession_shares(age_band), rng)],
        hobbies=tuple(catalog.HOBBIES[int(i)] for i in hobbies),
        creator=creator,
        context_interest=dict(zip(CONTEXTS, map(float, interests), strict=True)),
        subject_interest=dict(zip(SUBJECTS, map(float, subjects), strict=True)),
        tastes=tastes,
        shown=tastes,
        coupled=dict.fromkeys(CONTEXTS, True),
    )


def _tastes(rng: np.random.Generator) -> dict[str, Taste]:
    """One taste a context; no medium or palette twice, so that one static taste cannot fit all."""
    columns = {}
    for factor, values in STYLE_VALUES.items():
        enough = len(values) >= len(CONTEXTS)
        picked = rng.permutation(len(values)) if enough else rng.integers(len(values), size=9)
        columns[factor] = [values[int(i)] for i in picked[: len(CONTEXTS)]]
    moods = STYLE_VALUES["mood"]
    columns["mood"] = [moods[int(i)] for i in rng.integers(len(moods), size=len(CONTEXTS))]
    return {
        context: Taste(**{factor: columns[factor][i] for factor in STYLE_VALUES})
        for i, context in enumerate(CONTEXTS)
    }


def _profession_shares(age_band: str) -> list[float]:
    factor = {catalog.STUDENT: 1.0, catalog.RETIRED: 0.02}
    if age_band == "18-24":
        factor[catalog.STUDENT] = 4.0
    elif age_band not in ("25-34",):
        factor[catalog.STUDENT] = 0.05
    if age_band in ("55-64", "65+"):
        factor[catalog.RETIRED] = 4.0 if age_band == "55-64" else 60.0
    shares = zip(catalog.PROFESSIONS, catalog.PROFESSION_SHARES, strict=True)
    return [share * factor.get(trade.name, 1.0) for trade, share in shares]


def _names(count: int, rng: np.random.Generator) -> list[str]:
    names: dict[str, None] = {}
    while len(names) < count:
        adjective = catalog.ADJECTIVES[int(rng.integers(len(catalog.ADJECTIVES)))]
        noun = catalog.NOUNS[int(rng.integers(len(catalog.NOUNS)))]
        names[f"{adjective}_{noun}_{int(rng.integers(1000, 10000))}"] = None
    return list(names)


def _draw(shares: list[float], rng: np.random.Generator) -> int:
    cumulative = np.cumsum(shares)
    return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
