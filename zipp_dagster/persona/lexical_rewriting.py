"""A prompt rewritten by word lists: the person's style phrases for this kind of subject.

Only style phrases are added, in their canonical wording; the subject is never touched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from zipp_dagster.persona.aesthetics import FACETS, GENERAL, style_of_prompt
from zipp_dagster.persona.contexts import context_of_prompt
from zipp_dagster.persona.schema import Facet, Persona

# What anybody adds to make a picture better: what prompt guides advise, tied to no taste. One a
# facet that a persona may fill, so that a generic rewrite is as long as a personal one.
GENERIC: Final[Mapping[Facet, str]] = {
    "composition": "highly detailed",
    "palette": "vivid colors",
    "light": "beautiful lighting",
    "medium": "high quality",
}
# A past prompt about the same kind of subject is worth more than one about another kind.
_SHOT_SAME, _SHOT_OTHER = 0.6, 0.15
# The rewrite order of facets; when there are more phrases than allowed, the weakest go.
_ORDER: Final = {facet: i for i, facet in enumerate(FACETS)}


@dataclass(frozen=True)
class RewriteTask:
    """The task of rewriting one prompt.

    `persona` None asks for a generic improvement, or one by past prompts alone.
    """

    prompt: str
    persona: Persona | None
    shots: Sequence[str]
    style_phrases: int


def rewrite(task: RewriteTask) -> str:
    """The prompt with the style phrases of the person, or generic ones where none are known."""
    phrases = style_for(task)
    if not phrases:
        stated = style_of_prompt(task.prompt)
        generic = [GENERIC[facet] for facet in GENERIC if facet not in stated]
        phrases = generic[: task.style_phrases]
    return ", ".join([task.prompt, *phrases])


def style_for(task: RewriteTask) -> list[str]:
    """The person's style phrases for the prompt's subject, at most one a facet.

    A taste for the subject's context wins over a general one, facet by facet; past prompts add
    weight to what they show. What the person dislikes there is never added, and a facet that the
    prompt itself states stays as stated.
    """
    if task.persona is None and not task.shots:
        return []
    context = context_of_prompt(task.prompt) or GENERAL
    liked, disliked = _tastes(task.persona, context)
    for shot in task.shots:
        weight = _SHOT_SAME if (context_of_prompt(shot) or GENERAL) == context else _SHOT_OTHER
        for facet, phrase in style_of_prompt(shot).items():
            liked[facet][phrase] += weight
    stated = style_of_prompt(task.prompt)
    best: list[tuple[Facet, str, float]] = []
    for facet, phrases in liked.items():
        allowed = [(w, p) for p, w in phrases.items() if (facet, p) not in disliked and w > 0]
        if allowed and facet not in stated:
            weight, phrase = max(allowed, key=lambda item: (item[0], item[1]))
            best.append((facet, phrase, weight))
    best.sort(key=lambda item: (-item[2], _ORDER[item[0]]))
    chosen = sorted(best[: task.style_phrases], key=lambda item: _ORDER[item[0]])
    return [phrase for _, phrase, _ in chosen]


def _tastes(
    persona: Persona | None, context: str
) -> tuple[dict[Facet, dict[str, float]], set[tuple[Facet, str]]]:
    """Liked phrases by facet with strengths, and disliked (facet, phrase), for a context."""
    own: dict[Facet, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    general: dict[Facet, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    disliked: set[tuple[Facet, str]] = set()
    preferences = persona.preferences if persona else ()
    for taste in preferences:
        if taste.context not in (context, GENERAL):
            continue
        if taste.polarity == "dislike":
            disliked.add((taste.facet, taste.phrase))
        else:
            target = own if taste.context == context else general
            target[taste.facet][taste.phrase] += taste.strength
    for facet, phrases in general.items():
        if facet not in own:
            own[facet] = phrases
    # A general dislike does not forbid what is liked for this kind of subject.
    for taste in preferences:
        if taste.context == context != GENERAL and taste.polarity == "like":
            disliked.discard((taste.facet, taste.phrase))
    return own, disliked
