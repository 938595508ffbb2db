"""Prompts: the subject without its style words, words in common, and the benchmark's cases.

A base prompt is what every method starts from. It is made in one way for all: see `base_prompt`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zipp_dagster.persona.aesthetics import GENERAL, find_styles
from zipp_dagster.persona.contexts import context_of_prompt, find_subjects
from zipp_dagster.persona.lexicon import singular, tokenize, word_set, words
from zipp_dagster.persona.schema import Persona

_TAGS: Final = re.compile(
    r"\[[^\]]*\]|\((?:oc|[^)]{0,12}px|\d+\s*[x×]\s*\d+)\)|https?://\S+", re.IGNORECASE
)
_SEPARATORS: Final = frozenset(",:();.!?|\n")
# Words that a style phrase leaves behind: they carry no subject.
_GLUE: Final = word_set(
    "a an the in on of at with by as and or to for from under during into this that style styled "
    "look painting paintings drawing drawings art artwork picture image photo illustration render "
    "rendering print color colors tone tones hue hues shades palette light lighting scene mood "
    "atmosphere vibe vibes feel aesthetic very really some rendered painted drawn done made shot "
    "set against using beautiful gorgeous stunning"
)
_CONNECTORS: Final = word_set("in on of at with by as under during and like into using a an the")
# Left of a removed phrase these stay dangling ("a fox in"), right of it "of" does ("painting of").
_LINKING: Final = word_set("in on at with by as under during and into using like of the")
REFERENCE_F1: Final = 0.8


def base_prompt(title: str) -> str:
    """The title without its style words: the subject that every method starts from.

    1. Lower case; tags in brackets and links go; commas, colons and brackets separate segments.
    2. Phrases that the aesthetic vocabulary or the colour grammar know are removed, with the small
       words that tied them to the subject ("in", "painting of").
    3. A segment of which only such words are left goes. So does one beside the subject's that lost
       a style phrase and names no subject of its own.
    4. If nothing is left, the title's first segment stays as it was.
    """
    segments = _segments(_TAGS.sub(" ", title.lower()))
    styled = [_without_style(segment) for segment in segments]
    subject = _subject_segment(styled)
    kept = [
        " ".join(rest)
        for i, (rest, removed) in enumerate(styled)
        if not _GLUE.issuperset(rest) and (i == subject or not removed or find_subjects(rest))
    ]
    return ", ".join(kept) or " ".join(segments[0] if segments else words(title))


def _segments(text: str) -> list[list[str]]:
    """Token lists between separators; commas inside a colour phrase separate nothing."""
    tokens = tokenize(text)
    inside = {i for hit in find_styles(tokens) for i in range(hit.start, hit.end)}
    segments: list[list[str]] = [[]]
    for i, token in enumerate(tokens):
        if token[0] in _SEPARATORS and i not in inside:
            segments.append([])
        else:
            segments[-1].append(token)
    return [segment for segment in segments if segment]


def _without_style(segment: Sequence[str]) -> tuple[list[str], bool]:
    """A segment's words without style phrases, and whether there were any."""
    subjects = find_subjects(segment)
    # "a hot air balloon", "stained glass": the longer reading of overlapping words wins.
    hits = [
        hit
        for hit in find_styles(segment)
        if not any(
            s.start <= hit.start and hit.end <= s.end and s.end - s.start > hit.end - hit.start
            for s in subjects
        )
    ]
    rest: list[str] = []
    position = 0
    for hit in hits:
        rest += segment[position : hit.start]
        position = hit.end
        follows = segment[position : position + 1]
        if follows and follows[0] in ("of", "painting", "drawing", "style", "art", "render"):
            while position < len(segment) and segment[position] in _GLUE - {"a", "an", "the"}:
                position += 1
        elif not follows or follows[0] in _LINKING or follows[0] == ",":
            while rest and rest[-1] in _CONNECTORS:
                rest.pop()
    rest += segment[position:]
    rest = [word for word in rest if word[0].isalnum()]
    if hits:
        while rest and rest[0] in _LINKING:
            rest.pop(0)
        while rest and rest[-1] in _CONNECTORS:
            rest.pop()
    return _articles(rest), bool(hits)


def _articles(rest: list[str]) -> list[str]:
    """Mends articles that a removed adjective left behind: "a an old castle", "a owl"."""
    out: list[str] = []
    for i, word in enumerate(rest):
        after = rest[i + 1] if i + 1 < len(rest) else ""
        if word in ("a", "an", "the") and after in ("a", "an", "the", ""):
            continue
        if word in ("a", "an") and after:
            word = (
                "an" if after[0] in "aeiou" and not after.startswith(("uni", "one", "use")) else "a"
            )
        out.append(word)
    return out


def _subject_segment(styled: Sequence[tuple[list[str], bool]]) -> int:
    """The segment that holds the subject: the first that names one, else the first with content."""
    content = [i for i, (rest, _) in enumerate(styled) if not _GLUE.issuperset(rest)]
    named = [i for i in content if find_subjects(styled[i][0])]
    return (named or content or [0])[0]


def content_words(prompt: str) -> list[str]:
    """The words of a prompt that say what it shows, in the singular."""
    return [singular(word) for word in words(prompt) if word not in _GLUE]


def token_f1(one: str, other: str) -> float:
    """Token F1 of two texts, by multiset overlap of words; 0 where either is empty."""
    left, right = Counter(words(one)), Counter(words(other))
    shared = sum((left & right).values())
    total = sum(left.values()) + sum(right.values())
    return 2.0 * shared / total if total and shared else 0.0


@dataclass(frozen=True)
class CasesReport:
    """What `benchmark_cases` made, and which held-out posts became no case and why."""

    cases: int
    users: int
    users_without_persona: int
    posts_without_persona: int
    posts_without_title: int
    without_style: int
    mismatched: int
    mismatched_unlike: int


