"""A study as configuration: what is compared, with which prompts and seeds, by how many people.

A study is a TOML or JSON file, or the defaults below. How its pairs are laid out for one
participant is in `pairs.py`; where it is kept, in `store.py`.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Method = Literal["no_persona", "mismatched", "zipp_0shot"]
Prompt = Annotated[str, Field(min_length=2, max_length=300)]

CONSENT = """\
You will see two pictures at a time, both made by a computer from the same words, and say which one
you like better. It takes about five minutes.

We keep your answers to the four questions about yourself (age band, surroundings, work, hobbies), your
votes and how long each took. We do not ask for your name, your e-mail or anything you like to see,
and keep no address of your computer. The votes are published only as numbers over many people.

You may stop at any time, come back through your private link, or withdraw: then everything that
you entered and every vote is deleted. You must be 18 or older."""

RATING_CONSENT = """\
You will read descriptions of people ("personas") that a program wrote from what they posted, together with
that evidence, and rate each on three questions from 1 to 5.

We keep your ratings and when you gave them. We do not ask for your name or anything about you, and keep
no address of your computer. The ratings are published only as numbers over all raters.

You may stop at any time, come back through your private link, or withdraw: then every rating of yours
is deleted. You must be 18 or older."""

KINDS = {
    "preference": {"title": "Which picture do you like better?", "consent": CONSENT},
    "persona_quality": {"title": "How good are these personas?", "consent": RATING_CONSENT},
}
"""What a study says where its file does not."""

# Plain subjects without a word of style, which the small model of the sample profile can draw too.
PROMPTS: tuple[str, ...] = (
    *("a cat on a windowsill", "an owl in a tree", "a rabbit in the grass", "a fish in the sea"),
    *("a castle on a hill", "a lighthouse by the sea", "a cottage in the woods", "an old car"),
    *("a sailboat on a lake", "a hot air balloon", "a tree in a field", "a mountain above a lake"),
    *("a flower in a meadow", "a mushroom in the forest", "a cat in a garden", "an owl on a fence"),
    *("a castle by a river", "a cottage in a village", "a sailboat near the shore"),
    *("a tree beside a road", "a mountain seen from a valley", "a rabbit by a fence"),
)


class StudyError(ValueError):
    """A study's file or name is unusable; the message names the file and the field."""


class StudyConfig(BaseModel):
    """Everything that defines a study. Frozen: a running study never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{1,39}$", description="Short name, in URLs.")
    kind: Literal["preference", "persona_quality"] = "preference"
    title: str = Field("", max_length=120, description="Empty: what the kind of study says.")
    methods: tuple[tuple[Method, Method], ...] = Field(
        (("zipp_0shot", "no_persona"), ("zipp_0shot", "mismatched")),
        description="Pairs of methods that are compared, in turn.",
    )
    prompts: tuple[Prompt, ...] = Field(PROMPTS, min_length=1, max_length=500)
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] = Field((11, 12, 13), min_length=1)
    pairs: int = Field(20, ge=1, le=200, description="Pairs that each participant votes on.")
    attention_checks: int = Field(
        2, ge=0, le=20, description="Pairs in between with one broken picture."
    )
    participants: int = Field(60, ge=1, le=100_000, description="Most people who may take part.")
    too_fast_s: float = Field(
        0.8, ge=0.0, le=60.0, description="Votes faster than this are flagged."
    )
    personas: int = Field(12, ge=1, le=200, description="persona_quality: personas to rate.")
    consent: str = Field("", max_length=4000, description="Empty: what the kind of study says.")
    contact: str = Field("", max_length=300, description="Whom participants may ask.")

    @model_validator(mode="before")
    @classmethod
    def _texts_of_kind(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        given = {name: value for name, value in values.items() if value != ""}
        return KINDS.get(values.get("kind", "preference"), {}) | given

    @model_validator(mode="after")
    def _sensible(self) -> StudyConfig:
        if self.kind == "preference" and not self.methods:
            raise ValueError("methods: name at least one pair of methods")
        for left, right in self.methods:
            if left == right:
                raise ValueError(f"methods: a pair needs two methods, not {left} twice")
        return self

    def to_json(self) -> str:
        """One line of JSON: how the store keeps it."""
        return self.model_dump_json()


def load_study(file: Path) -> StudyConfig:
    """A study from a .toml or .json file; StudyError names the file and every wrong field."""
    try:
        text = file.read_text(encoding="utf-8")
        values = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise StudyError(f"{file} cannot be read as a study (TOML or JSON): {error}") from error
    return checked_study(values, str(file))


def checked_study(values: Any, where: str) -> StudyConfig:
    """A study from JSON types; StudyError starts with `where`."""
    try:
        return StudyConfig.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'study'}: {fault['msg']}"
            for fault in error.errors(include_url=False)
        )
        raise StudyError(f"{where}: {faults}") from error
