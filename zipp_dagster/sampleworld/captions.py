"""Factors put into words: the captions that a person would type for a picture.

The words themselves are in `vocabulary.py`. A caption is lower-case English with commas between
segments; the subject comes first in most templates, and the style segments come in any order.
"""

from __future__ import annotations

import numpy as np

from zipp_dagster.sampleworld.vocabulary import FACTOR_VALUES, PARAPHRASES, Factors, Phrases

STYLE_NAMES = ("palette", "medium", "mood")
_MEDIUM_FIRST = ("{medium} of {subject}", "{medium}: {subject}", "{subject} as {medium}")
_SUBJECT_TAILS = ("", "", "", " in {mood}", " in {palette}")


def phrase(name: str, value: str, rng: np.random.Generator, paraphrase: bool = False) -> str:
    """One of the phrases for a factor value; with `paraphrase`, one that no caption uses."""
    source: Phrases = PARAPHRASES[name] if paraphrase else FACTOR_VALUES[name]
    options = source[value]
    return options[int(rng.integers(len(options)))]


def caption(
    factors: Factors,
    rng: np.random.Generator,
    drop: float = 0.0,
    paraphrase: bool = False,
) -> str:
    """A caption for a picture with these factors.

    Each style segment is left out with probability `drop`; the subject never is. With `paraphrase`
    all words come from the list that the generator's captions never use.
    """
    words = {"subject": phrase("subject", factors.subject, rng, paraphrase)}
    for name in STYLE_NAMES:
        said = phrase(name, getattr(factors, name), rng, paraphrase)
        if drop == 0.0 or rng.random() >= drop:
            words[name] = said
    head = words.pop("subject")
    choice = int(rng.integers(10))
    if choice < 2 and "medium" in words:
        template = _MEDIUM_FIRST[int(rng.integers(len(_MEDIUM_FIRST)))]
        head = template.format(subject=head, medium=words.pop("medium"))
    elif choice < 5:
        tail = _SUBJECT_TAILS[int(rng.integers(len(_SUBJECT_TAILS)))]
        name = tail[5:-1]
        if name in words:
            head += tail.format(**{name: words.pop(name)})
    segments = [words[name] for name in words]
    order = rng.permutation(len(segments))
    parts = [segments[int(i)] for i in order]
    position = len(parts) if parts and choice == 9 else 0
    parts.insert(position, head)
    return ", ".join(parts)


def plain_caption(factors: Factors) -> str:
    """The canonical caption: first phrase of each factor, in the order of `FACTOR_NAMES`."""
    return ", ".join(phrases[getattr(factors, name)][0] for name, phrases in FACTOR_VALUES.items())
