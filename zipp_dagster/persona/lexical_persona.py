"""A persona from evidence by word lists: what was said about oneself, about style, about topics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zipp_dagster.persona import demographics, guards
from zipp_dagster.persona.aesthetics import FACETS, GENERAL, tastes_in, tastes_of_community
from zipp_dagster.persona.bundles import EvidenceBundle, community_id
from zipp_dagster.persona.interests import interests_of, traits_of
from zipp_dagster.persona.lexicon import tokenize
from zipp_dagster.persona.schema import Demographics, Facet, Interest, Persona, Preference, Trait

# One plain statement is enough for a taste; three bare mentions are not (0.25 each).
_MIN_SUPPORT = 0.8
# At most this many tastes for a context and facet: what was said most often and most clearly.
_PER_FACET = 2
_MAX_DISLIKES = 1
_MAX_EVIDENCE = 4
# A taste seen in this many contexts is general as well.
_GENERAL_CONTEXTS = 3


@dataclass(frozen=True)
class PersonaTask:
    """The task of building a persona from one person's evidence."""

    bundle: EvidenceBundle


def build_persona(task: PersonaTask) -> Persona:
    """A persona of what the evidence says; unknown or absent where it says nothing."""
    bundle = task.bundle
    tokens = [tokenize(snippet.text) for snippet in bundle.snippets]
    preferences = tuple(preferences_of(bundle, tokens))
    interests = tuple(interests_of(bundle, tokens))
    traits = tuple(traits_of(bundle, tokens))
    said = [
        (statement, snippet.id)
        for snippet in bundle.snippets
        for statement in demographics.statements_in(snippet.text)
    ] + [
        (statement, community_id(name))
        for name, _ in bundle.communities
        for statement in demographics.statements_of_community(name)
    ]
    who = demographics.summarise(said)
    summary = summarise(who, interests, traits, preferences)
    if guards.quotes_verbatim(summary, (snippet.text for snippet in bundle.snippets)):
        # A list of common style phrases may stand in a comment word by word: other joints.
        summary = summarise(who, interests, traits, preferences, joint=" as well as ")
    return Persona(
        summary=summary,
        demographics=who,
        interests=interests,
        traits=traits,
        preferences=preferences,
    )


