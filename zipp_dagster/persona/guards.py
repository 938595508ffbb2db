"""What makes a persona unsafe to keep: identities, quotations, claims without evidence, bounds.

Rules see patterns, not meaning: a name in plain words ("my friend Ana"), a rare biography or a
paraphrase are beyond them. A finder that knows names can be given as `extra` (text to reasons).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache

from zipp_dagster.persona.config import PersonaSettings
from zipp_dagster.persona.demographics import says_minor
from zipp_dagster.persona.lexicon import Lexicon, load_lines, words
from zipp_dagster.persona.schema import Persona

VERBATIM_WORDS = 8
NOTHING_KNOWN = "the evidence says nothing about the person"
MINOR = "the person says to be under 18"
_NO_WORD = re.compile(r"[^\w'|]+")
TextGuard = Callable[[str], Sequence[str]]

_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "e-mail",
        re.compile(
            r"\b[\w.+-]+\s*(?:@|\[at\]|\(at\))\s*[\w-]+\s*(?:\.|\[dot\]|\(dot\))\s*\w{2,}", re.I
        ),
    ),
    (
        "URL",
        re.compile(
            r"https?://|\bwww\.|\b[\w-]+\.(?:com|org|net|io|co\.uk|info|gg|tv|me|edu|gov)\b",
            re.I,
        ),
    ),
    ("username", re.compile(r"(?<![\w/])/?u/[\w-]{2,}|(?<![\w.])@[A-Za-z]\w{2,}", re.I)),
    (
        "phone number",
        re.compile(r"(?<![\w.])\+?\(?\d{2,4}\)?[ .-]?\d{3}[ .-]?\d{3,4}(?!\w)|(?<!\d)\d{9,}(?!\d)"),
    ),
    (
        "street address",
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


def sensitive_words(tokens: Sequence[str]) -> bool:
    """The same for the tokens of a text."""
    return bool(_sensitive().find(tokens))


def identities_in(text: str) -> list[str]:
    """Kinds of identifying strings found: e-mail, URL, username, phone number, street address."""
    return [name for name, pattern in _PATTERNS if pattern.search(text)]


def quotes_verbatim(text: str, sources: Iterable[str], run: int = VERBATIM_WORDS) -> bool:
    """Whether a run of `run` words of `text` stands in one of the sources, case and marks aside."""
    said = _plain(text).split()
    if len(said) < run:
        return False
    # One pass over all sources; "|" keeps a run from reaching from one into the next.
    haystack = _plain_cached(" | ".join(sources))
    return any(f" {' '.join(said[i : i + run])} " in haystack for i in range(len(said) - run + 1))


# Building a persona and checking it look at the same evidence, a batch of people apart.
@lru_cache(maxsize=1024)
def _plain_cached(text: str) -> str:
    return _plain(text)


def _plain(text: str) -> str:
    """Lower-case words with one space around each, marks gone."""
    return f" {_NO_WORD.sub(' ', text.lower().replace('’', chr(39)))} "


def latin_share(text: str) -> float:
    """Share of Latin letters among the letters of a text; 0 where there are none."""
    letters = [c for c in text if c.isalpha()]
    latin = sum(1 for c in letters if c.isascii() or unicodedata.name(c, "").startswith("LATIN"))
    return latin / len(letters) if letters else 0.0


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
    found: list[str] = [MINOR] if any(map(says_minor, evidence_texts)) else []
    if not persona.claims() and not persona.summary:
        return [*found, NOTHING_KNOWN]
    shortest, longest = settings.summary_chars
    if not shortest <= len(persona.summary) <= longest:
        found.append(f"summary has {len(persona.summary)} characters, not {shortest} to {longest}")
    if persona.summary and latin_share(persona.summary) < settings.min_latin_share:
        found.append("summary is not in English letters")
    labels = [label for label, _ in persona.claims()]
    text = "\n".join([persona.summary, *labels])
    found += [f"{kind} in the text" for kind in identities_in(text)]
    for guard in extra:
        found += guard(text)
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
