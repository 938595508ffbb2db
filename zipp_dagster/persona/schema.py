"""The persona: what is claimed of a person, each claim with the evidence that it rests on.

A persona is plain data, written by a model or by hand; who writes it is in `personas.py`, what
makes it unsafe in `guards.py`.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

UNKNOWN = "unknown"
AGE_BANDS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
GENDERS = ("male", "female", "nonbinary")
REGIONS = (
    "Africa",
    "Asia",
    "Europe",
    "Latin America and the Caribbean",
    "Northern America",
    "Oceania",
)
"""The regions of World Population Prospects: what people are weighted by."""
CLOSED_FIELDS = {"age_band": AGE_BANDS, "gender": GENDERS, "region": REGIONS}
"""Demographics that a model chooses from a list; people may write anything in their own personas."""
DEMOGRAPHIC_FIELDS = ("age_band", "gender", "country", "region", "language", "profession")

Evidence = Annotated[
    tuple[str, ...], Field(description="Ids of the evidence lines that this claim rests on.")
]
Strength = Annotated[float, Field(ge=0, le=1)]
Label = Annotated[str, Field(min_length=1, max_length=80)]


Facet = Literal["medium", "palette", "light", "mood", "composition", "era"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Demographic(_Part):
    """One demographic attribute; unknown unless the evidence says so."""

    value: Annotated[str, Field(min_length=1, max_length=60)] = UNKNOWN
    confidence: Strength = 0.0
    evidence: Evidence = ()

    @property
    def known(self) -> bool:
        """Whether anything is claimed."""
        return self.value != UNKNOWN


class Demographics(_Part):
    """Who somebody is, as far as they said it themselves."""

    age_band: Demographic = Demographic()
    gender: Demographic = Demographic()
    country: Demographic = Demographic()
    region: Demographic = Demographic()
    language: Demographic = Demographic()
    profession: Demographic = Demographic()

    def items(self) -> list[tuple[str, Demographic]]:
        """Field names and attributes, in a fixed order."""
        return [(name, getattr(self, name)) for name in DEMOGRAPHIC_FIELDS]


class Interest(_Part):
    """A topic that somebody spends time on; `weight` is its share among the interests."""

    name: Label
    weight: Strength = 0.0
    evidence: Evidence = ()


class Trait(_Part):
    """How somebody comes across in writing."""

    name: Label
    evidence: Evidence = ()


class Preference(_Part):
    """A taste: a style phrase liked or disliked for one context of subjects, or in general."""

    context: Label = Field(description="animals, people, places, … or general")
    facet: Facet
    phrase: Label
    polarity: Literal["like", "dislike"] = "like"
    strength: Strength = 0.5
    evidence: Evidence = ()


class Persona(_Part):
    """A person in words: readable, editable, portable."""

    summary: str = Field(description="A few sentences in the first person.")
    demographics: Demographics = Demographics()
    interests: tuple[Interest, ...] = ()
    traits: tuple[Trait, ...] = ()
    preferences: tuple[Preference, ...] = ()

    def to_json(self) -> str:
        """One line of JSON with sorted keys: the `profile` column, and what the id is made of."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)

    @property
    def persona_id(self) -> str:
        """Content hash: equal personas have equal ids, whoever wrote them."""
        return content_id(self.to_json())

    def claims(self) -> list[tuple[str, tuple[str, ...]]]:
        """Every claim as a readable label with its evidence ids."""
        found = [
            (f"{name} {d.value}", d.evidence) for name, d in self.demographics.items() if d.known
        ]
        found += [(f"interest {i.name}", i.evidence) for i in self.interests]
        found += [(f"trait {t.name}", t.evidence) for t in self.traits]
        found += [(f"{p.polarity} {p.phrase} ({p.context})", p.evidence) for p in self.preferences]
        return found


def content_id(profile: str) -> str:
    """The id of a persona by its `to_json`."""
    return hashlib.sha256(profile.encode()).hexdigest()[:32]


@cache
def persona_schema() -> dict[str, Any]:
    """The JSON schema that a language model is asked to fill: closed fields have their lists."""
    schema = Persona.model_json_schema()
    known = schema["$defs"]
    for name, values in CLOSED_FIELDS.items():
        title = f"Demographic_{name}"
        value = {"default": UNKNOWN, "enum": [UNKNOWN, *values], "title": "Value", "type": "string"}
        known[title] = known["Demographic"] | {
            "title": title,
            "properties": known["Demographic"]["properties"] | {"value": value},
        }
        known["Demographics"]["properties"][name]["$ref"] = f"#/$defs/{title}"
    return schema


@cache
def schema_text() -> str:
    """The same as compact JSON text, for prompts."""
    return json.dumps(persona_schema())


PROMPT_SCHEMA: dict[str, Any] = {
    "title": "RewrittenPrompt",
    "type": "object",
    "properties": {"prompt": {"type": "string"}},
    "required": ["prompt"],
    "additionalProperties": False,
}
