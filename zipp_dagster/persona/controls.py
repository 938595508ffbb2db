"""What is left of a persona without its contexts: the shuffled control and a static taste.

Both are made from a finished persona. Rewriting with them is in `rewriting.py`.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from zipp_dagster.persona.aesthetics import FACETS
from zipp_dagster.persona.schema import Facet, Persona


def shuffle_tastes(persona: Persona, seed: int) -> Persona:
    """The persona with its tastes exchanged between its contexts, and its summary's words in disorder.

    Every context keeps as many tastes, in the same facets and of the same strength; what is liked in
    one facet is the taste of another context wherever there is another. So the control knows as
    much, in the same words, and differs in what belongs where. Equal seeds give equal controls.
    """
    rng = np.random.default_rng([seed, int(persona.persona_id[:15], 16)])
    preferences = list(persona.preferences)
    groups: dict[tuple[Facet, str], list[int]] = defaultdict(list)
    for place, taste in enumerate(persona.preferences):
        groups[taste.facet, taste.polarity].append(place)
    for places in groups.values():
        phrases = sorted({persona.preferences[place].phrase for place in places})
        rank = {phrase: int(r) for phrase, r in zip(phrases, rng.permutation(len(phrases)))}
        order = sorted(places, key=lambda place: (rank[persona.preferences[place].phrase], place))
        # Equal phrases lie side by side: a shift by the longest run gives everybody another one,
        # unless more than half are equal.
        shift = max(Counter(persona.preferences[place].phrase for place in places).values())
        for i, place in enumerate(order):
            source = persona.preferences[order[(i + shift) % len(order)]]
            preferences[place] = preferences[place].model_copy(update={"phrase": source.phrase})
    spoken = persona.summary.split()
    summary = " ".join(spoken[i] for i in rng.permutation(len(spoken)))
    return persona.model_copy(update={"preferences": tuple(preferences), "summary": summary})


def static_taste(persona: Persona, phrases: int) -> tuple[str, ...]:
    """One taste for every prompt: the persona's strongest phrases over all contexts, one a facet.

    The text side of ViPer (arXiv 2407.17365), which adds a person's liked attributes to every
    prompt alike. A dislike counts against its phrase; facets come in their fixed order.
    """
    total: dict[tuple[Facet, str], float] = defaultdict(float)
    for taste in persona.preferences:
        total[taste.facet, taste.phrase] += (
            taste.strength if taste.polarity == "like" else -taste.strength
        )
    best: dict[Facet, tuple[float, str]] = {}
    for (facet, phrase), weight in total.items():
        if weight > 0:
            best[facet] = max(best.get(facet, (0.0, "")), (weight, phrase))
    strongest = sorted(best, key=lambda facet: (-best[facet][0], FACETS.index(facet)))[:phrases]
    return tuple(best[facet][1] for facet in FACETS if facet in strongest)
