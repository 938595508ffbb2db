"""A persona from evidence by word lists: what was said about oneself, about style, about topics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from zipp_dagster.persona import demographics, guards
from zipp_dagster.persona.aesthetics import (
    FACETS,
    GENERAL,
    tastes_in,
    tastes_of_community,
    telling_texts,
)
from zipp_dagster.persona.bundles import EvidenceBundle, Snippet, community_id
from zipp_dagster.persona.demographic_claims import summarise as summarise_statements
from zipp_dagster.persona.guards import sensitive_texts
from zipp_dagster.persona.interests import (
    interests_of,
    is_topic,
    topic_of_interest,
    traits_of,
)
from zipp_dagster.persona.lexicon import Passages, load_yaml, plural, word_set
from zipp_dagster.persona.schema import Demographics, Facet, Interest, Persona, Preference, Trait

# One plain statement is enough for a taste; three bare mentions are not (0.25 each).
_MIN_SUPPORT = 0.8
# A dislike has to be plain: much is said in the negative that is no dislike.
_MIN_REFUSAL = 1.0
# What is inferred from interests alone stays below every stated taste, which starts at 0.44.
_LEANING = 0.3
_MAX_LEANINGS = 3
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
    passages = Passages(snippet.text for snippet in bundle.snippets)
    interests = tuple(interests_of(bundle, passages))
    # What is said beside a sensitive matter, of oneself or of looks, is not for a persona.
    private = sensitive_texts(passages)
    spoken = [
        (bundle.snippets[number], passages[number])
        for number in sorted(telling_texts(passages) - private)
    ]
    stated = preferences_of(bundle, spoken)
    # Whoever spoke of looks and was undecided is undecided: a leaning is for those who never did.
    preferences = tuple(leanings(interests) if stated is None else stated)
    traits = tuple(traits_of(bundle, passages))
    said = [
        (statement, bundle.snippets[number].id)
        for number, statements in demographics.statements_in(passages).items()
        if number not in private
        for statement in statements
    ] + [
        (statement, community_id(name))
        for name, _ in bundle.communities
        for statement in demographics.statements_of_community(name)
    ]
    who = summarise_statements(said)
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


def preferences_of(
    bundle: EvidenceBundle, spoken: Sequence[tuple[Snippet, Sequence[str]]]
) -> list[Preference] | None:
    """Tastes by context, likes before dislikes, strongest first, from snippets and their tokens.

    Support of a style phrase in a context is the sum of what was said for and against it. None where
    the person never spoke of any style; an empty list where nothing said was plain enough.
    """
    support: dict[tuple[str, Facet], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    evidence: dict[tuple[str, Facet, str, bool], dict[str, float]] = defaultdict(dict)
    for snippet, parts in spoken:
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
    if not any(w >= _MIN_SUPPORT for ids in evidence.values() for w in ids.values()):
        return None
    _generalise(support, evidence)
    order = {facet: i for i, facet in enumerate(FACETS)}
    found: list[Preference] = []
    for (context, facet), phrases in sorted(
        support.items(), key=lambda item: (item[0][0] == GENERAL, item[0][0], order[item[0][1]])
    ):
        ranked = sorted(phrases.items(), key=lambda item: (-item[1], item[0]))
        likes = [(phrase, w) for phrase, w in ranked if w >= _MIN_SUPPORT][:_PER_FACET]
        dislikes = [(phrase, w) for phrase, w in reversed(ranked) if w <= -_MIN_REFUSAL]
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


def leanings(interests: Sequence[Interest]) -> list[Preference]:
    """General tastes of somebody who never spoke of any: how pictures of their interests look.

    A leaning for each facet, by the strongest interest that has one; its strength (0.3) says that
    nobody stated it, its evidence is that of the interest.
    """
    found: dict[Facet, Preference] = {}
    for interest in interests:
        for facet, phrase in _looks().get(topic_of_interest(interest.name), {}).items():
            if facet not in found and len(found) < _MAX_LEANINGS:
                found[facet] = Preference(
                    context=GENERAL,
                    facet=facet,
                    phrase=phrase,
                    strength=_LEANING,
                    evidence=interest.evidence,
                )
    return [found[facet] for facet in FACETS if facet in found]


@cache
def _looks() -> Mapping[str, Mapping[Facet, str]]:
    return {topic: dict(facets) for topic, facets in load_yaml("looks.yml").items()}  # type: ignore[call-overload]


def summarise(
    who: Demographics,
    interests: Sequence[Interest],
    traits: Sequence[Trait],
    preferences: Sequence[Preference],
    joint: str = ", ",
) -> str:
    """The persona in the first person: a few plain sentences in a fixed order.

    `joint` stands between the style phrases of a list. How sentences open depends on what the
    persona says, so that not everybody talks alike.
    """
    sentences = [_about(who)]
    turn = sum(map(ord, "".join(i.name for i in interests) + "".join(t.name for t in traits)))
    if interests:
        sentences.append(_of_interests(interests, turn))
    if traits:
        sentences.append(_TRAITS[turn % len(_TRAITS)].format(_join(t.name for t in traits)))
    if preferences and all(p.strength <= _LEANING for p in preferences):
        sentences.append(f"In pictures I lean towards {_join(map(_in_words, preferences))}.")
        return " ".join(sentence for sentence in sentences if sentence)
    contexts = list(dict.fromkeys(p.context for p in preferences))
    for context in contexts:
        sentences.append(_of_tastes([p for p in preferences if p.context == context], joint))
    return " ".join(sentence for sentence in sentences if sentence)


_INTERESTS = (
    "I spend my time on {}.",
    "I keep coming back to {}.",
    "Most of what I read and write is about {}.",
    "I am into {}.",
)
_TRAITS = ("I come across as {}.", "People would call me {}.", "In conversation I am {}.")


def _of_interests(interests: Sequence[Interest], turn: int) -> str:
    names = [_readable_name(interest.name) for interest in interests[:5]]
    first, rest = names[0], names[1:]
    if rest and interests[0].weight >= 0.5:
        return f"Above all I care about {first}; I also follow {_join(rest)}."
    return _INTERESTS[turn % len(_INTERESTS)].format(_join(names))


def _readable_name(interest: str) -> str:
    """A topic as it is; a community's name that no list knows, as the name that it is."""
    return interest if is_topic(topic_of_interest(interest)) else f"the {interest} community"


