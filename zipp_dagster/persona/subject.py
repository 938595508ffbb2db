"""Whether a rewritten prompt still shows what the base prompt asks for.

Two checks: every content word of the base prompt is there, or a word that means the same
(`vocabulary/synonyms.txt`); and, where an encoder is at hand, both prompts lie near each other. What
follows when a subject is lost is in `rewriting.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from zipp_dagster.persona.lexicon import (
    Lexicon,
    load_lines,
    singular,
    split_list,
    word_set,
    words,
)
from zipp_dagster.persona.prompts import base_prompt, content_words

# Where things stand to each other and whose they are: a rewrite may say it in another way.
_RELATIONS = word_set(
    "over above below beneath near next beside besides behind between among through across along "
    "around about inside outside upon off toward towards against its his her their my your our "
    "who which whose while where when is are be being it"
)


@cache
def _synonyms() -> Lexicon[frozenset[int]]:
    """Words and phrases with the numbers of the lines of words that mean the same."""
    groups: dict[str, set[int]] = defaultdict(set)
    for line, text in enumerate(load_lines("synonyms.txt")):
        for phrase in split_list(text):
            groups[phrase].add(line)
    return Lexicon(((p, frozenset(lines)) for p, lines in groups.items()), plurals=True)


def lost_words(base: str, prompt: str) -> list[str]:
    """Content words of the base prompt that the prompt neither holds nor says with a synonym.

    Singular and plural are the same word; prepositions and pronouns are none. A phrase with a synonym
    ("hot air balloon") may be said otherwise as a whole.
    """
    tokens, spoken = words(base), words(prompt)
    held = {singular(word) for word in spoken}
    meant = {line for hit in _synonyms().find(spoken) for line in hit.value}
    said_otherwise = {
        word
        for hit in _synonyms().find(tokens)
        if hit.value & meant
        for word in content_words(" ".join(tokens[hit.start : hit.end]))
    }
    free = held | said_otherwise | _RELATIONS
    return [word for word in content_words(base) if word not in free]


def keeps_subject(base: str, prompt: str) -> bool:
    """Whether every content word of the base prompt, or a synonym, is in the prompt."""
    return not lost_words(base, prompt)


def subject_similarity(
    bases: Sequence[str],
    prompts: Sequence[str],
    embed: Callable[[Sequence[str]], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Cosine [n] of each base prompt and its rewrite without style words.

    Style is what a rewrite is there to add, so it is taken out first. 1 where the encoder knows no
    word of either: it can say nothing against them.
    """
    left, right = embed(bases), embed([base_prompt(prompt) for prompt in prompts])
    cosine = np.einsum("ij,ij->i", left, right).astype(np.float32)
    unknown = ~(left.any(axis=1) & right.any(axis=1))
    return np.where(unknown, np.float32(1.0), cosine)
