from __future__ import annotations

import pytest

from zipp_dagster.persona.config import PersonaSettings
from zipp_dagster.persona.guards import identities_in, is_sensitive, problems, quotes_verbatim
from zipp_dagster.persona.schema import Demographic, Demographics, Interest, Persona, Preference

SETTINGS = PersonaSettings()
IDS = frozenset({"c1", "r/cats"})
GOOD = Persona(
    summary="I am a nurse who spends the evenings with cats and old trains.",
    interests=(Interest(name="cats", weight=1.0, evidence=("r/cats",)),),
)


def reasons(persona: Persona, texts: tuple[str, ...] = ()) -> str:
    return "; ".join(problems(persona, IDS, texts, SETTINGS))


def test_a_sound_persona_has_no_problems() -> None:
    assert reasons(GOOD, ("my cat sleeps all day",)) == ""


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to ana.b+x@example.org", "e-mail"),
        ("ana [at] example [dot] org", "e-mail"),
        ("see https://example.org/x", "URL"),
        ("my site is example.com", "URL"),
        ("ask u/some_name about it", "username"),
        ("find me as @somename", "username"),
        ("call 555-123-4567", "phone number"),
        ("call +49 170 1234567", "phone number"),
        ("I live at 12 Baker Street", "street address"),
        ("Hauptstraße 5", "street address"),
    ],
)
def test_identities_are_found_and_quarantine_a_persona(text: str, kind: str) -> None:
    assert kind in identities_in(text)
    summary = f"{GOOD.summary} {text}."
    assert f"{kind} in the text" in reasons(GOOD.model_copy(update={"summary": summary}))


@pytest.mark.parametrize("text", ["in 1999 I was 20", "1980s style, 35mm film", "24/7 and 10.5 km"])
def test_years_and_sizes_are_no_identities(text: str) -> None:
    assert identities_in(text) == []


def test_eight_words_in_a_row_from_the_evidence_are_a_quotation() -> None:
    source = "Well: my old cat sleeps on the warm radiator every single night, you know"
    assert quotes_verbatim("I say my old cat sleeps on the warm radiator.", [source])
    assert not quotes_verbatim("My old cat sleeps on the warm roof.", [source])
    # The end of one text and the start of the next are no quotation.
    assert not quotes_verbatim(
        "one two three four five six seven eight", ["one two three four", "five six seven eight"]
    )


def test_a_claim_needs_evidence_that_exists() -> None:
    bare = GOOD.model_copy(update={"interests": (Interest(name="cats"),)})
    assert "1 claims without evidence" in reasons(bare)
    taste = Preference(context="animals", facet="medium", phrase="ink drawing", evidence=("c9",))
    invented = GOOD.model_copy(update={"preferences": (taste,)})
    assert "does not exist" in reasons(invented)
    guessed = Demographics(gender=Demographic(value="female", confidence=0.9))
    assert "without evidence" in reasons(GOOD.model_copy(update={"demographics": guessed}))


def test_a_persona_written_by_hand_needs_no_evidence() -> None:
    assert (
        problems(Persona(summary="I like quiet pictures of boats."), frozenset(), [], SETTINGS)
        == []
    )


def test_sensitive_attributes_are_never_claimed() -> None:
    assert is_sensitive("a devout Catholic") and not is_sensitive("an old cathedral")
    assert "sensitive" in reasons(
        GOOD.model_copy(update={"summary": "I am a liberal and I like cats."})
    )


def test_length_and_language_are_bounded() -> None:
    assert "characters" in reasons(GOOD.model_copy(update={"summary": "I am."}))
    for gender in ("male", "female"):
        assert "characters" not in reasons(GOOD.model_copy(update={"summary": f"I am {gender}."}))
    assert "English letters" in reasons(
        GOOD.model_copy(update={"summary": "これは猫が好きな人です" * 4})
    )


def test_a_finder_of_names_can_be_plugged_in() -> None:
    found = problems(GOOD, IDS, [], SETTINGS, [lambda text: ["name in the text"]])
    assert found == ["name in the text"]
