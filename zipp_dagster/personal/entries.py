"""One person's persona as the store hands it out, who the person is, and what can be wrong.

A user is a pseudonym (a decimal number or 16 hex digits; shown as hex digits) or a name that
somebody gave to a hand-written persona. Where entries are kept is in `store.py`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from zipp_dagster.persona import guards
from zipp_dagster.persona.config import PersonaSettings
from zipp_dagster.persona.schema import Persona

Origin = Literal["mined", "edited", "imported", "by hand"]
ORIGINS: tuple[Origin, ...] = ("mined", "edited", "imported", "by hand")

_PSEUDONYM = re.compile(r"[0-9a-f]{16}")
# A name is also a file's name: no separators, no leading dot.
_NAME = re.compile(r"\w(?:[\w .-]{0,62}\w)?")


class PersonaError(ValueError):
    """A persona or a user cannot be used; the message names the file, entry and field."""


class UnknownUser(PersonaError):
    """There is no persona of this user."""


@dataclass(frozen=True)
class PersonaEntry:
    """A persona with its owner; `persona` is None where the mined one is quarantined."""

    user: str
    persona: Persona | None
    origin: Origin
    quarantined: str | None = None

    @property
    def usable(self) -> bool:
        """Whether somebody may be personalised with it."""
        return self.persona is not None and self.quarantined is None

    def to_json(self) -> dict[str, Any]:
        """JSON types: user, origin, quarantined, persona_id, persona."""
        return {
            "user": self.user,
            "origin": self.origin,
            "quarantined": self.quarantined,
            "persona_id": self.persona.persona_id if self.persona else None,
            "persona": self.persona.model_dump(mode="json") if self.persona else None,
        }


def shown(pseudonym: int) -> str:
    """The one form in which a pseudonym is shown: 16 hex digits."""
    return f"{pseudonym:016x}"


def is_pseudonym(user: str) -> bool:
    """Whether a user, as `user_names` gives it, is a pseudonym and no name."""
    return _PSEUDONYM.fullmatch(user) is not None


def user_names(user: str | int) -> tuple[str, ...]:
    """How a user is shown; several readings, most likely first, where the text is ambiguous.

    Sixteen decimal digits can be either form: as hex they are what we show, as decimal what a
    query of a table shows. Raises PersonaError for what is neither pseudonym nor name.
    """
    text = str(user).strip()
    if text.isascii() and text.isdigit() and int(text) < 2**64:
        decimal = shown(int(text))
        return (text, decimal) if len(text) == 16 and isinstance(user, str) else (decimal,)
    if is_pseudonym(text.lower()):
        return (text.lower(),)
    if isinstance(user, str) and _NAME.fullmatch(text) and not text.isdigit():
        return (text,)
    raise PersonaError(
        f"{text!r} is no user: give a pseudonym (a decimal number below 2^64 or 16 hex digits), or "
        "a name of letters, digits, spaces, dots and dashes, 64 at most"
    )


def checked(
    document: Any, settings: PersonaSettings, where: str, evidence_texts: tuple[str, ...] = ()
) -> Persona:
    """A persona that fits the schema and passes the guards; its claims need no evidence.

    `evidence_texts` is what it must not quote. Raises PersonaError that starts with `where` and
    names every wrong field.
    """
    try:
        persona = Persona.model_validate(document)
    except ValidationError as error:
        raise PersonaError(f"{where}: {_faults(error)}") from error
    problems = guards.problems(persona, frozenset(), evidence_texts, settings)
    if problems:
        raise PersonaError(f"{where}: it is refused: {'; '.join(problems)}")
    return persona


def entry_of_file(path: Path, settings: PersonaSettings) -> PersonaEntry:
    """A kept persona; quarantined where the guards, as set now, refuse it.

    Raises PersonaError where the file is not what the store writes.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        persona = Persona.model_validate(document["persona"])
        user, origin = document["user"], document["origin"]
        if user != path.stem or origin not in ORIGINS:
            raise ValueError(f"user {user!r}, origin {origin!r}")
    except (ValueError, KeyError, TypeError) as error:
        reason = _faults(error) if isinstance(error, ValidationError) else repr(error)
        raise PersonaError(
            f"{path} is no kept persona ({reason}): mend it, or remove the file"
        ) from error
    problems = guards.problems(persona, frozenset(), (), settings)
    return PersonaEntry(user, persona, origin, "; ".join(problems) or None)


def _faults(error: ValidationError) -> str:
    """Every wrong field with what is wrong, without the values."""
    return "; ".join(
        ".".join(["persona", *(str(part) for part in fault["loc"])]) + f": {fault['msg']}"
        for fault in error.errors(include_url=False, include_input=False)
    )
