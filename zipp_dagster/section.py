"""The base class of every settings section. Sections live beside the code that they configure."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """An immutable group of settings; an unknown key is an error.

    `operational` names the fields that say where and how fast, never what comes out (paths,
    batch sizes, devices): changing them makes no artifact stale.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
    operational: ClassVar[frozenset[str]] = frozenset()

    def outcome_values(self) -> dict[str, Any]:
        """The values that an artifact's content depends on, as JSON types; secrets masked."""
        values = self.model_dump(mode="json", exclude=set(self.operational))
        for name in values:
            inner = getattr(self, name)
            if isinstance(inner, Section):
                values[name] = inner.outcome_values()
            elif isinstance(inner, tuple) and any(isinstance(part, Section) for part in inner):
                values[name] = [part.outcome_values() for part in inner]
        return values
