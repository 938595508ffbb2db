"""Words and phrase lists: tokens of a text, and longest-match search for many phrases at once.

Knows nothing of style, contexts or people: those word lists are in `aesthetics.py`, `contexts.py`,
`demographics.py` and `interests.py`, their data in `vocabulary/`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import compress, count
from pathlib import Path
from threading import Lock
from typing import ClassVar, Generic, TypeVar

import yaml

VOCABULARY = Path(__file__).parent / "vocabulary"

# A word (any alphabet, inner apostrophe allowed), or a run of sentence ends, or a comma-like break.
_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)?|[.!?;\n]+|[,:()]")
# The same for lower-case ASCII, which most texts are: a quarter quicker.
_ASCII_TOKEN = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)?|[.!?;\n]+|[,:()]")
_SENTENCE_END = frozenset(".!?;\n")

Payload = TypeVar("Payload")


def tokenize(text: str) -> list[str]:
    """Lower-case words, sentence ends and commas of a text; British spellings made American."""
    text = text.lower()
    if "’" in text:
        text = text.replace("’", "'")
    if "our" in text:
        text = text.replace("colour", "color").replace("favour", "favor")
    if "grey" in text:
        text = text.replace("greyscale", "grayscale").replace("greys", "grays")
        text = re.sub(r"\bgrey\b", "gray", text)
    return (_ASCII_TOKEN if text.isascii() else _TOKEN).findall(text)


def words(text: str) -> list[str]:
    """The words of a text alone, lower case."""
    return [token for token in tokenize(text) if token[0].isalnum()]


def word_set(text: str) -> frozenset[str]:
    """The words of a list that is written as one text."""
    return frozenset(text.split())


# The commonest words of English, the commonest first; of all others, longer ones are rarer.
_EVERYDAY = (
    "the be to of and a in that have i it for not on with he as you do at this but his by from they we "
    "say her she or an will my one all would there their what so up out if about who get which go me "
    "when make can like time no just him know take people into year your good some could them see other "
    "than then now look only come its over think also back after use two how our work first well way "
    "even new want because any these give day most us is are was were been has had did don't i'm it's "
    "i've that's you're can't should really much very more never always still something why where love "
    "feel got going too every many thing things"
)
_RANK = {word: rank for rank, word in enumerate(_EVERYDAY.split())}


def is_sentence_end(token: str) -> bool:
    """Whether a token ends a sentence."""
    return token[0] in _SENTENCE_END


def singular(word: str) -> str:
    """A rough English singular, for comparing words: never shown to anybody."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def plural(word: str) -> str:
    """The regular English plural."""
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if len(word) > 2 and word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


class WordList:
    """Words that many texts are asked for."""

    asked: ClassVar[set[str]] = set()
    """The words of all lists, so that texts are looked through once: see `Passages`."""
    made: ClassVar[int] = 0
    _making: ClassVar[Lock] = Lock()

    def __init__(self, listed: Iterable[str]) -> None:
        self.words = frozenset(listed)
        with WordList._making:
            WordList.asked |= self.words
            WordList.made += 1
            self.number = WordList.made


