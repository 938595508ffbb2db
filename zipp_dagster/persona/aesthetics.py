"""Visual style in words: which style phrases a text holds, and whether its author likes them.

Two readings. `style_of_prompt` reads an image prompt, where every style word counts. `tastes_in`
reads what somebody said, where everyday words ("dark") count only beside words of taste or looks,
a clause with "hate" or "can't stand" is a dislike, and the subject that it was said about decides
the context. Word lists: `vocabulary/aesthetics.yml`, `vocabulary/speech.yml`; colours: `colors.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final, NamedTuple, get_args

from zipp_dagster.persona import contexts
from zipp_dagster.persona.colors import COLORS, GLOW, HEADS, MUTED, SOFT, find_colors
from zipp_dagster.persona.lexicon import (
    Hit,
    Lexicon,
    Passages,
    WordList,
    is_sentence_end,
    load_yaml,
    split_list,
    tokenize,
    word_set,
)
from zipp_dagster.persona.schema import Facet

FACETS: Final[tuple[Facet, ...]] = get_args(Facet)
GENERAL: Final = "general"


class Term(NamedTuple):
    """A style term: facet, canonical phrase, and how much its alias says by itself.

    `force` is "strong", "weak" (an everyday word as well) or "prompt" (style in prompts only).
    """

    facet: Facet
    phrase: str
    force: str


@dataclass(frozen=True, slots=True)
class Taste:
    """One thing said about style. `weight` is negative for a dislike; 1 is a plain statement."""

    context: str
    facet: Facet
    phrase: str
    weight: float


_MARKS: Final = {"~": "weak", "=": "prompt"}
# Beside a cue ("love", "hate") a statement counts fully. A picture described in two facets or more
# ("a cabin, pen and ink, pastel tones"), or in the first person, counts half; beside a word of
# looks ("watercolor print") or by the name of a community, less; a bare mention least.
_STATED: Final = 1.0
_DESCRIBED: Final = 0.5
_LOOKS: Final = 0.4
_HINT: Final = 0.4
_MENTION: Final = 0.25
# An everyday word beside words of looks only: two statements make a taste, one does not.
_WEAK: Final = 0.6
# Praise for others, questions, what a cousin likes: hardly the author's own taste.
_ABOUT_OTHERS: Final = 0.25
_FIRST_PERSON: Final = word_set("i i'm i've i'd i'll im ive my me mine we our us")
_COLOR_MANNERS: Final = SOFT | GLOW | MUTED
# Further apart than this, words of a long sentence have little to do with each other: a feeling and
# a style, a word of looks and an everyday word.
_CUE_REACH: Final = 9
_LOOKS_REACH: Final = 5
# The context comes from further away: sentence, snippet, community.
_FROM_SNIPPET: Final = 0.8
_FROM_COMMUNITY: Final = 0.6


@cache
def style_lexicon() -> Lexicon[Term]:
    """All style phrases, with the force of each alias."""
    entries: list[tuple[str, Term]] = []
    loaded = load_yaml("aesthetics.yml")
    for facet in FACETS:
        terms = loaded.get(facet)
        if not isinstance(terms, dict):
            raise ValueError(f"aesthetics.yml has no facet {facet!r}: it needs {', '.join(FACETS)}")
        for phrase, aliases in terms.items():
            # The first entry of a phrase counts, so an alias may mark its own canonical phrase.
            for alias in split_list(aliases):
                force = _MARKS.get(alias[0], "strong")
                entries.append((alias.lstrip("~="), Term(facet, phrase, force)))
            entries.append((phrase, Term(facet, phrase, "strong")))
    return Lexicon(entries, plurals=True)


class _Speech(NamedTuple):
    cues: Lexicon[str]
    looks: frozenset[str]
    others: frozenset[str]
    general: Lexicon[str]


@cache
def _speech() -> _Speech:
    lists = {name: split_list(str(text)) for name, text in load_yaml("speech.yml").items()}
    # Longer phrases win; on equal length the first listed: "not" is a negator before a contrast.
    cues = [
        (phrase, kind)
        for kind in ("neutral", "negator", "like", "dislike", "contrast")
        for phrase in lists[kind]
    ]
    cues += [("but", "break"), ("although", "break"), ("though", "break"), ("however", "break")]
    cues += [("while", "break"), ("whereas", "break"), ("except", "break"), ("yet", "break")]
    return _Speech(
        Lexicon(cues),
        frozenset(lists["looks"]),
        frozenset(lists["others"]),
        Lexicon((phrase, "general") for phrase in lists["general"]),
    )


def find_styles(tokens: Sequence[str]) -> list[Hit[Term]]:
    """Style phrases of a token list, in order: listed phrases first, then colour phrases."""
    listed = style_lexicon().find(tokens)
    colors = find_colors(tokens)
    # Colours alone are a palette where the grammar says so: "black and white", not before "cat".
    listed = [
        hit
        for hit in listed
        if not all(token in COLORS or token == "and" for token in tokens[hit.start : hit.end])
        or any(color.start <= hit.start and hit.end <= color.end for color in colors)
    ]
    if not colors:
        return listed
    # Of two overlapping readings the longer wins: "pale pink and mint" over "pale pink".
    chosen: list[Hit[Term]] = []
    found = listed + [Hit(c.start, c.end, _palette(tokens[c.start : c.end], c)) for c in colors]
    for hit in sorted(found, key=lambda h: (h.start - h.end, h.start, h.value.facet != "palette")):
        if all(hit.end <= other.start or hit.start >= other.end for other in chosen):
            chosen.append(hit)
    return sorted(chosen, key=lambda hit: hit.start)


def _palette(run: Sequence[str], hit: Hit[str]) -> Term:
    """A colour phrase; without a word of looks it may as well be about a hat or a jersey."""
    plain = HEADS.isdisjoint(run) and _COLOR_MANNERS.isdisjoint(run)
    return Term("palette", hit.value, "weak" if plain else "strong")


def style_of_prompt(prompt: str) -> dict[Facet, str]:
    """Facet to canonical phrase of an image prompt; the first of a facet counts."""
    styles: dict[Facet, str] = {}
    for hit in find_styles(tokenize(prompt)):
        styles.setdefault(hit.value.facet, hit.value.phrase)
    return styles


def canonical(phrase: str) -> str | None:
    """The canonical phrase that a style phrase means, or None if the vocabulary has none."""
    hits = find_styles(tokenize(phrase))
    return hits[0].value.phrase if hits else None


def tastes_in(text: str, community: str = "", tokens: Sequence[str] | None = None) -> list[Taste]:
    """What the author of a text likes (weight > 0) and dislikes (< 0), with contexts.

    `community` is where it was said; its subject is the last resort for a context.
    """
    tokens = tokenize(text) if tokens is None else tokens
    hits = [hit for hit in find_styles(tokens) if hit.value.force != "prompt"]
    if not hits:
        return []
    subjects = contexts.find_subjects(tokens, in_speech=True)
    # A style phrase is no subject ("stained glass window"), and a longer subject is no style.
    hits = [h for h in hits if not _inside(h, subjects)]
    subjects = [s for s in subjects if not _inside(s, hits)]
    found: list[Taste] = []
    start = 0
    for end in [*(i for i, token in enumerate(tokens) if is_sentence_end(token)), len(tokens)]:
        inside = [hit for hit in hits if start <= hit.start < end]
        if inside:
            found += _sentence(tokens, start, end, inside, subjects, community)
        start = end + 1
    return found


def telling_texts(passages: Passages) -> AbstractSet[int]:
    """The numbers of the texts that may say something of a taste: `tastes_in` finds none in others.

    Everyday words and plain colours count only beside an unmistakable style or a word of looks.
    """
    styled = {
        number
        for number, hits in style_lexicon().find_in(passages).items()
        if any(hit.value.force == "strong" for hit in hits)
    }
    return styled | passages.words(_looking_words()).keys()


@cache
def _looking_words() -> WordList:
    return WordList(_speech().looks | HEADS | _COLOR_MANNERS)


def _inside(hit: Hit, others: Sequence[Hit]) -> bool:
    size = hit.end - hit.start
    return any(
        other.start <= hit.start and hit.end <= other.end and other.end - other.start > size
        for other in others
    )


def _sentence(
    tokens: Sequence[str],
    start: int,
    end: int,
    hits: Sequence[Hit[Term]],
    subjects: Sequence[Hit[str]],
    community: str,
) -> list[Taste]:
    """The tastes of one sentence: polarity by clause, context by the nearest subject."""
    cues = [
        cue
        for cue in _cues(tokens[start:end], start)
        if all(cue.end <= hit.start or cue.start >= hit.end for hit in hits)
    ]
    here = [s for s in subjects if start <= s.start < end]
    said = set(tokens[start:end])
    is_general = not here and bool(_speech().general.find(tokens[start:end]))
    styled = {i for hit in hits for i in range(hit.start, hit.end)}
    looking = [i for i in range(start, end) if i not in styled and tokens[i] in _speech().looks]
    strong = [hit for hit in hits if hit.value.force == "strong"]
    unmistakable, looks = bool(strong), bool(looking)
    about_style = looks or unmistakable
    is_question = end < len(tokens) and "?" in tokens[end]
    distant = _FIRST_PERSON.isdisjoint(said) and (
        is_question or not _speech().others.isdisjoint(said)
    )
    described = len({hit.value.facet for hit in hits}) > 1 or not _FIRST_PERSON.isdisjoint(said)
    unsaid = _DESCRIBED if about_style and described else _LOOKS if looks else _MENTION
    found = []
    for hit in hits:
        if hit.value.force == "weak" and not _about_looks(hit, looking, strong):
            continue
        weight = _polarity(tokens, start, end, cues, hit) * _STATED or unsaid
        context, certainty = _context(hit, here, subjects, is_general, community)
        weight *= certainty * (_ABOUT_OTHERS if distant else 1.0)
        weight *= _WEAK if hit.value.force == "weak" and not unmistakable else 1.0
        found.append(Taste(context, hit.value.facet, hit.value.phrase, weight))
    return found


def _about_looks(hit: Hit[Term], looking: Sequence[int], strong: Sequence[Hit[Term]]) -> bool:
    """Whether a word of looks or an unmistakable style stands near an everyday word."""
    return any(hit.start - _LOOKS_REACH <= i < hit.end + _LOOKS_REACH for i in looking) or any(
        max(s.start - hit.end, hit.start - s.end) <= _CUE_REACH for s in strong
    )


def _context(
    hit: Hit[Term],
    here: Sequence[Hit[str]],
    subjects: Sequence[Hit[str]],
    is_general: bool,
    community: str,
) -> tuple[str, float]:
    if here:
        nearest = min(here, key=lambda s: (max(s.start - hit.end, hit.start - s.end), s.start))
        return nearest.value, 1.0
    if is_general:
        return GENERAL, 1.0
    before = [s for s in subjects if s.start < hit.start]
    if before:
        return before[-1].value, _FROM_SNIPPET
    of_community = contexts.context_of_community(community) if community else None
    if of_community:
        return of_community, _FROM_COMMUNITY
    return (subjects[0].value, _FROM_COMMUNITY) if subjects else (GENERAL, 1.0)


@lru_cache(maxsize=100_000)
def tastes_of_community(name: str) -> tuple[Taste, ...]:
    """What being in a community of a style hints at: "WatercolorArt", "PixelPortraits"."""
    tokens = contexts.split_community(name).split()
    context = contexts.context_of_community(name) or GENERAL
    return tuple(
        Taste(context, hit.value.facet, hit.value.phrase, _HINT)
        for hit in find_styles(tokens)
        if hit.value.force == "strong"
    )


def _cues(tokens: Sequence[str], offset: int) -> list[Hit[str]]:
    """Likes, dislikes, contrasts and breaks, a negator already applied to what follows it."""
    raw = _speech().cues.find(tokens)
    cues: list[Hit[str]] = []
    negated_until = -1
    for cue in raw:
        kind = cue.value
        if kind == "negator":
            # "not a fan", "don't really love": it reaches a few words, and no further cue.
            negated_until = cue.end + 4
            if not any(
                c.value in ("like", "dislike") and cue.end <= c.start <= negated_until for c in raw
            ):
                cues.append(Hit(cue.start + offset, cue.end + offset, "contrast"))
            continue
        if kind in ("like", "dislike") and cue.start <= negated_until:
            kind = "dislike" if kind == "like" else "like"
            negated_until = -1
        cues.append(Hit(cue.start + offset, cue.end + offset, kind))
    return cues


def _polarity(
    tokens: Sequence[str], start: int, end: int, cues: Sequence[Hit[str]], hit: Hit[Term]
) -> float:
    """+1 liked, -1 disliked, 0 unsaid: the nearest cue of the clause, flipped after a contrast."""
    left = [c for c in cues if c.end <= hit.start]
    right = [c for c in cues if c.start >= hit.end]
    breaks = [c.end for c in left if c.value == "break"]
    clause_start = max(breaks, default=start)
    clause_end = min((c.start for c in right if c.value == "break"), default=end)
    commas = [i for i in range(clause_start, hit.start) if tokens[i] == ","]
    segment_start = commas[-1] if commas else clause_start
    segment_end = next((i for i in range(hit.end, clause_end) if tokens[i] == ","), clause_end)

    feelings = [
        c
        for c in cues
        if c.value in ("like", "dislike")
        and max(c.start - hit.end, hit.start - c.end) <= _CUE_REACH
    ]
    own = [c for c in feelings if segment_start <= c.start < segment_end]
    carried = [c for c in feelings if clause_start <= c.start < segment_start]
    later = [c for c in feelings if segment_end <= c.start < clause_end]
    pool = own or carried[-1:] or later[:1]
    if not pool:
        # "no neon please", "never neon": a negator alone right before the phrase is a dislike.
        near = [c for c in left if c.value == "contrast" and 0 <= hit.start - c.end <= 1]
        if not near or near[-1].start < segment_start:
            return 0.0
        # "never seen", "no clear sky": a bare negative by nobody in particular is hardly a dislike.
        said = set(tokens[start:end])
        return -1.0 if "please" in said or not _FIRST_PERSON.isdisjoint(said) else -_DESCRIBED
    before = [c for c in pool if c.end <= hit.start]
    cue = before[-1] if before else pool[0]
    sign = 1.0 if cue.value == "like" else -1.0
    contrasts = [
        c
        for c in left
        if c.value == "contrast" and c.start >= clause_start and c.start >= cue.start
    ]
    if not contrasts and cue.start >= hit.end:
        # "watercolor over oil is my thing": the cue comes last, the contrast before the phrase.
        contrasts = [c for c in left if c.value == "contrast" and c.start >= segment_start]
    return -sign if contrasts and sign > 0 else sign
