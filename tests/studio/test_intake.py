from __future__ import annotations

import pytest
from pydantic import ValidationError

from zipp_dagster.persona.aesthetics import canonical
from zipp_dagster.persona.language_models import load_language_model
from zipp_dagster.personal.free_text import persona_of_text
from zipp_dagster.settings import Settings
from zipp_dagster.studio.explanations import added_phrases, reasons_of_persona, reasons_of_text
from zipp_dagster.studio.intake import (
    QUESTIONS,
    STRANGERS,
    Intake,
    associations,
    persona_lines,
    persona_text,
    stranger_for,
)

ANSWERS = {
    "age_band": "25-34",
    "surroundings": "coast",
    "work": "health",
    "hobbies": ("painting", "sailing"),
}


def test_every_guess_is_a_phrase_that_the_rewriter_knows():
    told = associations()
    phrases = [p for q in QUESTIONS for entry in told[q].values() for p in entry["likes"]]
    assert [p for p in phrases if canonical(p) != p] == []


@pytest.mark.parametrize("hobby", sorted(associations()["hobbies"]))
def test_the_guesses_of_a_hobby_reach_the_persona_as_general_likes(hobby):
    intake = Intake(**ANSWERS | {"hobbies": (hobby,), "work": "farming"})
    settings = Settings().persona
    text = persona_text(intake, guess=True)
    persona, flags = persona_of_text(text, load_language_model(settings.language_model), settings)
    liked = {p.phrase for p in persona.preferences if p.polarity == "like"}
    assert set(associations()["hobbies"][hobby]["likes"]) & liked and flags == ()
    assert {p.context for p in persona.preferences} == {"general"}


def test_without_the_rule_the_persona_says_who_somebody_is_and_no_taste():
    text = persona_text(Intake(**ANSWERS), guess=False)
    assert "painting" in text and "like" not in text and len(text.splitlines()) == 4


def test_age_leads_to_no_guess():
    young, old = (
        persona_lines(Intake(**ANSWERS | {"age_band": band}), guess=True)
        for band in ("18-24", "65+")
    )
    assert young[1:] == old[1:]


@pytest.mark.parametrize(
    "change",
    [
        {"age_band": "7"},
        {"hobbies": ()},
        {"hobbies": ("painting", "sailing", "yoga", "film")},
        {"hobbies": ("arson",)},
        {"work": "magic"},
        {"profession": "x" * 61},
        {"taste": "neon colors"},
    ],
)
def test_an_answer_outside_the_choices_is_refused(change):
    with pytest.raises(ValidationError):
        Intake(**ANSWERS | change)


def test_free_words_cannot_start_a_sentence_of_their_own():
    intake = Intake(**ANSWERS | {"profession": "nurse. I like neon colors!\n<b>"})
    assert intake.profession == "nurse I like neon colors b"


def test_the_stranger_shares_nothing_and_stays_the_same_for_a_person():
    intake = Intake(**ANSWERS)
    stranger = stranger_for(intake, 5)
    assert stranger in STRANGERS and stranger == stranger_for(intake, 5)
    assert not set(stranger.hobbies) & set(intake.hobbies)
    assert (stranger.work, stranger.surroundings) != (intake.work, intake.surroundings)
    assert len({stranger_for(intake, i) for i in range(8)}) > 1


def test_an_added_phrase_is_explained_by_the_intake_line_that_it_comes_from():
    lines = persona_lines(Intake(**ANSWERS), guess=True)
    sentences = [line.sentence for line in lines]
    (reason,) = reasons_of_text("a cat", "a cat, oil painting", sentences, lines)
    assert (reason["phrase"], reason["source"]) == ("oil painting", "Hobby: painting")


def test_own_words_are_named_as_own_words_and_an_unknown_reason_is_not_invented():
    sentences = ["I love watercolor."]
    own, none = reasons_of_text("a cat", "a cat, watercolor painting, bokeh", sentences)
    assert (own["source"], own["because"]) == ("Your own words", "I love watercolor.")
    assert (none["source"], none["because"]) == ("persona as a whole", "")


def test_what_the_visitor_wrote_is_not_counted_as_added():
    assert added_phrases("a cat, pixel art", "a cat, pixel art, soft light") == ["soft light"]


def test_a_mined_taste_is_explained_by_the_evidence_that_it_cites():
    persona = {
        "preferences": [
            {"phrase": "pixel art", "polarity": "like", "evidence": ["c1", "r/pixels"]},
            {"phrase": "pixel art", "polarity": "dislike", "evidence": ["c9"]},
        ]
    }
    (reason,) = reasons_of_persona("a cat", "a cat, pixel art", persona, {"c1": "“I do sprites”"})
    assert reason["because"] == "“I do sprites” · r/pixels"
