"""A person described in a few words."""

from __future__ import annotations

import pytest

from zipp_dagster.persona.config import LanguageModelSettings, PersonaSettings
from zipp_dagster.persona.language_models import load_language_model
from zipp_dagster.persona.schema import Persona
from zipp_dagster.personal import PersonaError
from zipp_dagster.personal.free_text import NOTHING_RECOGNISED, first_person, persona_of_text


@pytest.mark.parametrize(
    ("text", "tastes"),
    [
        (
            "A retired sailor who loves watercolor and muted blues.",
            [("watercolor painting", "like"), ("muted colors", "like")],
        ),
        ("She avoids oil painting.", [("oil painting", "dislike")]),
        (
            "He doesn't like pixel art; he enjoys stained glass",
            [("stained glass", "like"), ("pixel art", "dislike")],
        ),
        ("woodcut print", [("woodcut print", "like")]),
    ],
)
def test_a_description_becomes_tastes(text: str, tastes: list[tuple[str, str]]):
    settings = PersonaSettings()
    persona, flags = persona_of_text(text, load_language_model(settings.language_model), settings)
    assert [(taste.phrase, taste.polarity) for taste in persona.preferences] == tastes
    assert text in persona.summary
    assert flags == ()


def test_where_a_taste_holds_stays_in_its_sentence():
    assert first_person("For landscapes, prefers oil painting") == [
        "I like for landscapes, prefer oil painting"
    ]
    assert first_person("a cook who likes foxes") == ["I'm a cook who", "I like foxes"]
    assert first_person("In pictures of dogs I like ink") == ["In pictures of dogs I like ink"]


def test_a_text_without_a_taste_is_kept_as_the_summary_and_flagged():
    settings = PersonaSettings()
    persona, flags = persona_of_text("tea", load_language_model(settings.language_model), settings)
    assert (persona.preferences, flags) == ((), (NOTHING_RECOGNISED,))
    assert persona.summary.endswith("tea")


def test_other_models_read_the_text_itself():
    settings = PersonaSettings(language_model=LanguageModelSettings(kind="http", model="m"))
    persona, flags = persona_of_text("I love woodcut prints.", None, settings)
    assert (persona, flags) == (Persona(summary="I love woodcut prints."), ())


@pytest.mark.parametrize("text", [" ", "I am a catholic who loves ink", "call me: 555 123 4567 !"])
def test_the_guards_apply_to_texts(text: str):
    settings = PersonaSettings()
    with pytest.raises(PersonaError, match="the persona text"):
        persona_of_text(text, load_language_model(settings.language_model), settings)
