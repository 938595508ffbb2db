"""Text that speaks to the language model instead of about its author, and markup of conversations.

Three lines hold against it: such text never becomes evidence or a shot (here), what does is given as
JSON with the markup of chat templates broken (here), and what comes out is judged by what it says,
not by what it was told (`guards.py`, and the subject check of `rewriting.py`).
"""

from __future__ import annotations

import re
from typing import Final

# A comment that addresses a language model is no evidence of anything, and may be an attack on one.
ADDRESSES_A_MODEL: Final = (
    r"\b(ignore|disregard|forget|override|bypass)\W+(\w+\W+){0,4}"
    r"(instructions?|prompts?|rules|guidelines|directives)\b|"
    r"\b(system|developer|hidden|initial) (prompt|message)\b|"
    r"\b(new|updated|following|real) instructions?\b|"
    r"\byou are (now |currently )?(an? )?(ai\b|assistant|language model|chatgpt|gpt|dan\b|llm)|"
    r"\b(dear|hey|attention|note to)[ ,]+(the )?(ai|llm|language model|chatgpt|assistant)\b|"
    r"\b(write|output|print|claim|say|state|respond|answer|reply)\W+(\w+\W+){0,6}persona\b|"
    r"<\|?(im_start|im_end|system|endoftext|assistant|user)|\[/?inst\]|<</?sys>>|"
    r"###\s*(system|instruction|response)|(^|\n)\s*(system|assistant)\s*:"
)
"""For lower-case text; in the dialect that both DuckDB and Python read."""

_PATTERN = re.compile(ADDRESSES_A_MODEL)
# Turns of chat templates: ChatML, Llama, Mistral, Gemma, Phi, DeepSeek and their kind.
_MARKUP = re.compile(
    r"<\s*[|｜][^<>\n]{0,40}[|｜]\s*>|<\|?(?:im_start|im_end|endoftext|start_of_turn|end_of_turn|s|/s)\|?>"
    r"|\[/?INST\]|<</?SYS>>",
    re.IGNORECASE,
)


def addresses_a_model(text: str) -> bool:
    """Whether a text gives orders to a language model."""
    return _PATTERN.search(text.lower()) is not None


def defuse(text: str) -> str:
    """The text without markup that a chat template could read as the end of a turn."""
    return _MARKUP.sub(" ", text)
