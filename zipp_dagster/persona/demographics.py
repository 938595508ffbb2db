"""What people say about themselves: age, gender, country, language, profession.

Only first-person statements count ("I'm a nurse", "(27F)", "here in Ohio"), and names of
communities of a country or a trade, weakly. Nothing is inferred from style, names or opinions, and
sensitive attributes (health, religion, politics, sexuality, ethnicity) are never looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final, NamedTuple

from zipp_dagster.persona.contexts import split_community
from zipp_dagster.persona.lexicon import (
    Hit,
    Lexicon,
    Passages,
    WordList,
    load_lines,
    load_yaml,
    split_list,
    word_set,
    words,
)
from zipp_dagster.persona.schema import AGE_BANDS

# How much one statement of a kind is worth; what several are worth is in `demographic_claims`.
_STATED, _LIKELY, _HINT = 0.8, 0.6, 0.3

_SELF = r"\b(?:i'm|im|i am)"
_OLD = r"(?:years?|yrs?|yo|y/o)"
_AGE = re.compile(
    rf"{_SELF} (?:a |an |only |now |already |just )?(\d\d)"
    rf"(?=\s*(?:[.,;!?)/]|$|and\b|-?{_OLD}\b|f\b|m\b))"
    r"|[(\[]\s*(\d\d) ?/? ?[fm]\s*[)\]]|[(\[]\s*[fm] ?/? ?(\d\d)\s*[)\]]"
    r"|\((\d\d) here\b"
    rf"|\bas a (\d\d)[ -]?(?:{_OLD}(?:[ -]?old)?)\b"
    r"|\bi (?:just|recently|finally) turned (\d\d)\b"
    r"|\bi turned (\d\d) (?:last|this|in|on|yesterday|today|a few)\b"
    r"|(?:^|[.!?] )(?:just )?turned (\d\d) (?:last|this|in|on|yesterday|today)\b"
    r"|\bmy (\d\d)(?:th|st|nd|rd) birthday"
)
_DECADE = re.compile(
    r"\b(?:i'm|im|i am|being|still|here) in my (early |mid |mid-|late )?"
    r"(20s|30s|40s|50s|60s|70s|twenties|thirties|forties|fifties|sixties|seventies)\b"
)
_DECADES = {"tw": 20, "20": 20, "th": 30, "30": 30, "fo": 40, "40": 40, "fi": 50, "50": 50}
_DECADES |= {"si": 60, "60": 60, "se": 70, "70": 70}
_GENDER = re.compile(
    rf"(?:\bas an? |{_SELF} (?:an? |just an? )?|\bspeaking as an? )"
    r"(?:(?!your\b|her\b|his\b|their\b|not\b|no\b)\w+ (?:old )?)?"
    r"(woman|girl|lady|female|mom|mum|mother|grandmother|wife|man|guy|dude|male|dad|father|"
    r"grandfather|husband|nonbinary|non-binary|enby)\b(?!'s)(?! (?:friendly|dominated|version|of constant))"
    r"|[(\[]\s*\d\d ?/? ?([fm])\s*[)\]]|[(\[]\s*([fm]) ?/? ?\d\d\s*[)\]]"
    r"|(?:^|[.!?,] )(dad|father|mum|mom|mother) of (?:one|two|three|four|\d)\b"
    r"|\b(they/them) here"
)
_FEMALE = word_set("woman girl lady female mom mum mother grandmother wife f")
_NONBINARY = frozenset(("nonbinary", "non-binary", "enby", "they/them"))
_PLACE = re.compile(
    r"(?:(?:\bi|\band|\bwe) live in |\bi'm living in |\bliving in |\bi come from |\bhere in |"
    r"\bborn and raised in |\bi work in |"
    r"\bup here in |\bdown here in |\bgreetings from |\bmy hometown (?:of |is )?|"
    r"\bmoved (?:back )?to |"
    rf"\bus folks in |{_SELF} from )([\w' ]{{2,40}})"
)
_DEMONYM = re.compile(rf"(?:\bas an? |{_SELF} (?:an? )?)([\w' ]{{2,40}})")
# What may follow "as an Australian": not "German IBM partner", "French press".
_AFTER_DEMONYM = word_set(
    "who i i'm i've we my me our it it's this that these and but or so from living working looking "
    "citizen guy girl man woman dude lady person student expat native here myself nothing what in by"
)
_LANGUAGE = re.compile(
    r"(?:\bmy (?:native|first|mother) (?:language|tongue) is |\bnative |\bwe speak |"
    r"\bi (?:grew up speaking|speak) )(\w+)"
)
_JOB = re.compile(
    r"(?:\bi (?:currently )?work(?:ed)? as an? |\bworking as an? |\bmy (?:day )?job as an? |"
    r"\bi've been an? |\bmy shift as an? |\byears? as an? |\bbeing an? |\bas an? |"
    rf"{_SELF} (?:actually |also |just |only )?an? |{_SELF} )([\w' -]{{3,40}})"
)
_JOB_HERE = re.compile(r"(?:^|[.!?] )((?:[\w'-]+ ){0,3}[\w'-]+) here\b(?! (?:is|are|was|were|has))")
_WORK_STATED = re.compile(r"work|job|been an?|shift|years? as")
# Whoever is quoted or imagined is somebody else.
_UNREAL = re.compile(
    r"(?:\bif|\bwish|\bpretend|\bimagine|\bsaid|\bsays|\blike|\bthinks?|\bwhen|\bonce|\buntil|"
    r"\bbefore|\bafter|\bhope|\bsomeday|\bone day|\bwas|\bassum\w+|[\"“'])\s*$"
)
# What must stand before a match that may be about others: "as a nurse I …" opens a clause, unlike
# "raised as a girl"; "I (27F)" and "my [M/25] wife" are the writer's, "my wife (37F)" is not.
_BEFORE: Final = (
    ("as a", re.compile(r"(?:^|[.!?,;:(\n]\s*|\b(?:i|and|but|because|speaking) )$")),
    (
        "moved",
        re.compile(r"(?:^|[.!?\n]\s*|\b(?:i|we|i've|we've|i'd) (?:just |recently |have )?)$"),
    ),
    ("(", re.compile(r"(?:^|\b(?:i|me|myself|my|i'm|i am) ?)$")),
    ("[", re.compile(r"(?:^|\b(?:i|me|myself|my|i'm|i am) ?)$")),
)


def _marks(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


_UNREAL_ENDS = _marks(
    "if|wish|pretend|imagine|said|says|like|think|thinks|when|once|until|before|after|hope|someday|"
    "day|was|\"|“|'"
)
# Plain substrings that must occur before a pattern is worth a try: most snippets have none.
_SELF_MARKS = _marks("i'm|i am|im |as a")
_ALSO_OF_GENDER = _marks(" of |they/them")
_BRACKETED_MARKS = _marks("f)|m)|f]|m]|(f|(m|[f|[m")
_PLACE_MARKS = _marks(
    "live in|living in|from |here in|up in|moved |work in|hometown|folks in|raised in"
)
_LANGUAGE_MARKS = _marks("speak|language is|tongue is|native ")
_JOB_MARKS = _marks("work as a|worked as a|working as a|job as a|been a|shift as a|being a")
_JOB_MARKS += _marks("years as a|year as a")
_AGE_MARKS = _marks("i'm |i am |im |as a |turned |birthday|(|[")
# An age is two digits by themselves; longer numbers are everywhere. What stands before comes last, so
# that a search skips to the digits.
_TWO_DIGITS = re.compile(r"\d\d(?!\d)(?<!\d\d\d)")
_TEENS = re.compile(r"1[0-7](?!\d)(?<!\d\d\d)")

# Of the words of a text, one look tells which of those checks can find anything at all.
_SELF_CUES = word_set("i'm im am as")
_PLACE_CUES = word_set("live living from here up down moved work hometown folks raised come")
_LANGUAGE_CUES = word_set("speak speaking language tongue native")
_JOB_CUES = word_set("work worked working job been shift being year years")
_OTHER_CUES = word_set("my of they them here's here'll here'd here're")
_CUES = WordList(_SELF_CUES | _PLACE_CUES | _LANGUAGE_CUES | _JOB_CUES | _OTHER_CUES)
_GENDER_WORDS = WordList(
    word_set(
        "woman girl lady female mom mum mother grandmother wife man guy dude male dad father "
        "grandfather husband nonbinary binary enby they"
    )
)
# What stands before the digits of an age is no longer than this.
_AGE_REACH: Final = 40


@dataclass(frozen=True, slots=True)
class Statement:
    """One self-description: the field, its value, what it is worth (0..1)."""

    field: str
    value: str
    worth: float


@cache
def _countries() -> Lexicon[str]:
    return Lexicon(
        (name, country)
        for country, facts in country_facts().items()
        for known in [country, *split_list(facts["names"])]
        for name in {known: 0, known.replace(" ", ""): 0}  # communities run words together
    )


@cache
def country_facts() -> Mapping[str, Mapping[str, str]]:
    """Country to its names, region and main language."""
    return {
        country: facts
        for country, facts in load_yaml("countries.yml").items()
        if isinstance(facts, dict)
    }


@cache
def _languages() -> Mapping[str, str]:
    return {facts["language"].lower(): facts["language"] for facts in country_facts().values()}


def country_named(text: str) -> str | None:
    """The country of exactly this name, place or demonym, as `country_facts` calls it."""
    return _countries().get(text)


def language_named(text: str) -> str | None:
    """The language of this name, as `country_facts` writes it."""
    return _languages().get(text.lower())


@cache
def _professions() -> Lexicon[str]:
    entries: list[tuple[str, str]] = []
    for line in load_lines("professions.txt"):
        name, _, others = line.partition("=")
        entries += [(form, name.strip()) for form in [name.strip(), *split_list(others)]]
    return Lexicon(entries, plurals=True)


def statements_in(passages: Passages) -> dict[int, list[Statement]]:
    """Self-descriptions in somebody's texts, by the number of the text."""
    cues = passages.words(_CUES)
    # Most texts name no country, no trade, no man and no woman: nothing to look for.
    lands = passages.words(_countries().triggers)
    trades = passages.words(_professions().triggers)
    genders = passages.words(_GENDER_WORDS)
    found: dict[int, list[Statement]] = {}
    for number, text in enumerate(passages.texts):
        digits = _TWO_DIGITS.search(text)
        if digits or number in cues:
            named = _Named(
                cues.get(number, frozenset()), number in lands, number in trades, number in genders
            )
            found[number] = _statements(text.lower().replace("’", "'"), named, digits)
    return found


