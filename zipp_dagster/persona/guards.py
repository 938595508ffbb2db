"""What makes a persona unsafe to keep: identities, quotations, claims without evidence, bounds.

Rules see patterns, not meaning: a name in plain words ("my friend Ana"), a rare biography, a
paraphrase, or evidence that is cited and says something else are beyond them. A finder that knows
names can be plugged in (`load_analyzer`, such as Presidio's) or given as `extra` (text to reasons).
"""

from __future__ import annotations

import importlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import cache, lru_cache
from typing import Any, Protocol

from zipp_dagster.persona.config import PersonaSettings
from zipp_dagster.persona.demographics import any_minor
from zipp_dagster.persona.injection import addresses_a_model
from zipp_dagster.persona.lexicon import Lexicon, Passages, load_lines, word_set, words
from zipp_dagster.persona.schema import Persona

VERBATIM_WORDS = 8
NOTHING_KNOWN = "the evidence says nothing about the person"
MINOR = "the person says to be under 18"
_NO_WORD = re.compile(r"[^\w'|]+")
_MARKS_TO_SPACES = {code: " " for code in range(128) if _NO_WORD.match(chr(code))}
TextGuard = Callable[[str], Sequence[str]]

# Name, what every match holds (quick to look for, and most texts have none), and the pattern.
_PATTERNS: tuple[tuple[str, re.Pattern[str], re.Pattern[str]], ...] = (
    (
        "e-mail",
        re.compile(r"@|[\[(]at[\])]", re.I),
        re.compile(
            r"\b[\w.+-]+\s*(?:@|\[at\]|\(at\))\s*[\w-]+\s*(?:\.|\[dot\]|\(dot\))\s*\w{2,}", re.I
        ),
    ),
    (
        "URL",
        re.compile(r"://|\.\w|www\.", re.I),
        re.compile(
            r"https?://|\bwww\.|\b[\w-]+\.(?:com|org|net|io|co\.uk|info|gg|tv|me|edu|gov)\b",
            re.I,
        ),
    ),
    (
        "username",
        re.compile(r"[/@]"),
        re.compile(r"(?<![\w/])/?u/[\w-]{2,}|(?<![\w.])@[A-Za-z]\w{2,}", re.I),
    ),
    (
        "phone number",
        re.compile(r"\d{3}"),
        re.compile(r"(?<![\w.])\+?\(?\d{2,4}\)?[ .-]?\d{3}[ .-]?\d{3,4}(?!\w)|(?<!\d)\d{9,}(?!\d)"),
    ),
    (
        "street address",
        re.compile(r"\d"),
        re.compile(
            r"\b\d{1,5}[a-z]? (?:[A-Za-z][\w'-]* ){1,3}"
            r"(?:street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|"
            r"drive|dr|court|ct|place|square|terrace|highway|hwy)\b\.?"
            r"|\b[A-Z]\w*(?:straße|strasse|gasse|weg|platz) \d{1,4}\b"
            r"|\b(?:rue|calle|via|avenida|rua) (?:de la |de |du |des )?[A-Z]\w+,? \d{1,4}\b",
            re.I,
        ),
    ),
)


@cache
def _sensitive() -> Lexicon[bool]:
    return Lexicon(((phrase, True) for phrase in load_lines("sensitive.txt")), plurals=True)


def is_sensitive(text: str) -> bool:
    """Whether a text names an attribute that is never claimed (health, religion, politics, …)."""
    return bool(_sensitive().find(words(text)))


def sensitive_texts(passages: Passages) -> AbstractSet[int]:
    """The numbers of the texts that name one."""
    return _sensitive().find_in(passages).keys()


def identities_in(text: str) -> list[str]:
    """Kinds of identifying strings found: e-mail, URL, username, phone number, street address."""
    return [name for name, mark, whole in _PATTERNS if mark.search(text) and whole.search(text)]


def quotes_verbatim(text: str, sources: Iterable[str], run: int = VERBATIM_WORDS) -> bool:
    """Whether a run of `run` words of `text` stands in one of the sources, case and marks aside."""
    said = _plain_words(text)
    if len(said) < run:
        return False
    # One pass over all sources; "|" keeps a run from reaching from one into the next.
    haystack, known = _plain_cached(" | ".join(sources))
    # A run of words that all occur somewhere is rare, and only such a run is worth a search.
    length = 0
    for end, word in enumerate(said, 1):
        length = length + 1 if word in known else 0
        if length >= run and f" {' '.join(said[end - run : end])} " in haystack:
            return True
    return False


# Building a persona and checking it look at the same evidence, a batch of people apart.
@lru_cache(maxsize=1024)
def _plain_cached(text: str) -> tuple[str, frozenset[str]]:
    words_of_it = _plain_words(text)
    return f" {' '.join(words_of_it)} ", frozenset(words_of_it)


