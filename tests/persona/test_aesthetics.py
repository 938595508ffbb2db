from __future__ import annotations

import pytest

from zipp_dagster.persona.aesthetics import (
    FACETS,
    canonical,
    style_lexicon,
    style_of_prompt,
    tastes_in,
    tastes_of_community,
)


def said(text: str, community: str = "") -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for taste in tastes_in(text, community):
        key = (taste.context, taste.phrase)
        found[key] = found.get(key, 0.0) + taste.weight
    return found


def test_the_vocabulary_has_hundreds_of_phrases_in_every_facet() -> None:
    assert len(style_lexicon()) > 1000
    assert set(FACETS) == {"medium", "palette", "light", "mood", "composition", "era"}


@pytest.mark.parametrize(
    ("phrase", "meaning"),
    [
        ("aquarelle", "watercolor painting"),
        ("oil on canvas", "oil painting"),
        ("Pen-and-ink", "ink drawing"),
        ("rust and umber tones", "warm autumn colors"),
        ("shades of blue", "blue tones"),
        ("deep navy and cyan", "blue tones"),
        ("bright red, yellow and blue", "bold primary colors"),
        ("pale lilac and mint", "soft pastel colors"),
        ("muted grey tones", "black and white"),
        ("foggy morning", "misty morning"),
    ],
)
def test_synonyms_and_colour_phrases_have_one_canonical_phrase(phrase: str, meaning: str) -> None:
    assert canonical(phrase) == meaning


def test_a_prompt_is_read_facet_by_facet() -> None:
    assert style_of_prompt("a fox, soft watercolors, pastel tones, misty morning, 1970s style") == {
        "medium": "watercolor painting",
        "palette": "soft pastel colors",
        "light": "misty morning",
        "era": "1970s style",
    }


def test_the_colour_of_an_object_is_no_palette() -> None:
    assert style_of_prompt("a red car and a black and white cat") == {}


@pytest.mark.parametrize(
    "text",
    [
        "I can't stand pixel art",
        "not a fan of pixel art",
        "pixel art bores me",
        "no more pixel art please",
        "I really don't like the pixel art look",
    ],
)
def test_negation_and_distaste_make_a_dislike(text: str) -> None:
    assert said(text)["general", "pixel art"] <= -1.0


@pytest.mark.parametrize(
    "text",
    [
        "I can't get enough of pixel art",
        "nothing beats pixel art",
        "I never get tired of pixel art",
        "I don't hate pixel art",
    ],
)
def test_negated_words_of_delight_are_still_likes(text: str) -> None:
    assert said(text)["general", "pixel art"] >= 1.0


def test_each_half_of_a_contrast_has_its_own_sign() -> None:
    text = "I can't stand neon but love pastels. I prefer ink drawings over oil paintings."
    assert said(text) == {
        ("general", "neon colors"): -1.0,
        ("general", "soft pastel colors"): 1.0,
        ("general", "ink drawing"): 1.0,
        ("general", "oil painting"): -1.0,
    }


def test_a_taste_belongs_to_the_subject_that_it_was_said_about() -> None:
    text = "I love watercolor for my foxes. For castles I prefer ink drawings."
    assert said(text) == {
        ("animals", "watercolor painting"): 1.0,
        ("places", "ink drawing"): 1.0,
    }


def test_the_context_may_come_from_the_sentence_before_or_from_the_community() -> None:
    assert ("animals", "watercolor painting") in said("Foxes again. I just love watercolor.")
    assert ("vehicles", "watercolor painting") in said("I just love watercolor.", "OldTrains")
    assert ("general", "watercolor painting") in said("I just love watercolor.", "CasualTalk")


def test_everyday_words_count_only_beside_words_of_looks() -> None:
    assert said("I love dark forests and I love the rain") == {}
    assert said("I love dark pictures") == {("general", "dark colors"): 0.6}
    assert said("I love dark ink drawings")["general", "dark colors"] == 1.0
    assert said("what a dark day for all of us") == {}


def test_a_comparison_is_no_liking() -> None:
    assert said("the whole thing looks like stained glass")["general", "stained glass"] < 0.5


def test_praise_for_somebody_else_is_hardly_a_taste() -> None:
    assert 0 < said("is this watercolor? looks great")["general", "watercolor painting"] < 0.3


def test_a_community_of_a_style_hints_at_a_taste() -> None:
    (taste,) = tastes_of_community("WatercolorBirds")
    assert (taste.context, taste.phrase) == ("animals", "watercolor painting")
    assert tastes_of_community("AskAnything") == ()


@pytest.mark.parametrize(
    "text", ["", "😂😂😂", "Ich mag alte Züge.", "これはきれいです", "a" * 1_000_000]
)
def test_any_text_can_be_read(text: str) -> None:
    assert tastes_in(text, "CasualTalk") == []
