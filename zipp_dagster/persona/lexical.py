"""The deterministic language model without weights: word lists in place of a network.

It answers the two tasks of this package, building a persona and rewriting a prompt, in the form
that any model is asked for (JSON). How is in `lexical_persona.py` and `lexical_rewriting.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from zipp_dagster.persona.language_models import Conversation, LanguageModelError, Usage
from zipp_dagster.persona.lexical_persona import PersonaTask, build_persona
from zipp_dagster.persona.lexical_rewriting import RewriteTask, rewrite

_VERSION = "lexical-1"


class LexicalModel:
    """Reads the task in the `data` of a message; the prose is for other models."""

    def __init__(self) -> None:
        self._usage = Usage()

    @property
    def name(self) -> str:
        """Name and version; the word lists' changes show in the code version."""
        return _VERSION

    @property
    def usage(self) -> Usage:
        """Calls so far; it has no tokens."""
        return self._usage

    @property
    def sees(self) -> bool:
        """It reads word lists, no pictures."""
        return False

    @property
    def reads_prose(self) -> bool:
        """Only the `data` of a message: nobody need render its content."""
        return False

    def generate(
        self, conversations: Sequence[Conversation], schema: Mapping[str, Any] | None = None
    ) -> list[str]:
        """One JSON answer a conversation. Raises LanguageModelError for a task it does not know."""
        self._usage.calls += len(conversations)
        return [self._answer(conversation) for conversation in conversations]

    def _answer(self, conversation: Conversation) -> str:
        task = next((m.data for m in reversed(conversation) if m.data is not None), None)
        if isinstance(task, PersonaTask):
            return build_persona(task).model_dump_json()
        if isinstance(task, RewriteTask):
            return json.dumps({"prompt": rewrite(task)}, ensure_ascii=False)
        raise LanguageModelError(
            "the lexical model only builds personas and rewrites prompts; for free text set "
            "persona.language_model.kind to transformers or http"
        )