def _plain_words(text: str) -> list[str]:
    """Lower-case words, marks gone."""
    text = text.lower().replace("’", "'")
    marked = text.translate(_MARKS_TO_SPACES) if text.isascii() else _NO_WORD.sub(" ", text)
    return marked.split()


def latin_share(text: str) -> float:
    """Share of Latin letters among the letters of a text; 0 where there are none."""
    if text.isascii():
        return float(any(map(str.isalpha, text)))
    letters = [c for c in text if c.isalpha()]
    latin = sum(1 for c in letters if c.isascii() or unicodedata.name(c, "").startswith("LATIN"))
    return latin / len(letters) if letters else 0.0


# Small words that hold English together; other languages share too few of them.
_SMALL_WORDS = word_set(
    "i am i'm a an the and or of in on to for with is are it my me that this as at by but not be like "
    "who they their about from have into what which she he his her you your we our was were"
)
_ENOUGH_WORDS, _SMALL_SHARE = 8, 0.15


def is_english(text: str) -> bool:
    """Whether a text of eight words or more is English, by its share of small words."""
    said = words(text)
    return len(said) < _ENOUGH_WORDS or (
        sum(word in _SMALL_WORDS for word in said) >= _SMALL_SHARE * len(said)
    )


class Analyzer(Protocol):
    """What Presidio's AnalyzerEngine has: entities of a text, with a type and a score each."""

    def analyze(self, text: str, language: str) -> Sequence[Any]:
        """Entities with `entity_type` and `score`."""
        ...


# Entity types that a persona may name: where somebody lives and how old they are is its subject.
_ALLOWED_ENTITIES = frozenset(("LOCATION", "NRP", "DATE_TIME", "AGE"))
_SURE = 0.6


def analyzer_guard(analyzer: Analyzer) -> TextGuard:
    """A guard by a finder of personal data: names of people, accounts, numbers of any country."""

    def guard(text: str) -> list[str]:
        kinds = {
            str(entity.entity_type)
            for entity in analyzer.analyze(text=text, language="en")
            if entity.score >= _SURE and entity.entity_type not in _ALLOWED_ENTITIES
        }
        return [f"{kind.lower().replace('_', ' ')} in the text" for kind in sorted(kinds)]

    return guard


def load_guards(settings: PersonaSettings) -> tuple[TextGuard, ...]:
    """The guards that the settings plug in: `persona.analyzer` as "module:factory".

    Raises ValueError that names the setting where there is no such factory.
    """
    if not settings.analyzer:
        return ()
    module, _, factory = settings.analyzer.partition(":")
    try:
        make = getattr(importlib.import_module(module), factory)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"persona.analyzer {settings.analyzer!r} cannot be loaded ({error}): install the package, "
            'and write it as "module:factory", such as "presidio_analyzer:AnalyzerEngine"'
        ) from error
    return (analyzer_guard(make()),)


def problems(
    persona: Persona,
    evidence_ids: frozenset[str],
    evidence_texts: Sequence[str],
    settings: PersonaSettings,
    extra: Sequence[TextGuard] = (),
) -> list[str]:
    """Why a persona must not be used; empty if it may.

    `evidence_ids` are the ids that claims may cite, `evidence_texts` what must not be quoted. A
    persona written by hand passes `frozenset()` and `[]`: its claims then need no evidence.
    """
    found: list[str] = [MINOR] if any_minor(evidence_texts) else []
    if not persona.claims() and not persona.summary:
        return [*found, NOTHING_KNOWN]
    shortest, longest = settings.summary_chars
    if not shortest <= len(persona.summary) <= longest:
        found.append(f"summary has {len(persona.summary)} characters, not {shortest} to {longest}")
    if persona.summary and latin_share(persona.summary) < settings.min_latin_share:
        found.append("summary is not in English letters")
    elif evidence_ids and not is_english(persona.summary):
        found.append("summary is not in English")
    labels = [label for label, _ in persona.claims()]
    text = "\n".join([persona.summary, *labels])
    found += [f"{kind} in the text" for kind in identities_in(text)]
    for guard in extra:
        found += guard(text)
    if addresses_a_model(text):
        found.append("gives orders to a language model")
    if is_sensitive(text):
        found.append("claims a sensitive attribute")
    if any(quotes_verbatim(part, evidence_texts) for part in [persona.summary, *labels]):
        found.append(f"quotes {VERBATIM_WORDS} or more words of the evidence")
    if evidence_ids:
        found += _unsupported(persona, evidence_ids)
    return found


def _unsupported(persona: Persona, evidence_ids: frozenset[str]) -> list[str]:
    claims = persona.claims()
    bare = sum(1 for _, ids in claims if not ids)
    invented = sum(1 for _, ids in claims if ids and not evidence_ids.issuperset(ids))
    found = [f"{bare} claims without evidence"] if bare else []
    if invented:
        found.append(f"{invented} claims cite evidence that does not exist")
    return found