class _Named(NamedTuple):
    """What a text names: words that self-descriptions have, countries, trades, men and women."""

    cues: AbstractSet[str]
    lands: bool
    trades: bool
    genders: bool


def _statements(text: str, named: _Named, number: re.Match[str] | None) -> list[Statement]:
    cues = named.cues
    about_self = not cues.isdisjoint(_SELF_CUES) and _any(text, _SELF_MARKS)
    found: list[Statement] = []
    if number and _any(text, _AGE_MARKS):
        found += _ages(text, number.start())
    if "my" in cues and " in my " in text:
        found += _decades(text)
    gendered = named.genders and (about_self or _any(text, _ALSO_OF_GENDER))
    if gendered or (number and (named.genders or _any(text, _BRACKETED_MARKS))):
        found += _genders(text)
    if named.lands and not cues.isdisjoint(_PLACE_CUES) and _any(text, _PLACE_MARKS):
        found += _places(text)
    if named.lands and about_self:
        found += _demonyms(text)
    if not cues.isdisjoint(_LANGUAGE_CUES) and _any(text, _LANGUAGE_MARKS):
        spoken = (match.group(1) for match in _LANGUAGE.finditer(text))
        found += [
            Statement("language", _languages()[s], _STATED) for s in spoken if s in _languages()
        ]
    if named.trades and (about_self or (not cues.isdisjoint(_JOB_CUES) and _any(text, _JOB_MARKS))):
        found += _jobs(text)
    if named.trades and " here" in text:
        found += _jobs_here(text)
    return found


