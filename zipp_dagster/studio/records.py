"""What the store hands out, and what it refuses with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zipp_dagster.studio.study import StudyError


class StudyFull(StudyError):
    """As many people as the study wants take part already."""


class NotYours(LookupError):
    """No such thing, or not this participant's: the same answer for both."""


@dataclass(frozen=True)
class Participant:
    """Who takes part: `id` is the pseudonym under which votes are exported."""

    id: str
    study: str
    intake: dict[str, Any]
    persona_text: str
    simulated: bool
    finished_at: str | None


@dataclass(frozen=True)
class Picture:
    """One side as drawn, and what drew it: method, prompt, model, persona, seed."""

    png: bytes
    audit: dict[str, Any]


@dataclass(frozen=True)
class Shown:
    """What a participant sees next: `state` is pair, drawing or done."""

    state: str
    number: int
    total: int
    pair: str | None = None
    prompt: str | None = None
    left: str | None = None
    right: str | None = None
    upcoming: tuple[str, ...] = ()
