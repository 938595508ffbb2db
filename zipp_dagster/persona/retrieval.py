"""Past prompts of a person, and which of them a rewriter is shown.

Three rankings: words in common (`nearest_prompts`: the shots of ZIPP), and those of Tailored Visions
(arXiv 2310.08129), by embedding or by BM25, without near-duplicates. Near copies of a case's target
are left out by all. What a rewriter does with them is in `rewriting.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from zipp_dagster.persona.contexts import context_of_prompt
from zipp_dagster.persona.injection import addresses_a_model
from zipp_dagster.persona.lexicon import words
from zipp_dagster.persona.prompts import REFERENCE_F1, content_words, token_f1

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts to unit-norm rows [n, dim]; zeros for a text of which the encoder knows nothing."""

# As the authors of Tailored Visions set them.
BM25_K1: Final = 2.0
BM25_B: Final = 0.5
SAME_BLEU: Final = 0.5


@dataclass(frozen=True)
class PastPrompt:
    """A prompt that a person wrote before: a visible image post's title."""

    post_id: str
    title: str
    created_at: datetime


def past_prompts(history: pa.Table) -> dict[int, list[PastPrompt]]:
    """The past prompts of each user of a table (user_id, post_id, title, created_at)."""
    past: dict[int, list[PastPrompt]] = {}
    columns = (history.column(c).to_pylist() for c in ("user_id", "post_id", "title", "created_at"))
    for user, post_id, title, created_at in zip(*columns, strict=True):
        if title and words(title):
            past.setdefault(user, []).append(PastPrompt(post_id, title, created_at))
    return past


def usable_prompts(past: Sequence[PastPrompt], reference: str) -> tuple[list[PastPrompt], int]:
    """Past prompts that may be shown, and how many were left out as too like the target.

    Titles that speak to a model are never shown, nor near copies of the target (token F1 of 0.8 or
    more); an empty `reference` means that there is no target.
    """
    honest = [prompt for prompt in past if not addresses_a_model(prompt.title)]
    safe = [prompt for prompt in honest if token_f1(prompt.title, reference) < REFERENCE_F1]
    return safe, len(honest) - len(safe)


def nearest_prompts(
    base: str, reference: str, past: Sequence[PastPrompt], count: int
) -> tuple[tuple[str, ...], int]:
    """The past prompts most like a base prompt, and how many were left out as too like the target.

    Likeness is the Jaccard overlap of content words; ties go to the same context, then to the
    newer. Near copies of each other are left out.
    """
    wanted, context = set(content_words(base)), context_of_prompt(base)
    safe, left_out = usable_prompts(past, reference)

    def likeness(prompt: PastPrompt) -> tuple[float, bool, datetime, str]:
        found = set(content_words(prompt.title))
        overlap = len(wanted & found) / len(wanted | found) if wanted | found else 0.0
        return (
            overlap,
            context_of_prompt(prompt.title) == context,
            prompt.created_at,
            prompt.post_id,
        )

    chosen: list[str] = []
    for prompt in sorted(safe, key=likeness, reverse=True):
        if len(chosen) == count:
            break
        if all(token_f1(prompt.title, other) < REFERENCE_F1 for other in chosen):
            chosen.append(prompt.title)
    return tuple(chosen), left_out


def tailored_prompts(
    base: str, reference: str, past: Sequence[PastPrompt], count: int, embed: Embed | None
) -> tuple[tuple[str, ...], int]:
    """The prompts that Tailored Visions retrieves for a base prompt, and how many were left out.

    Ranked by the cosine of embeddings, or by BM25 (k1 = 2, b = 0.5) where `embed` is None; ties go
    to the newer. A prompt with a BLEU of 0.5 or more to a better one is a near-duplicate and
    dropped.
    """
    safe, left_out = usable_prompts(past, reference)
    if not safe:
        return (), left_out
    titles = [prompt.title for prompt in safe]
    scores = bm25(base, titles) if embed is None else embed(titles) @ embed([base])[0]
    order = sorted(range(len(safe)), key=lambda i: (scores[i], safe[i].created_at, safe[i].post_id))
    chosen: list[str] = []
    for i in reversed(order):
        if len(chosen) == count:
            break
        if all(bleu(titles[i], other) < SAME_BLEU for other in chosen):
            chosen.append(titles[i])
    return tuple(chosen), left_out


def bm25(query: str, documents: Sequence[str]) -> NDArray[np.float64]:
    """Okapi BM25 scores [n] of documents for a query, with idf = log(1 + (n − df + ½) / (df + ½)).

    The statistics are those of `documents` alone: a person's own history.
    """
    counts = [_word_counts(document) for document in documents]
    lengths = np.array([sum(found.values()) for found in counts], dtype=np.float64)
    norm = BM25_K1 * (1 - BM25_B + BM25_B * lengths / max(float(lengths.mean()), 1.0))
    scores = np.zeros(len(documents))
    for word in _word_counts(query):
        frequency = np.array([found.get(word, 0) for found in counts], dtype=np.float64)
        having = int(np.count_nonzero(frequency))
        idf = math.log(1 + (len(documents) - having + 0.5) / (having + 0.5))
        scores += idf * frequency * (BM25_K1 + 1) / (frequency + norm)
    return scores


@lru_cache(maxsize=100_000)
def _word_counts(text: str) -> Mapping[str, int]:
    return Counter(words(text))


def bleu(text: str, reference: str) -> float:
    """BLEU of a text against one reference, 0 to 1; n-grams up to 4 or the text's length."""
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    tokens, wanted = words(text), words(reference)
    if not set(tokens) & set(wanted):
        return 0.0
    return float(
        sentence_bleu(
            [wanted], tokens, smoothing_function=SmoothingFunction().method1, auto_reweigh=True
        )
    )