def preferences_of(bundle: EvidenceBundle, tokens: Sequence[Sequence[str]]) -> list[Preference]:
    """Tastes by context, likes before dislikes, strongest first.

    Support of a style phrase in a context is the sum of what was said for and against it.
    """
    support: dict[tuple[str, Facet], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    evidence: dict[tuple[str, Facet, str, bool], dict[str, float]] = defaultdict(dict)
    for snippet, parts in zip(bundle.snippets, tokens, strict=True):
        for taste in tastes_in(snippet.text, snippet.community, parts):
            support[taste.context, taste.facet][taste.phrase] += taste.weight
            known = evidence[taste.context, taste.facet, taste.phrase, taste.weight > 0]
            known[snippet.id] = known.get(snippet.id, 0.0) + abs(taste.weight)
    for name, _ in bundle.communities:
        for taste in tastes_of_community(name):
            support[taste.context, taste.facet][taste.phrase] += taste.weight
            evidence[taste.context, taste.facet, taste.phrase, True][community_id(name)] = (
                taste.weight
            )
    _generalise(support, evidence)
    order = {facet: i for i, facet in enumerate(FACETS)}
    found: list[Preference] = []
    for (context, facet), phrases in sorted(
        support.items(), key=lambda item: (item[0][0] == GENERAL, item[0][0], order[item[0][1]])
    ):
        ranked = sorted(phrases.items(), key=lambda item: (-item[1], item[0]))
        likes = [(phrase, w) for phrase, w in ranked if w >= _MIN_SUPPORT][:_PER_FACET]
        dislikes = [(phrase, w) for phrase, w in reversed(ranked) if w <= -_MIN_SUPPORT]
        for phrase, weight in likes + dislikes[:_MAX_DISLIKES]:
            ids = evidence[context, facet, phrase, weight > 0]
            found.append(
                Preference(
                    context=context,
                    facet=facet,
                    phrase=phrase,
                    polarity="like" if weight > 0 else "dislike",
                    # 0.5 after one statement, towards 1 with every further one.
                    strength=round(abs(weight) / (abs(weight) + 1.0), 3),
                    evidence=tuple(sorted(ids, key=lambda i: (-ids[i], i))[:_MAX_EVIDENCE]),
                )
            )
    return found


def _generalise(
    support: dict[tuple[str, Facet], dict[str, float]],
    evidence: dict[tuple[str, Facet, str, bool], dict[str, float]],
) -> None:
    """What is liked in many contexts is liked in general: added to the general tastes."""
    seen: dict[tuple[Facet, str], list[str]] = defaultdict(list)
    for (context, facet), phrases in support.items():
        if context != GENERAL:
            for phrase, weight in phrases.items():
                if weight >= _MIN_SUPPORT:
                    seen[facet, phrase].append(context)
    for (facet, phrase), contexts in seen.items():
        if len(contexts) < _GENERAL_CONTEXTS:
            continue
        support[GENERAL, facet][phrase] += sum(support[c, facet][phrase] for c in contexts)
        for context in contexts:
            evidence[GENERAL, facet, phrase, True].update(evidence[context, facet, phrase, True])


def summarise(
    who: Demographics,
    interests: Sequence[Interest],
    traits: Sequence[Trait],
    preferences: Sequence[Preference],
    joint: str = ", ",
) -> str:
    """The persona in the first person: a few plain sentences in a fixed order.

    `joint` stands between the style phrases of a list.
    """
    sentences = [_about(who)]
    if interests:
        sentences.append(f"I spend my time on {_join(i.name for i in interests[:5])}.")
    if traits:
        sentences.append(f"I come across as {_join(t.name for t in traits)}.")
    contexts = list(dict.fromkeys(p.context for p in preferences))
    for context in contexts:
        where = "In general" if context == GENERAL else f"In pictures of {context}"
        likes = [_in_words(p) for p in preferences if p.context == context and p.polarity == "like"]
        dislikes = [
            _in_words(p) for p in preferences if p.context == context and p.polarity == "dislike"
        ]
        if likes and dislikes:
            sentences.append(
                f"{where} I like {_join(likes, joint)}, and I avoid {_join(dislikes)}."
            )
        elif likes:
            sentences.append(f"{where} I like {_join(likes, joint)}.")
        elif dislikes:
            sentences.append(f"{where} I avoid {_join(dislikes)}.")
    if not preferences:
        sentences.append("What I like to look at in pictures is not known.")
    return " ".join(sentence for sentence in sentences if sentence)


def _about(who: Demographics) -> str:
    parts = []
    if who.profession.known:
        name = who.profession.value
        article = "an" if name[0] in "aeiou" else "a"
        parts.append("retired" if name == "retired" else f"{article} {name}")
    if who.age_band.known:
        parts.append(f"{who.age_band.value} years old")
    if who.gender.known:
        parts.append(who.gender.value)
    about = f"I am {_join(parts)}" if parts else ""
    if who.country.known:
        the = (
            "the "
            if who.country.value.split()[0] in ("United", "Netherlands", "Philippines")
            else ""
        )
        place = f"in {the}{who.country.value}"
        about = f"{about}, living {place}" if about else f"I live {place}"
    return about + "." if about else ""


def _in_words(preference: Preference) -> str:
    """A style phrase that fits after "I like"."""
    if preference.facet == "mood":
        article = "an" if preference.phrase[0] in "aeiou" else "a"
        return f"{article} {preference.phrase} mood"
    return preference.phrase


def _join(names: Iterable[str], joint: str = ", ") -> str:
    *first, last = names
    return f"{joint.join(first)} and {last}" if first else last
