"""Counting tokens as the reading model will: its own tokenizer, or words and marks where it has none.

What lives here: which tokenizer that is, by the settings, and loading it. What does not: where counts
are used (`snippets.py`, `evidence.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from zipp_dagster.persona.config import LanguageModelSettings
from zipp_dagster.persona.language_models import LanguageModelError
from zipp_dagster.persona.snippets import Tokenizer

WORDS_AND_MARKS = "words and marks"


def tokenizer_name(settings: LanguageModelSettings) -> str:
    """Directory or hub id with its revision, or `words and marks`.

    A model in process is counted by its own tokenizer. An endpoint does not say which it uses:
    `persona.language_model.tokenizer` names one.
    """
    name = settings.tokenizer or (settings.model if settings.kind == "transformers" else "")
    if not name:
        return WORDS_AND_MARKS
    revision = settings.revision if name == settings.model else None
    return f"{name}@{revision}" if revision else name


def load_tokenizer(settings: LanguageModelSettings) -> Tokenizer | None:
    """Counts texts in batches; None where words and marks are counted.

    Raises LanguageModelError for a tokenizer that cannot be loaded.
    """
    name, _, revision = tokenizer_name(settings).partition("@")
    if name == WORDS_AND_MARKS:
        return None
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(name, revision=revision or None)
    except (OSError, ValueError) as error:
        raise LanguageModelError(
            f"cannot load the tokenizer {name!r} (persona.language_model.tokenizer, or .model): {error}"
        ) from error

    def count(texts: Sequence[str]) -> list[int]:
        encoded = loaded(list(texts), add_special_tokens=False, return_attention_mask=False)
        return [len(ids) for ids in encoded["input_ids"]]

    return count
