"""The intake: four questions about a person, and the persona text that follows by rule.

Nobody is asked what they like to see: as in the paper, a persona rests on who somebody is. The
lexical model cannot infer taste from that, so `associations.yml` makes the guesses that a language
model would make; with a language model the text holds the answers alone. Visitors see and edit it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from zipp_dagster.persona.schema import AGE_BANDS

QUESTIONS = ("hobbies", "work", "surroundings")


@cache
def associations() -> dict[str, dict[str, dict[str, Any]]]:
    """Question → answer → how it is said, and the guesses that follow."""
    file = Path(__file__).parent / "associations.yml"
    loaded: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(file.read_text("utf-8"))
    return loaded


def _known(question: str) -> AfterValidator:
    def check(value: str) -> str:
        if value not in associations()[question]:
            raise ValueError(f"choose one of {', '.join(associations()[question])}")
        return value

    return AfterValidator(check)


def _age_band(value: str) -> str:
    if value not in AGE_BANDS:
        raise ValueError(f"choose one of {', '.join(AGE_BANDS)}")
    return value


def _plain(value: str) -> str:
    """Free text of one line without anything that could start a sentence of its own."""
    return " ".join(re.sub(r"[^\w\s'&/()-]", " ", value).split())


class Intake(BaseModel):
    """The answers. `profession` and `place` are free words beside the two choices."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    age_band: Annotated[str, AfterValidator(_age_band)]
    surroundings: Annotated[str, _known("surroundings")]
    work: Annotated[str, _known("work")]
    hobbies: Annotated[
        tuple[Annotated[str, _known("hobbies")], ...], Field(min_length=1, max_length=3)
    ]
    place: Annotated[str, Field(max_length=60), AfterValidator(_plain)] = ""
    profession: Annotated[str, Field(max_length=60), AfterValidator(_plain)] = ""


@dataclass(frozen=True)
class Line:
    """A sentence of the persona text, with the intake line that it comes from."""

    source: str
    sentence: str


def persona_lines(intake: Intake, *, guess: bool) -> list[Line]:
    """The persona, sentence by sentence; with `guess`, what an answer may say about taste."""
    told = associations()
    low, _, high = intake.age_band.partition("-")
    age = f"between {low} and {high} years old" if high else "over 65 years old"
    where = told["surroundings"][intake.surroundings]["says"]
    place = f", {intake.place}" if intake.place else ""
    job = intake.profession or told["work"][intake.work]["says"]
    work = f"My work is {job}." if intake.profession else f"I work in {job}."
    hobbies = [told["hobbies"][name]["says"] for name in intake.hobbies]
    lines = [
        Line("Age band", f"I am {age}."),
        Line("Surroundings", f"I live {where}{place}."),
        Line("Work", work),
        Line("Hobbies", f"My free time goes to {_listed(hobbies)}."),
    ]
    if not guess:
        return lines
    answers = [
        *(("Hobby", "hobbies", name, "My hobby is") for name in intake.hobbies),
        ("Work", "work", intake.work, "My work is in"),
        ("Surroundings", "surroundings", intake.surroundings, "I live"),
    ]
    taken: set[str] = set()
    for label, question, answer, lead in answers:
        entry = told[question][answer]
        likes = [phrase for phrase in entry["likes"] if phrase not in taken]
        taken.update(likes)
        if likes:
            # "A guess" is said in the text itself: it is meant to be corrected.
            sentence = f"A guess from that: I like {_listed(likes)} in pictures."
            lines += [Line(f"{label}: {entry['says']}", f"{lead} {entry['says']}. {sentence}")]
    return lines


def persona_text(intake: Intake, *, guess: bool) -> str:
    """The persona as one text."""
    return "\n".join(line.sentence for line in persona_lines(intake, guess=guess))


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


# Invented people of whom one is the stranger behind "mismatched": never close to the participant.
STRANGERS: tuple[Intake, ...] = tuple(
    Intake(age_band=age, surroundings=where, work=work, hobbies=hobbies)
    for age, where, work, hobbies in (
        ("25-34", "city", "technology", ("video-games", "comics")),
        ("35-44", "countryside", "farming", ("woodworking", "gardening")),
        ("45-54", "coast", "arts", ("painting", "sailing")),
        ("18-24", "town", "studying", ("dancing", "photography")),
        ("55-64", "mountains", "education", ("reading", "history")),
        ("65+", "town", "retired", ("knitting", "baking")),
        ("25-34", "desert", "science", ("astronomy", "programming")),
        ("35-44", "city", "law", ("yoga", "film")),
    )
)


def stranger_for(intake: Intake, choice: int) -> Intake:
    """A stranger who shares no hobby, work or surroundings with somebody; the same for a choice."""

    def shared(other: Intake) -> int:
        same = (other.work == intake.work) + (other.surroundings == intake.surroundings)
        return 2 * len(set(other.hobbies) & set(intake.hobbies)) + same

    least = min(shared(other) for other in STRANGERS)
    apart = [other for other in STRANGERS if shared(other) == least]
    return apart[choice % len(apart)]
