"""Topics that a person spends time on, and how they come across in writing.

Topics come from the names of communities and from what is written there; communities about
everything (`vocabulary/communities.txt`) tell of none. Style tastes are in `aesthetics.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

from zipp_dagster.persona.aesthetics import find_styles
from zipp_dagster.persona.bundles import EvidenceBundle, community_id
from zipp_dagster.persona.contexts import split_community
from zipp_dagster.persona.demographics import statements_of_community
from zipp_dagster.persona.guards import is_sensitive
from zipp_dagster.persona.lexicon import Lexicon, load_lines, load_yaml, split_list, words
from zipp_dagster.persona.schema import Interest, Trait

MAX_INTERESTS, MAX_TRAITS = 8, 3
_MAX_EVIDENCE = 4
# A topic that no community is about needs this many snippets; a community's own needs this share.
_MIN_SNIPPETS, _COMMUNITY_SHARE = 3, 0.1
# A community whose name no list knows is an interest only where the person is often.
_OPAQUE_SHARE = 0.08
# A trait shows in this share of the snippets, and in three of them at least.
_TRAIT_SHARE = 0.12


@cache
def _topics() -> Lexicon[str]:
    return Lexicon(
        (phrase, topic)
        for topic, phrases in load_yaml("topics.yml").items()
        for phrase in [topic, *split_list(str(phrases))]
    )


@cache
def _traits() -> Lexicon[str]:
    return Lexicon(
        (phrase, trait)
        for trait, phrases in load_yaml("traits.yml").items()
        for phrase in split_list(str(phrases))
    )


@cache
def _pastime() -> Lexicon[bool]:
    return Lexicon((phrase, True) for phrase in split_list(str(load_yaml("speech.yml")["pastime"])))


@cache
def _general() -> frozenset[str]:
    return frozenset(load_lines("communities.txt"))


@lru_cache(maxsize=100_000)
def topic_of_community(name: str) -> str | None:
    """The topic that a community's name tells, or None."""
    split = split_community(name).split()
    exact: str | None = _topics().get(name)
    hits = _topics().find(split)
    return exact or (
        max(hits, key=lambda hit: (hit.end - hit.start, hit.start)).value if hits else None
    )


def is_general(name: str) -> bool:
    """Whether a community is about everything."""
    return name.lower() in _general()


def interests_of(bundle: EvidenceBundle, tokens: Sequence[Sequence[str]]) -> list[Interest]:
    """Interests, strongest first. `tokens` holds each snippet's tokens, in the bundle's order."""
    in_community: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    overall: dict[str, list[str]] = defaultdict(list)
    declared: dict[str, int] = defaultdict(int)
    sizes: dict[str, int] = defaultdict(int)
    first_words = _topics().first_words
    for snippet, parts in zip(bundle.snippets, tokens, strict=True):
        sizes[snippet.community] += 1
        if first_words.isdisjoint(parts):
            continue
        found = dict.fromkeys(hit.value for hit in _topics().find(parts))
        own = bool(found) and bool(_pastime().find(parts))
        for topic in found:
            in_community[snippet.community][topic].append(snippet.id)
            overall[topic].append(snippet.id)
            if own:
                declared[topic] += 1

    score: dict[str, float] = defaultdict(float)
    evidence: dict[str, list[str]] = defaultdict(list)
    for name, share in bundle.communities:
        if is_general(name):
            continue
        if statements_of_community(name):
            continue  # a place or a trade is what somebody is, not what they do
        split = split_community(name)
        known = topic_of_community(name) or _spoken(in_community[name], sizes[name])
        if known is None and (share < _OPAQUE_SHARE or find_styles(split.split())):
            continue  # a name that no list knows, rarely visited; or a style, which is a taste
        label = known or split
        if is_sensitive(label) or is_sensitive(split):
            continue
        # A name that no list knows still says what the person does, with less certainty.
        score[label] += share if known else 0.5 * share
        evidence[label] += [community_id(name), *in_community[name].get(label, ())[:2]]
    for topic, ids in overall.items():
        if topic in score or len(ids) >= _MIN_SNIPPETS or declared[topic]:
            score[topic] += 0.3 * len(ids) / len(bundle.snippets) + 0.1 * declared[topic]
            evidence[topic] += ids
    total = sum(score.values())
    ranked = sorted(score, key=lambda label: (-score[label], label))[:MAX_INTERESTS]
    return [
        Interest(
            name=label[:80],
            weight=round(score[label] / total, 4),
            evidence=tuple(dict.fromkeys(evidence[label]))[:_MAX_EVIDENCE],
        )
        for label in ranked
        if label.strip() and score[label] > 0
    ]


def _spoken(topics: Mapping[str, Sequence[str]], snippets: int) -> str | None:
    """The topic that a community's snippets are mostly about, if they agree on one."""
    if not topics:
        return None
    best = min(topics, key=lambda topic: (-len(topics[topic]), topic))
    enough = len(topics[best]) >= max(2.0, _COMMUNITY_SHARE * snippets)
    return best if enough else None


def traits_of(bundle: EvidenceBundle, tokens: Sequence[Sequence[str]]) -> list[Trait]:
    """How the person comes across, most frequent first; nothing from a handful of snippets."""
    shown: dict[str, list[str]] = defaultdict(list)
    first_words = _traits().first_words
    for snippet, parts in zip(bundle.snippets, tokens, strict=True):
        if first_words.isdisjoint(parts):
            continue
        for trait in {hit.value for hit in _traits().find(parts)}:
            shown[trait].append(snippet.id)
    needed = max(3.0, _TRAIT_SHARE * len(bundle.snippets))
    ranked = sorted(
        (t for t in shown if len(shown[t]) >= needed), key=lambda t: (-len(shown[t]), t)
    )
    return [Trait(name=t, evidence=tuple(shown[t][:_MAX_EVIDENCE])) for t in ranked[:MAX_TRAITS]]


def topic_words(text: str) -> frozenset[str]:
    """Topics named by a text; for comparing interests by meaning."""
    return frozenset(hit.value for hit in _topics().find(words(text)))
