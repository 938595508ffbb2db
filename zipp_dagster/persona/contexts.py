"""What a picture or a sentence is about: animals, people, places, vehicles, nature, food and more.

The context decides which of a person's tastes applies. Word lists: `vocabulary/contexts.yml`.
Style words are elsewhere (`aesthetics.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache

from zipp_dagster.persona.lexicon import (
    Hit,
    Lexicon,
    load_lines,
    load_yaml,
    split_list,
    tokenize,
    word_set,
)

_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
# Small words that names of communities are made of, beside all words of the vocabularies.
GLUE = word_set(
    "the of and for my our your we i in on a to is are with no all new old big little best true "
    "real ask learn build club corner daily lounge weekly hub circle porn art pictures pics "
    "memes talk life world mods advice help exchange swap deals sub reddit home work day night "
    "today casual anything random free city town state men women people house super pro tips "
    "tales from retail tech support shitty battles posting photoshop meme where who what how "
    "can should not"
)


@cache
def _lexicon() -> Lexicon[tuple[str, bool]]:
    """Phrases with their context, and whether they are everyday words as well."""
    return Lexicon(
        (
            (phrase.lstrip("~"), (context, phrase.startswith("~")))
            for context, phrases in load_yaml("contexts.yml").items()
            for phrase in split_list(str(phrases))
        ),
        plurals=True,
    )


@cache
def all_contexts() -> tuple[str, ...]:
    """Names of the contexts, in the order of the word lists."""
    return tuple(load_yaml("contexts.yml"))


# "A portrait of a fox", "cat portraits": a kind of picture, and people only where nothing else is.
_KINDS_OF_PICTURE = frozenset(("portrait", "portraits", "headshot", "portraiture"))


def find_subjects(tokens: Sequence[str], in_speech: bool = False) -> list[Hit[str]]:
    """Subject words of a token list with their contexts, in order.

    `in_speech` leaves everyday words out ("people", "coffee"): beside a style they name no subject.
    """
    hits = [
        Hit(hit.start, hit.end, hit.value[0])
        for hit in _lexicon().find(tokens)
        if not (in_speech and hit.value[1])
    ]
    if _KINDS_OF_PICTURE.isdisjoint(tokens):
        return hits
    kept = []
    for i, hit in enumerate(hits):
        if tokens[hit.start] in _KINDS_OF_PICTURE:
            after = hits[i + 1] if i + 1 < len(hits) else None
            of_that = after and "of" in tokens[hit.end : after.start] and after.start - hit.end <= 4
            if of_that or (i > 0 and hits[i - 1].end == hit.start):
                continue
        kept.append(hit)
    return kept


def context_of_prompt(prompt: str) -> str | None:
    """The context of a prompt's main subject, or None if no subject word is known.

    The first noun phrase that names a subject decides, by its last word: "a castle cat on a boat"
    is about an animal.
    """
    tokens = tokenize(prompt)
    hits = find_subjects(tokens)
    if not hits:
        return None
    head = hits[0]
    for hit in hits[1:]:
        if hit.start != head.end:  # anything between ends the noun phrase
            break
        head = hit
    return head.value


@lru_cache(maxsize=100_000)
def split_community(name: str) -> str:
    """A community's name as lower-case words: "EarthPorn" and "earthporn" become "earth porn"."""
    parts: list[str] = []
    for piece in re.split(r"[_\W]+", name):
        for part in _CAMEL.findall(piece):
            parts += _segment(part.lower())
    return " ".join(parts)


@lru_cache(maxsize=100_000)
def context_of_community(name: str) -> str | None:
    """The context that a community's name tells, or None."""
    hits = find_subjects(split_community(name).split(), in_speech=True)
    return hits[-1].value if hits else None


@cache
def _known_words() -> frozenset[str]:
    known = set(GLUE)
    for phrases in load_yaml("contexts.yml").values():
        known |= set(tokenize(str(phrases)))
    for facet in load_yaml("aesthetics.yml").values():
        if isinstance(facet, dict):
            for phrase, aliases in facet.items():
                known |= set(tokenize(f"{phrase} {aliases}"))
    for topic, listed in load_yaml("topics.yml").items():
        phrases = split_list(f"{topic}, {listed}")
        # "malefashionadvice" beside "male fashion advice" is a name, not a word to split by.
        names = {phrase.replace(" ", "") for phrase in phrases if " " in phrase}
        known |= set(tokenize(" ".join(phrases))) - names
    for line in load_lines("professions.txt"):
        known |= set(tokenize(line))
    known |= {word + "s" for word in known if len(word) > 2}
    return frozenset(word for word in known if len(word) > 1 or word in ("a", "i"))


def is_known_word(word: str) -> bool:
    """Whether a word stands in one of the vocabularies, and so is one."""
    return word in _known_words()


def _segment(text: str) -> list[str]:
    """Splits run-together words: the split with no unknown word and the fewest words, else none."""
    known = _known_words()
    if text in known or len(text) < 6:
        return [text]
    best: list[list[str] | None] = [[]] + [None] * len(text)
    for end in range(1, len(text) + 1):
        for start in range(max(0, end - 16), end):
            head = best[start]
            if head is None or text[start:end] not in known:
                continue
            if best[end] is None or len(head) + 1 < len(best[end] or ()):
                best[end] = [*head, text[start:end]]
    return best[-1] or [text]
