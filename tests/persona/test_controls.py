from __future__ import annotations

from collections import Counter

from zipp_dagster.persona.controls import shuffle_tastes, static_taste
from zipp_dagster.persona.schema import Persona, Preference


def taste(context, facet, phrase, polarity="like", strength=0.5) -> Preference:
    return Preference(
        context=context, facet=facet, phrase=phrase, polarity=polarity, strength=strength
    )


ANA = Persona(
    summary="Animals I want in watercolor and places in ink.",
    preferences=(
        taste("animals", "medium", "watercolor painting", strength=0.9),
        taste("places", "medium", "ink drawing", strength=0.4),
        taste("food", "medium", "oil painting", strength=0.3),
        taste("animals", "palette", "neon colors"),
        taste("places", "palette", "neon colors"),
        taste("food", "palette", "green tones"),
        taste("general", "palette", "blue tones"),
        taste("animals", "light", "starry night", "dislike"),
    ),
)


def test_every_taste_goes_to_another_context_and_nothing_is_lost() -> None:
    mixed = shuffle_tastes(ANA, seed=0)
    for facet in ("medium", "palette"):
        pairs = [
            (was.phrase, now.phrase)
            for was, now in zip(ANA.preferences, mixed.preferences)
            if was.facet == facet
        ]
        assert all(was != now for was, now in pairs)
        assert Counter(was for was, _ in pairs) == Counter(now for _, now in pairs)
    kept = [(p.context, p.facet, p.polarity, p.strength) for p in ANA.preferences]
    assert kept == [(p.context, p.facet, p.polarity, p.strength) for p in mixed.preferences]
    assert sorted(mixed.summary.split()) == sorted(ANA.summary.split()) != mixed.summary.split()
    assert shuffle_tastes(ANA, seed=0) == mixed


def test_a_dislike_never_becomes_a_like() -> None:
    liked = {p.phrase for p in shuffle_tastes(ANA, 1).preferences if p.polarity == "like"}
    assert "starry night" not in liked


def test_a_static_taste_is_one_phrase_a_facet_by_strength_over_all_contexts() -> None:
    # Neon colours twice at .5 beat the others; starry night is disliked and nobody's taste.
    assert static_taste(ANA, 4) == ("watercolor painting", "neon colors")
    assert static_taste(ANA, 1) == ("neon colors",)
    assert static_taste(Persona(summary="I bake."), 4) == ()
