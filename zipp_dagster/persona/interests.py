"""Topics that a person spends time on, and how they come across in writing.

Topics come from the names of communities and from what is written there; communities about
everything (`vocabulary/communities.txt`) tell of none. Style tastes are in `aesthetics.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from zipp_dagster.persona.aesthetics import find_styles
from zipp_dagster.persona.bundles import EvidenceBundle, community_id
from zipp_dagster.persona.contexts import GLUE, is_known_word, split_community
from zipp_dagster.persona.demographics import statements_of_community
from zipp_dagster.persona.guards import is_sensitive
from zipp_dagster.persona.lexicon import (
    Lexicon,
    Passages,
    load_lines,
    load_yaml,
    split_list,
    words,
)
from zipp_dagster.persona.schema import Interest, Trait

MAX_INTERESTS, MAX_TRAITS = 8, 3
_MAX_EVIDENCE = 4
# At most this many names in brackets: "video games (Dota 2, Skyrim)".
_MAX_TITLES = 2
# A topic that no community is about needs this many snippets; a community's own needs this share.
_MIN_SNIPPETS, _COMMUNITY_SHARE = 3, 0.1
# A community whose name no list knows is an interest only where the person is often, and where its
# words are words: known ones, or ones that the person writes there.
_OPAQUE_SHARE, _OPAQUE_USES = 0.08, 2
# A trait shows in this share of the snippets, and in three of them at least.
_TRAIT_SHARE = 0.12


class _Topic(NamedTuple):
    """What a phrase says: the topic, and whether it is an everyday word."""

    name: str
    everyday: bool


@cache
def _topics() -> Lexicon[_Topic]:
    return Lexicon(
        (phrase.lstrip("~"), _Topic(topic, phrase.startswith("~")))
        for topic, phrases in load_yaml("topics.yml").items()
        for phrase in [*split_list(str(phrases)), topic]
    )


@cache
def _titles() -> Lexicon[str]:
    return Lexicon((alias, str(title)) for alias, title in load_yaml("titles.yml").items())


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
    exact = _topics().get(name)
    if exact:
        return exact.name
    hits = _topics().find(split)
    return max(hits, key=lambda hit: (hit.end - hit.start, hit.start)).value.name if hits else None


@lru_cache(maxsize=100_000)
def title_of_community(name: str) -> str | None:
    """A proper name that a community's name holds ("DotA2" is Dota 2), or None."""
    exact = _titles().get(name)
    hits = [] if exact else _titles().find(split_community(name).split())
    return exact or (max(hits, key=lambda hit: hit.end - hit.start).value if hits else None)


def is_general(name: str) -> bool:
    """Whether a community is about everything."""
    return name.lower() in _general()


class _Said(NamedTuple):
    """Snippet ids by topic: in each community, overall; which topics are declared pastimes."""

    in_community: Mapping[str, Mapping[str, Sequence[str]]]
    overall: Mapping[str, Sequence[str]]
    declared: Mapping[str, int]
    sizes: Mapping[str, int]


def _said(bundle: EvidenceBundle, passages: Passages) -> _Said:
    in_community: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    overall: dict[str, list[str]] = defaultdict(list)
    declared: dict[str, int] = defaultdict(int)
    sizes: dict[str, int] = defaultdict(int)
    for snippet in bundle.snippets:
        sizes[snippet.community] += 1
    pastimes = _pastime().find_in(passages)
    for number, hits in _topics().find_in(passages).items():
        snippet, own = bundle.snippets[number], number in pastimes
        strong = {hit.value.name for hit in hits if own or not hit.value.everyday}
        for topic in dict.fromkeys(hit.value.name for hit in hits if hit.value.name in strong):
            in_community[snippet.community][topic].append(snippet.id)
            overall[topic].append(snippet.id)
            declared[topic] += own
    return _Said(in_community, overall, declared, sizes)


