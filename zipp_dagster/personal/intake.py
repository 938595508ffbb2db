"""A persona from a short form: demographics, profession, hobbies; never visual preferences.

The form of the paper's human study. Hobbies that the lexical word lists know bring the leanings of
their topic; everything else is what the form says, with full confidence and no evidence to cite.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zipp_dagster.persona.config import PersonaSettings
from zipp_dagster.persona.demographics import age_band
from zipp_dagster.persona.interests import topic_words
from zipp_dagster.persona.lexical_persona import leanings, summarise
from zipp_dagster.persona.schema import Demographic, Demographics, Interest, Persona
from zipp_dagster.personal.entries import PersonaError, checked


class Intake(BaseModel):
    """The form; everything may be left out but something has to be said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    age: int | None = Field(None, ge=18, le=110)
    gender: str = Field("", max_length=60)
    country: str = Field("", max_length=60)
    language: str = Field("", max_length=60)
    profession: str = Field("", max_length=60)
    hobbies: tuple[str, ...] = Field((), max_length=12)


def read_intake(path: Path) -> dict[str, Any]:
    """The form's fields from a JSON file. Raises PersonaError that names the file."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise PersonaError(f"{path} is no JSON: {error}") from error
    if not isinstance(document, dict):
        fields = ", ".join(Intake.model_fields)
        raise PersonaError(f"{path}: expected one JSON object with any of {fields}")
    return document


def persona_of_intake(document: Any, settings: PersonaSettings) -> Persona:
    """The persona of a filled form.

    Raises PersonaError that names each wrong field, where nothing is filled in, or where a guard
    refuses what was written.
    """
    try:
        form = Intake.model_validate(document)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        raise PersonaError(f"the intake form: {wrong}") from error
    said = {
        "age_band": age_band(form.age) if form.age is not None else "",
        "gender": form.gender.strip().lower(),
        "country": form.country.strip(),
        "language": form.language.strip(),
        "profession": form.profession.strip().lower(),
    }
    who = Demographics(
        **{name: Demographic(value=value, confidence=1.0) for name, value in said.items() if value}
    )
    hobbies = [hobby.strip() for hobby in form.hobbies if hobby.strip()]
    interests = [Interest(name=name[:80], weight=round(1 / len(hobbies), 4)) for name in hobbies]
    if not interests and not any(said.values()):
        raise PersonaError("the intake form is empty: give a profession, hobbies or an age")
    topics = [Interest(name=topic) for hobby in hobbies for topic in sorted(topic_words(hobby))[:2]]
    tastes = leanings(topics)
    persona = Persona(
        summary=summarise(who, interests, (), tastes),
        demographics=who,
        interests=tuple(interests),
        preferences=tuple(tastes),
    )
    return checked(persona.model_dump(mode="json"), settings, "the intake form")