def _of_tastes(preferences: Sequence[Preference], joint: str) -> str:
    """What is liked and avoided in pictures of one kind."""
    context = preferences[0].context
    where = "In general" if context == GENERAL else f"In pictures of {context}"
    likes = [_in_words(p) for p in preferences if p.polarity == "like"]
    dislikes = [_in_words(p) for p in preferences if p.polarity == "dislike"]
    if likes and dislikes:
        return f"{where} I like {_join(likes, joint)}, and I avoid {_join(dislikes)}."
    if likes:
        return f"{where} I like {_join(likes, joint)}."
    return f"{where} I avoid {_join(dislikes)}."


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


_COUNTED = word_set(
    "photograph sketch drawing painting render print illustration polaroid collage sculpture etching "
    "day night morning hour sunset sunrise shot close-up angle view composition silhouette"
)
_SAID = {
    "highly detailed": "a lot of detail",
    "macro": "macro shots",
    "vintage": "a vintage look",
    "golden hour": "the golden hour",
    "blue hour": "the blue hour",
    "bokeh": "soft bokeh",
    "pattern": "patterns",
    "high contrast": "high contrast",
    "limited palette": "a limited palette",
    "blueprint": "blueprints",
}


def _in_words(preference: Preference) -> str:
    """A style phrase that fits after "I like"."""
    phrase = preference.phrase
    if preference.facet == "mood":
        article = "an" if phrase[0] in "aeiou" else "a"
        return f"{article} {phrase} mood"
    if phrase in _SAID:
        return _SAID[phrase]
    *head, last = phrase.split()
    return " ".join([*head, plural(last)]) if last in _COUNTED else phrase


def _join(names: Iterable[str], joint: str = ", ") -> str:
    *first, last = names
    return f"{joint.join(first)} and {last}" if first else last
