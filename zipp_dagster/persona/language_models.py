"""The one interface of language models, and the choice among them.

A model turns conversations into texts. Three kinds: lexical (`lexical.py`, no weights),
transformers in process (`transformers_model.py`) and OpenAI-compatible HTTP (`http_model.py`).
Callers render prompts for all alike; the lexical model reads the structured `data` of a message
instead of its prose, so it answers the same questions in the same form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from zipp_dagster.persona.config import LanguageModelSettings

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    """One turn of a conversation; `data` is the same content as a task, for the lexical model.

    `images` are encoded pictures (PNG, JPEG, …) for models that see; others are not given any.
    """

    role: Role
    content: str
    data: Any = field(default=None, compare=False, repr=False)
    images: tuple[bytes, ...] = field(default=(), repr=False)


Conversation = Sequence[Message]


@dataclass(frozen=True)
class NoAnswer:
    """What stands where a model has no answer to one conversation; the reason quotes nobody."""

    reason: str


Answer = str | NoAnswer


@dataclass
class Usage:
    """What a model has consumed since it was loaded; `cost` in the currency of the settings."""

    calls: int = 0
    cached: int = 0
    retries: int = 0
    unanswered: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0


class LanguageModel(Protocol):
    """Text in, text out, in batches."""

    @property
    def name(self) -> str:
        """Kind, model and version: what tables record, and what makes a result stale."""
        ...

    @property
    def usage(self) -> Usage:
        """Calls and tokens so far."""
        ...

    @property
    def sees(self) -> bool:
        """Whether it looks at the images of a message."""
        ...

    def generate(
        self, conversations: Sequence[Conversation], schema: Mapping[str, Any] | None = None
    ) -> Sequence[Answer]:
        """One answer a conversation, in order; with a JSON schema, models that can hold to it do.

        An answer may still be no valid JSON: the caller parses and decides. Where one conversation
        has none (refused, too long, incomplete), its place says why.
        """
        ...


class LanguageModelError(RuntimeError):
    """A model could not answer; the message names the model, the reason and what to change."""


CACHE_FOLDER = "language_model_cache"
NO_CACHE = "off"


def load_language_model(settings: LanguageModelSettings, home: Path | None = None) -> LanguageModel:
    """The model that the settings name. Raises LanguageModelError for incomplete settings.

    Answers of an endpoint are cached in `cache_dir`, or where that is empty under `home`; hashes of a
    local model's files are remembered there.
    """
    if not settings.cache_dir and home is not None:
        settings = settings.model_copy(update={"cache_dir": str(home / CACHE_FOLDER)})
    if settings.kind == "lexical":
        from zipp_dagster.persona.lexical import LexicalModel

        return LexicalModel()
    if not settings.model:
        raise LanguageModelError(
            f"language model kind {settings.kind!r} needs persona.language_model.model"
        )
    if settings.kind == "transformers":
        from zipp_dagster.persona.transformers_model import TransformersModel

        return TransformersModel(settings, home)
    if not settings.base_url:
        raise LanguageModelError("language model kind 'http' needs persona.language_model.base_url")
    from zipp_dagster.persona.http_model import HttpModel

    return HttpModel(settings)


_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)


def parse_json(answer: str) -> dict[str, Any]:
    """The JSON object in an answer, bare, fenced or between other words. Raises ValueError."""
    candidates = [answer, *_FENCE.findall(answer)]
    first, last = answer.find("{"), answer.rfind("}")
    if 0 <= first < last:
        candidates.append(answer[first : last + 1])
    for candidate in candidates:
        try:
            parsed = json.loads(candidate)
        except json.JSONDecodeError:
            continue
        if isinstance(parsed, dict):
            return parsed
    raise ValueError("no JSON object in the answer")
