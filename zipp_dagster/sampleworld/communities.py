"""The communities, and who belongs to which: popularity, interests, demographics, shown tastes.

Membership reads a person's `shown` tastes only. What is written in a community is in `text.py` and
`chatter.py`; how often in `activity.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np

from zipp_dagster.sampleworld import catalog
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.people import CONTEXTS, STYLE_VALUES, Person, stream

# Shares of the 120 communities of the default world; each kind has one community at least.
KIND_SHARES: dict[str, int] = {
    "context": 32,
    "style": 18,
    "hobby": 20,
    "place": 12,
    "profession": 12,
    "general": 10,
    "language": 6,
    "sensitive": 6,
    "adult": 4,
}


@dataclass(frozen=True)
class Community:
    """A subreddit: its kind and topic, and for visual ones the style that it leans to, if any.

    `topic` is a context for kind `context`, a style value for `style`, a country, profession,
    hobby or language for those kinds, and empty for the rest.
    """

    index: int
    name: str
    kind: str
    topic: str
    factor: str | None
    value: str | None
    over_18: bool
    popularity: float

    @property
    def visual(self) -> bool:
        """Whether pictures are posted here."""
        return self.kind in ("context", "style")

    @property
    def sensitive(self) -> bool:
        """Whether a reviewed list would keep this community out of the evidence."""
        return self.kind == "sensitive"


def make_communities(settings: WorldSettings) -> list[Community]:
    """All communities, each kind with its share, in a fixed order."""
    rng = stream(settings.seed, "communities")
    communities: list[Community] = []
    taken: set[str] = set()
    for kind, count in kind_counts(settings.communities).items():
        for number, (name, topic, factor, value) in enumerate(islice(_endless(kind), count)):
            unique, suffixes = name, cycle(catalog.NAME_SUFFIXES)
            round_number = number
            while unique.lower() in taken:
                unique = f"{name}{next(suffixes)}"
                if unique.lower() in taken:
                    unique = f"{unique}{round_number}"
                    round_number += 1
            taken.add(unique.lower())
            popularity = float(rng.lognormal(0.0, 0.6)) * (1.8 if kind == "general" else 1.0)
            communities.append(
                Community(
                    index=len(communities),
                    name=unique,
                    kind=kind,
                    topic=topic,
                    factor=factor,
                    value=value,
                    over_18=kind == "adult",
                    popularity=popularity,
                )
            )
    return communities


def kind_counts(total: int) -> dict[str, int]:
    """How many communities of each kind: by largest remainder, every context present.

    Sums to `total`, which must be at least the sum of the minima (12).
    """
    minimum = {kind: len(CONTEXTS) if kind == "context" else 1 for kind in KIND_SHARES}
    spare = total - sum(minimum.values())
    if spare < 0:
        raise ValueError(
            f"communities={total} is below {sum(minimum.values())}: raise world.communities"
        )
    weights = {k: max(0, KIND_SHARES[k] - minimum[k]) for k in KIND_SHARES}
    exact = {kind: spare * weight / sum(weights.values()) for kind, weight in weights.items()}
    counts = {kind: minimum[kind] + int(exact[kind]) for kind in KIND_SHARES}
    left = total - sum(counts.values())
    by_remainder = sorted(KIND_SHARES, key=lambda kind: int(exact[kind]) - exact[kind])
    for kind in by_remainder[:left]:
        counts[kind] += 1
    return counts


Entry = tuple[str, str, str | None, str | None]


def _endless(kind: str) -> cycle[Entry]:
    return cycle(_entries(kind))


def _entries(kind: str) -> list[Entry]:
    if kind == "context":
        return _context_entries()
    if kind == "style":
        columns = [[(f, v) for v in values] for f, values in STYLE_VALUES.items()]
        suffix = {"palette": "Palette", "medium": "Art", "mood": "Mood"}
        rounds = max(map(len, columns))
        mixed = [column[i] for i in range(rounds) for column in columns if i < len(column)]
        return [
            (value.capitalize() + suffix[factor], value, factor, value) for factor, value in mixed
        ]
    if kind == "hobby":
        return [(trade.community, trade.name, None, None) for trade in catalog.HOBBIES]
    if kind == "profession":
        by_share = np.argsort(-np.array(catalog.PROFESSION_SHARES), kind="stable")
        trades = [catalog.PROFESSIONS[int(i)] for i in by_share]
        return [(trade.community, trade.name, None, None) for trade in trades]
    if kind == "place":
        by_country = sorted(catalog.COUNTRIES, key=lambda country: -country.share)
        return [(f"Life{c.name.replace(' ', '')}", c.name, None, None) for c in by_country]
    if kind == "language":
        share: dict[str, float] = {}
        for country in catalog.COUNTRIES:
            if country.language != "English":
                share[country.language] = share.get(country.language, 0.0) + country.share
        languages = sorted(share, key=lambda language: -share[language])
        return [(f"{language}Plaza", language, None, None) for language in languages]
    if kind == "sensitive":
        return [(name, name, None, None) for name, _ in catalog.SENSITIVE]
    if kind == "adult":
        return [(name, name, None, None) for name, _ in catalog.ADULT]
    return [(name, "", None, None) for name in catalog.GENERAL]


def _context_entries() -> list[Entry]:
    """Plain communities of every context first, then ones that lean to a style, in turns."""
    entries: list[Entry] = []
    for number in range(3):
        for context in CONTEXTS:
            nouns = catalog.CONTEXT_NOUNS.get(context, (context.capitalize(),))
            noun = nouns[number % len(nouns)]
            name = f"Art{context.capitalize()}" if number == 0 else noun
            entries.append((name, context, None, None))
    leans = [(factor, value) for factor, values in STYLE_VALUES.items() for value in values]
    for number in range(len(leans)):
        for shift, context in enumerate(CONTEXTS):
            # 7 is coprime to the 18 values: each context passes through all of them, mixed.
            factor, value = leans[(number * 7 + shift * 5) % len(leans)]
            noun = catalog.CONTEXT_NOUNS.get(context, (context.capitalize(),))[0]
            entries.append((f"{value.capitalize()}{noun}", context, factor, value))
    return entries


CROWDS = 6
CROWD_PULL = 6.0
UNCROWDED = ("context", "style")
"""Each person belongs to a crowd, and each community but the visual ones is the haunt of one: people
who share one community share others too, as on real platforms. It says nothing about tastes."""


def affinities(people: list[Person], communities: list[Community]) -> np.ndarray:
    """How much each person is drawn to each community, float64 [people, communities], positive."""
    weights = np.empty((len(people), len(communities)))
    for person in people:
        crowd = _spread(person.index) % CROWDS
        for community in communities:
            pull = CROWD_PULL if community.index % CROWDS == crowd else 1.0 / CROWD_PULL
            draw = _affinity(person, community)
            weights[person.index, community.index] = draw * (
                1.0 if community.kind in UNCROWDED else pull
            )
    return weights * np.array([c.popularity for c in communities])


def _spread(index: int) -> int:
    """A fixed mixing of small numbers, so that neighbours in the list share no crowd."""
    return (index * 2_654_435_761 >> 9) & 0xFFFF


def _affinity(person: Person, community: Community) -> float:
    kind, topic = community.kind, community.topic
    if kind == "context":
        interest = 4.0 * person.context_interest[topic] * (2.0 if person.creator else 0.6)
        if community.factor is None:
            return interest * 1.5
        liked = getattr(person.shown[topic], community.factor) == community.value
        return interest * (6.0 if liked else 0.25)
    if kind == "style":
        factor = str(community.factor)
        liked_in = sum(getattr(t, factor) == community.value for t in person.shown.values())
        return (0.25 + 3.0 * min(liked_in, 2)) * (1.3 if person.creator else 0.5)
    if kind == "profession":
        return 12.0 if person.profession.name == topic else 0.08
    if kind == "place":
        return 12.0 if person.country.name == topic else 0.15
    if kind == "hobby":
        return 9.0 if any(hobby.name == topic for hobby in person.hobbies) else 0.2
    if kind == "language":
        return 10.0 if person.country.language == topic else 0.15
    return {"general": 2.0, "sensitive": 1.2, "adult": 1.0}[kind]


def memberships(
    settings: WorldSettings, people: list[Person], communities: list[Community]
) -> list[dict[int, float]]:
    """For each person the communities they take part in, with the share of their comments there.

    Chosen without replacement in proportion to `affinities` (Gumbel top-k). A creator belongs to
    one community of every context at least, so that each of their tastes can be seen somewhere.
    """
    logs = np.log(affinities(people, communities))
    by_context = {
        context: [c.index for c in communities if c.kind == "context" and c.topic == context]
        for context in CONTEXTS
    }
    joined: list[dict[int, float]] = []
    for person in people:
        rng = stream(settings.seed, "memberships", person.index)
        scores = logs[person.index] + rng.gumbel(size=len(communities))
        wanted = 6 + int(rng.poisson(8.0 if person.creator else 4.0))
        chosen = list(np.argsort(-scores, kind="stable")[: min(wanted, len(communities))])
        if person.creator:
            for indices in by_context.values():
                if not set(indices) & set(map(int, chosen)):
                    chosen.append(max(indices, key=lambda i: scores[i]))
        picked = np.array(sorted(map(int, chosen)))
        # The square root keeps small interests visible; the gamma noise makes counts mislead.
        share = np.exp(0.5 * logs[person.index, picked]) * rng.gamma(2.0, size=len(picked))
        if person.creator:
            share = _with_all_contexts(share, picked, communities)
        joined.append(dict(zip(map(int, picked), map(float, share / share.sum()), strict=True)))
    return joined


def _with_all_contexts(
    share: np.ndarray, picked: np.ndarray, communities: list[Community]
) -> np.ndarray:
    """Gives half of a creator's comments to context communities, none of the contexts tiny."""
    groups = np.array(
        [
            CONTEXTS.index(communities[i].topic) if communities[i].kind == "context" else -1
            for i in picked
        ]
    )
    adjusted = share / share.sum()
    totals = np.array([adjusted[groups == g].sum() for g in range(len(CONTEXTS))])
    target = 0.5 * (0.5 / len(CONTEXTS) + 0.5 * totals / totals.sum())
    for group in range(len(CONTEXTS)):
        adjusted[groups == group] *= target[group] / totals[group]
    rest = groups == -1
    if rest.any():
        adjusted[rest] *= 0.5 / adjusted[rest].sum()
    return adjusted