CASES_SCHEMA: Final = pa.schema(
    [
        ("case_id", pa.string()),
        ("user_id", pa.uint64()),
        ("base_prompt", pa.string()),
        ("reference_prompt", pa.string()),
        ("reference_sha256", pa.string()),
        ("mismatched_user_id", pa.uint64()),
        ("created_at", pa.timestamp("us")),
    ]
)


def benchmark_cases(
    holdout_files: Sequence[Path], persona_files: Sequence[Path], seed: int
) -> tuple[pa.Table, CasesReport]:
    """The benchmark_prompts table: one case a held-out post of a user who has a persona.

    `mismatched_user_id` is another benchmark user whose persona knows as much about the case's
    subject as the own one (`matched_controls`). Null if there is only one user.
    """
    personas = pq.read_table(list(persona_files), columns=["user_id", "quarantined", "profile"])
    usable = {
        row["user_id"]: Persona.model_validate_json(row["profile"])
        for row in personas.to_pylist()
        if row["quarantined"] is None
    }
    columns = ["user_id", "post_id", "title", "sha256", "created_at"]
    posts = pq.read_table(list(holdout_files), columns=columns)
    posts = posts.sort_by(
        [("user_id", "ascending"), ("created_at", "ascending"), ("post_id", "ascending")]
    )
    rows = posts.to_pylist()
    kept = [row for row in rows if row["user_id"] in usable]
    titled = [row for row in kept if words(row["title"] or "")]
    users = sorted({row["user_id"] for row in titled})
    bases = [base_prompt(row["title"]) for row in titled]
    owners = [(row["user_id"], base) for row, base in zip(titled, bases)]
    controls = matched_controls(owners, usable, cycle_of_users(users, seed))
    table = pa.table(
        [
            pa.array([row["post_id"] for row in titled], pa.string()),
            pa.array([row["user_id"] for row in titled], pa.uint64()),
            pa.array(bases, pa.string()),
            pa.array([row["title"] for row in titled], pa.string()),
            pa.array([row["sha256"] for row in titled], pa.string()),
            pa.array([control.user_id for control in controls], pa.uint64()),
            pa.array([row["created_at"] for row in titled], pa.timestamp("us")),
        ],
        schema=CASES_SCHEMA,
    )
    lost = {row["user_id"] for row in rows} - usable.keys()
    report = CasesReport(
        cases=len(titled),
        users=len(users),
        users_without_persona=len(lost),
        posts_without_persona=len(rows) - len(kept),
        posts_without_title=len(kept) - len(titled),
        without_style=sum(words(base) == words(row["title"]) for base, row in zip(bases, titled)),
        mismatched=sum(control.user_id is not None for control in controls),
        mismatched_unlike=sum(control.distance > 0 for control in controls),
    )
    return table, report


@dataclass(frozen=True)
class Control:
    """The mismatched person of a case: whose persona is used, and in how many facets it knows more
    or less about the subject than the own one (0: a fair control).
    """

    user_id: int | None
    distance: int


_Group = tuple[str | None, frozenset[tuple[str, bool]]]
"""A prompt's context, and how a persona covers it."""


def coverage(persona: Persona, base: str) -> frozenset[tuple[str, bool]]:
    """What a persona could say about a prompt's subject: (facet, whether for this very context).

    A taste for the prompt's context hides a general one of the same facet, as in rewriting.
    """
    context = context_of_prompt(base) or GENERAL
    liked = [p for p in persona.preferences if p.polarity == "like"]
    own = {p.facet for p in liked if p.context == context}
    general = {p.facet for p in liked if p.context == GENERAL} - own
    return frozenset({(facet, True) for facet in own} | {(facet, False) for facet in general})


def matched_controls(
    cases: Sequence[tuple[int, str]], personas: Mapping[int, Persona], cycle: Sequence[int]
) -> list[Control]:
    """The mismatched person of each case (user, base prompt), in order.

    Cases of one context whose own personas cover it alike form a group, and in it everybody gets
    the persona of the next person of the cycle: own and mismatched prompts are then written from the
    same personas, each as often, and differ in nothing but whose they are. A control that lacks a
    taste where the own persona has one would lose for that alone. Only the personas' structure
    decides, never what the tastes are nor anybody's truth.

    Somebody alone in a group gets whoever covers the context most alike, the first in the cycle.
    """
    place = {user: position for position, user in enumerate(cycle)}
    covered = [coverage(personas[user], base) for user, base in cases]
    keys = [(context_of_prompt(base), own) for (_, base), own in zip(cases, covered)]
    groups: dict[_Group, set[int]] = {}
    for (user, _), key in zip(cases, keys):
        groups.setdefault(key, set()).add(user)
    following: dict[_Group, dict[int, int]] = {}
    for key, members in groups.items():
        order = sorted(members, key=place.__getitem__)
        following[key] = dict(zip(order, [*order[1:], order[0]]))
    controls = []
    for (user, base), key, own in zip(cases, keys, covered):
        if following[key][user] != user:
            controls.append(Control(following[key][user], 0))
            continue
        others = [*cycle[place[user] + 1 :], *cycle[: place[user]]]
        if not others:
            controls.append(Control(None, 0))
            continue
        best = min(others, key=lambda other: len(own ^ coverage(personas[other], base)))
        controls.append(Control(best, len(own ^ coverage(personas[best], base))))
    return controls


def cycle_of_users(users: Sequence[int], seed: int) -> list[int]:
    """The users in a seeded random order, the last followed by the first."""
    order = np.random.default_rng([seed, 0x5A77]).permutation(len(users))
    return [users[int(place)] for place in order]