class Passages:
    """Texts of one person, token after token: what any list knows of them is found once.

    A list that is made later looks for itself.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = tuple(texts)
        self.tokens: list[str] = []
        self._owner: list[int] = []
        self._starts = [0]
        for number, text in enumerate(self.texts):
            # No phrase has a word that is empty: none reaches from one text into the next.
            tokens = [*tokenize(text), ""]
            self.tokens += tokens
            self._owner += [number] * len(tokens)
            self._starts.append(len(self.tokens))
        self._lists = WordList.made
        self._places = self._look(WordList.asked)
        self._known = frozenset(self._places)

    def __getitem__(self, number: int) -> list[str]:
        """The tokens of one text."""
        return self.tokens[self._starts[number] : self._starts[number + 1] - 1]

    def owner(self, place: int) -> int:
        """The number of the text that a token belongs to."""
        return self._owner[place]

    def places(self, listed: WordList) -> Mapping[str, Sequence[int]]:
        """The words of a list that stand in the texts, and where among all tokens."""
        if listed.number > self._lists:
            return self._look(listed.words)
        return {word: self._places[word] for word in listed.words & self._known}

    def words(self, listed: WordList) -> Mapping[int, AbstractSet[str]]:
        """The same by text; without the texts that have none."""
        found: dict[int, set[str]] = defaultdict(set)
        for word, places in self.places(listed).items():
            for place in places:
                found[self._owner[place]].add(word)
        return found

    def _look(self, wanted: AbstractSet[str]) -> dict[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        tokens = self.tokens
        for place in compress(count(), map(wanted.__contains__, tokens)):
            found[tokens[place]].append(place)
        return found


@dataclass(frozen=True, slots=True)
class Hit(Generic[Payload]):
    """A phrase found in a token list: tokens[start:end], and what the lexicon says of it."""

    start: int
    end: int
    value: Payload


class Lexicon(Generic[Payload]):
    """Phrases with a payload each; finds the longest match at every position, without overlaps."""

    def __init__(self, phrases: Iterable[tuple[str, Payload]], plurals: bool = False) -> None:
        """With `plurals`, the regular plural of a phrase's last word is found too."""
        table: dict[str, dict[tuple[str, ...], Payload]] = {}
        variants: list[tuple[tuple[str, ...], Payload]] = []
        for phrase, value in phrases:
            parts = tuple(words(phrase))
            if not parts:
                continue
            table.setdefault(parts[0], {}).setdefault(parts, value)
            if plurals:
                variants.append(((*parts[:-1], plural(parts[-1])), value))
        for parts, value in variants:
            table.setdefault(parts[0], {}).setdefault(parts, value)
        self._table = table
        # Every phrase holds its rarest word, which most texts do not hold: they need no search.
        self._by_trigger: dict[str, list[tuple[int, int, tuple[str, ...], Payload]]] = {}
        for options in table.values():
            for parts, value in options.items():
                trigger = max(parts, key=lambda word: (_RANK.get(word, len(_RANK)), len(word)))
                entry = (parts.index(trigger), len(parts), parts, value)
                self._by_trigger.setdefault(trigger, []).append(entry)
        self._triggers = frozenset(self._by_trigger)

    def __len__(self) -> int:
        return sum(len(options) for options in self._table.values())

    def get(self, phrase: str) -> Payload | None:
        """What the lexicon says of exactly this phrase."""
        parts = tuple(words(phrase))
        return self._table.get(parts[0], {}).get(parts) if parts else None

    @cached_property
    def triggers(self) -> WordList:
        """A word of every phrase, its rarest: no phrase stands without it."""
        return WordList(self._triggers)

    def find(self, tokens: Sequence[str]) -> list[Hit[Payload]]:
        """Every longest match, in order."""
        present = self._triggers.intersection(tokens)
        if not present:
            return []
        places = compress(count(), map(present.__contains__, tokens))
        return self._matches(tokens, ((place, tokens[place]) for place in places))

    def find_in(self, passages: Passages) -> dict[int, list[Hit[Payload]]]:
        """The same in every text that has a match, by its number; places among all tokens."""
        found: dict[int, list[Hit[Payload]]] = {}
        triggers = passages.places(self.triggers).items()
        known = ((place, word) for word, places in triggers for place in places)
        for hit in self._matches(passages.tokens, known):
            found.setdefault(passages.owner(hit.start), []).append(hit)
        return found

    def _matches(
        self, tokens: Sequence[str], triggers: Iterable[tuple[int, str]]
    ) -> list[Hit[Payload]]:
        longest: dict[int, tuple[int, Payload]] = {}
        for at, trigger in triggers:
            for offset, length, parts, value in self._by_trigger[trigger]:
                start = at - offset
                if length > 1 and (start < 0 or tuple(tokens[start : start + length]) != parts):
                    continue
                if start not in longest or longest[start][0] < length:
                    longest[start] = (length, value)
        hits: list[Hit[Payload]] = []
        end = 0
        for start in sorted(longest):
            if start >= end:
                length, value = longest[start]
                end = start + length
                hits.append(Hit(start, end, value))
        return hits


def split_list(text: str | None) -> list[str]:
    """The phrases of a comma-separated vocabulary line."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


@cache
def load_yaml(name: str) -> Mapping[str, object]:
    """A vocabulary file of this package, parsed once."""
    with (VOCABULARY / name).open(encoding="utf-8") as file:
        loaded = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if not isinstance(loaded, dict):
        raise ValueError(f"{VOCABULARY / name} is not a mapping of names to word lists")
    return loaded


@cache
def load_lines(name: str) -> tuple[str, ...]:
    """The lines of a vocabulary file that are neither empty nor comments."""
    lines = (VOCABULARY / name).read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
