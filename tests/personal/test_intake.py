from __future__ import annotations

from pathlib import Path

import pytest

from zipp_dagster.persona.config import PersonaSettings
from zipp_dagster.personal.entries import PersonaError
from zipp_dagster.personal.intake import persona_of_intake, read_intake

SETTINGS = PersonaSettings()


def test_a_form_becomes_a_persona_with_the_leanings_of_its_hobbies() -> None:
    form = {"age": 31, "profession": "Nurse", "country": "Spain", "hobbies": ["hiking", "juggling"]}
    persona = persona_of_intake(form, SETTINGS)
    assert persona.summary.startswith("I am a nurse and 25-34 years old, living in Spain.")
    assert [interest.name for interest in persona.interests] == ["hiking", "juggling"]
    assert {p.phrase for p in persona.preferences} == {"golden hour", "wide shot"}
    assert persona.demographics.age_band.confidence == 1.0


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({}, "empty"),
        ({"age": 12}, "age"),
        ({"hobby": ["x"]}, "hobby"),
        ({"hobbies": ["call me at 555 123 4567"]}, "phone"),
        ({"profession": "u/some_name"}, "username"),
    ],
)
def test_what_no_persona_may_say_is_refused_with_the_field(form: dict, reason: str) -> None:
    with pytest.raises(PersonaError, match=reason):
        persona_of_intake(form, SETTINGS)


def test_a_file_that_is_no_form_is_named(tmp_path: Path) -> None:
    file = tmp_path / "form.json"
    file.write_text("[1]")
    with pytest.raises(PersonaError, match=r"form\.json: expected one JSON object"):
        read_intake(file)