def any_minor(texts: Sequence[str]) -> bool:
    """Whether the author of texts says to be under 18: of such people nothing is kept at all."""
    # One look at all texts: most people write no such number.
    return _TEENS.search("\n".join(texts)) is not None and any(map(_says_minor, texts))


def _says_minor(text: str) -> bool:
    if _TEENS.search(text) is None:
        return False
    text = text.lower().replace("’", "'")
    return _any(text, _AGE_MARKS) and any(
        10 <= int(next(group for group in match.groups() if group)) < 18 and _real(text, match)
        for match in _AGE.finditer(text)
    )


@lru_cache(maxsize=100_000)
def statements_of_community(name: str) -> tuple[Statement, ...]:
    """What being in a community hints at: a country or a trade, if the name is one."""
    split = split_community(name)
    country = _countries().get(split) or _countries().get(name)
    found = (Statement("country", country, _HINT),) if country else ()
    trades = {hit.value for hit in _professions().find(split.split())}
    # "Teachers", "NurseBreakRoom": of several trades in a name none is known.
    return (*found, *(Statement("profession", t, _HINT) for t in trades if len(trades) == 1))


def _real(text: str, match: re.Match[str]) -> bool:
    before = text[max(0, match.start() - 20) : match.start()]
    found = match.group(0)
    for opening, needed in _BEFORE:
        if found.startswith(opening) and not needed.search(before):
            return False
    ending = before.rstrip()
    if not ending.endswith(_UNREAL_ENDS) and "assum" not in ending:
        return True  # nearly always, and quicker than the pattern
    return not _UNREAL.search(before)