def interests_of(bundle: EvidenceBundle, passages: Passages) -> list[Interest]:
    """Interests, strongest first. `passages` are the bundle's snippets."""
    said = _said(bundle, passages)
    score: dict[str, float] = defaultdict(float)
    evidence: dict[str, list[str]] = defaultdict(list)
    titles: dict[str, list[str]] = defaultdict(list)
    for name, share in bundle.communities:
        if is_general(name) or statements_of_community(name):
            continue  # about everything; or a place or a trade: what somebody is, not what they do
        split = split_community(name)
        known = topic_of_community(name) or _spoken(said.in_community[name], said.sizes[name])
        if known is None and not _readable(name, share, bundle, passages):
            continue
        label = known or split
        if is_sensitive(label) or is_sensitive(split):
            continue
        # A name that no list knows still says what the person does, with less certainty.
        score[label] += share if known else 0.5 * share
        evidence[label] += [community_id(name), *said.in_community[name].get(label, ())[:2]]
        title = title_of_community(name)
        if title and title not in titles[label] and title.lower() not in label:
            titles[label].append(title)
    for topic, ids in said.overall.items():
        if topic in score or len(ids) >= _MIN_SNIPPETS or said.declared[topic]:
            score[topic] += 0.3 * len(ids) / len(bundle.snippets) + 0.1 * said.declared[topic]
            evidence[topic] += ids
    total = sum(score.values())
    ranked = sorted(score, key=lambda label: (-score[label], label))[:MAX_INTERESTS]
    return [
        Interest(
            name=_named(label, titles[label]),
            weight=round(score[label] / total, 4),
            evidence=tuple(dict.fromkeys(evidence[label]))[:_MAX_EVIDENCE],
        )
        for label in ranked
        if label.strip() and score[label] > 0
    ]


def _named(label: str, titles: Sequence[str]) -> str:
    return f"{label} ({', '.join(titles[:_MAX_TITLES])})"[:80] if titles else label[:80]


def is_topic(name: str) -> bool:
    """Whether a name is one of the topics of the word lists, and no community's own name."""
    return name in load_yaml("topics.yml")


def topic_of_interest(name: str) -> str:
    """The topic of an interest's name, without the titles in brackets."""
    return name.split(" (")[0]


def _readable(name: str, share: float, bundle: EvidenceBundle, passages: Passages) -> bool:
    """Whether an unlisted community's name can stand as an interest: often visited, real words."""
    split = split_community(name).split()
    if share < _OPAQUE_SHARE or find_styles(split):
        return False
    unknown = [word for word in split if not is_known_word(word)]
    if len(split) > 1 and not unknown:
        return not GLUE.issuperset(split)
    written = [
        set(passages[number])
        for number, snippet in enumerate(bundle.snippets)
        if snippet.community == name
    ]
    return all(
        len(word) > 3 and sum(word in parts for parts in written) >= _OPAQUE_USES
        for word in unknown or split
    )


def _spoken(topics: Mapping[str, Sequence[str]], snippets: int) -> str | None:
    """The topic that a community's snippets are mostly about, if they agree on one."""
    if not topics:
        return None
    best = min(topics, key=lambda topic: (-len(topics[topic]), topic))
    enough = len(topics[best]) >= max(2.0, _COMMUNITY_SHARE * snippets)
    return best if enough else None


def traits_of(bundle: EvidenceBundle, passages: Passages) -> list[Trait]:
    """How the person comes across, most frequent first; nothing from a handful of snippets."""
    shown: dict[str, list[str]] = defaultdict(list)
    for number, hits in _traits().find_in(passages).items():
        for trait in {hit.value for hit in hits}:
            shown[trait].append(bundle.snippets[number].id)
    needed = max(3.0, _TRAIT_SHARE * len(bundle.snippets))
    ranked = sorted(
        (t for t in shown if len(shown[t]) >= needed), key=lambda t: (-len(shown[t]), t)
    )
    return [Trait(name=t, evidence=tuple(shown[t][:_MAX_EVIDENCE])) for t in ranked[:MAX_TRAITS]]


def topic_words(text: str) -> frozenset[str]:
    """Topics named by a text; for comparing interests by meaning."""
    return frozenset(hit.value.name for hit in _topics().find(words(text)))