def _any(text: str, marks: Iterable[str]) -> bool:
    return any(map(text.__contains__, marks))


def _ages(text: str, first: int) -> list[Statement]:
    """Stated ages; the text's first two digits stand at `first`."""
    found = []
    for match in _AGE.finditer(text, max(0, first - _AGE_REACH)):
        age = int(next(group for group in match.groups() if group))
        # Nothing is inferred about minors; two digits above 90 are something else.
        if 18 <= age <= 90 and _real(text, match):
            found.append(Statement("age_band", age_band(age), _STATED))
    return found


def age_of_decade(part: str, decade: str) -> int:
    """A year of age in "mid" "thirties": `part` is early, mid, late or empty."""
    return _DECADES[decade[:2]] + {"early": 2, "mid": 5, "late": 8}.get(part, 4)


def _decades(text: str) -> list[Statement]:
    found = []
    for match in _DECADE.finditer(text):
        part = (match.group(1) or "").strip(" -")
        age = age_of_decade(part, match.group(2))
        found.append(Statement("age_band", age_band(age), _STATED if part else _LIKELY))
    return found


def _genders(text: str) -> list[Statement]:
    found = []
    for match in _GENDER.finditer(text):
        word = next(group for group in match.groups() if group)
        gender = "female" if word in _FEMALE else "nonbinary" if word in _NONBINARY else "male"
        if _real(text, match):
            found.append(Statement("gender", gender, _STATED))
    return found


def _places(text: str) -> list[Statement]:
    found = []
    for match in _PLACE.finditer(text):
        tail = words(match.group(1))[:4]
        # "in old Ohio", "from the Netherlands": one word may stand before the name.
        hits = [hit for hit in _countries().find(tail) if hit.start <= 1]
        if hits and _real(text, match):
            found.append(Statement("country", hits[0].value, _STATED))
    return found


def _demonyms(text: str) -> list[Statement]:
    found = []
    for match in _DEMONYM.finditer(text):
        tail = words(match.group(1))[:5]
        hits = [hit for hit in _countries().find(tail) if _is_own(tail, hit)]
        if hits and _real(text, match):
            found.append(Statement("country", hits[0].value, _LIKELY))
    return found


def _is_own(tail: Sequence[str], hit: Hit[str]) -> bool:
    """Whether "I'm German" or "I'm a nurse in Toronto" is said, and not "I'm a German food fan"."""
    if hit.start == 0:
        return hit.end >= len(tail) or tail[hit.end] in _AFTER_DEMONYM
    return tail[hit.start - 1] == "in" and bool(_professions().find(tail[: hit.start - 1]))


def _jobs(text: str) -> list[Statement]:
    found = []
    for match in _JOB.finditer(text):
        tail = words(match.group(1))[:4]
        hits = [hit for hit in _professions().find(tail) if hit.start <= 2]
        if not hits:
            continue
        lead = match.group(0)[: match.start(1) - match.start()]
        bare = lead.rstrip().endswith(("i'm", "im", "am"))
        if (bare and tail[:1] != ["retired"]) or not _real(text, match):
            continue
        hit = hits[0]
        # "I'm a student of history" is one, "I'm a chef's kiss kind of person" is not.
        if hit.end < len(tail) and tail[hit.end] in (
            "fan",
            "friend",
            "wife",
            "husband",
            "kind",
            "type",
        ):
            continue
        stated = _WORK_STATED.search(lead) is not None
        found.append(Statement("profession", hit.value, _STATED if stated else _LIKELY))
    return found


def _jobs_here(text: str) -> list[Statement]:
    """Trades like "Nurse here.", at the start of a sentence."""
    said = (words(match.group(1)) for match in _JOB_HERE.finditer(text))
    hits = (hit for tail in said for hit in _professions().find(tail) if hit.end == len(tail))
    return [Statement("profession", hit.value, _STATED) for hit in hits]


def age_band(age: int) -> str:
    """The age band that an age in years falls into."""
    for band in AGE_BANDS[:-1]:
        if age <= int(band[3:]):
            return band
    return AGE_BANDS[-1]
