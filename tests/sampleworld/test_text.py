from __future__ import annotations

import re
from collections import Counter

import pytest

from zipp_dagster.sampleworld import phrases
from zipp_dagster.sampleworld.communities import Community, make_communities
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.people import CONTEXTS, Person, make_people
from zipp_dagster.sampleworld.text import Said, Writer, _mood_at
from zipp_dagster.sampleworld.vocabulary import FACTOR_VALUES, MOODS

SETTINGS = WorldSettings(people=60)


def said_in(person: Person, community: Community, count: int) -> list[Said]:
    writer = Writer(person, SETTINGS.seed)
    return [writer.comment(community) for _ in range(count)]


def named(text: str, factor: str) -> set[str]:
    """The values of a factor whose phrases occur in a text."""
    found = set()
    for value, words in FACTOR_VALUES[factor].items():
        if any(re.search(rf"\b{re.escape(word)}\b", text.lower()) for word in words):
            found.add(value)
    return found


def test_a_taste_is_told_in_the_words_of_the_taste_that_is_shown() -> None:
    person = next(p for p in make_people(SETTINGS) if p.creator)
    community = next(c for c in make_communities(SETTINGS) if c.kind == "context")
    told = [s for s in said_in(person, community, 300) if s.signal == "taste"]
    assert len(told) > 60
    shown = person.shown[community.topic]
    for factor in ("palette", "medium", "mood"):
        values = [named(said.body, factor) for said in told]
        right = sum(getattr(shown, factor) in found for found in values)
        assert right > 0.5 * len(told)
        assert sum(bool(found) for found in values) == pytest.approx(right, abs=0.05 * len(told))


def test_a_taste_told_in_a_style_community_says_what_it_is_for() -> None:
    person = next(p for p in make_people(SETTINGS) if p.creator)
    community = next(c for c in make_communities(SETTINGS) if c.kind == "style")
    told = [s for s in said_in(person, community, 300) if s.signal == "taste"]
    subjects = [*FACTOR_VALUES["subject"], "fish"]
    words = [w for group in phrases.CONTEXT_WORDS.values() for w in group]
    phrase = [w for group in FACTOR_VALUES["subject"].values() for w in group]
    named_for = [any(w in said.body.lower() for w in (*subjects, *words, *phrase)) for said in told]
    assert all(named_for)


def test_a_profession_shows_in_its_community_and_hardly_elsewhere() -> None:
    communities = make_communities(SETTINGS)
    at_work = {c.topic: c for c in communities if c.kind == "profession"}
    person = next(p for p in make_people(SETTINGS) if p.profession.name in at_work)
    work = Counter(s.signal for s in said_in(person, at_work[person.profession.name], 400))
    general = next(c for c in communities if c.kind == "general")
    elsewhere = Counter(s.signal for s in said_in(person, general, 400))
    assert work["profession"] > 60
    assert elsewhere["profession"] < 20
    assert elsewhere["noise"] > 340
    assert elsewhere["taste"] == 0


def test_the_same_person_says_the_same_things_again() -> None:
    person, community = make_people(SETTINGS)[3], make_communities(SETTINGS)[0]
    assert said_in(person, community, 20) == said_in(person, community, 20)


def test_no_frame_is_left_unfilled() -> None:
    communities = make_communities(SETTINGS)
    for person in make_people(SETTINGS)[:30]:
        writer = Writer(person, SETTINGS.seed)
        for community in communities:
            comment, post = writer.comment(community), writer.text_post(community)
            for text in (comment.body, post.title, post.body):
                assert "{" not in text and "}" not in text
            assert comment.body and post.title


@pytest.mark.parametrize(
    ("mood", "place"),
    [
        ("misty morning", "on a misty morning"),
        ("midnight", "at midnight"),
        ("heavy rain", "in heavy rain"),
        ("thunderstorm", "in a thunderstorm"),
        ("clear sky with a bright sun", "under a clear sky with a bright sun"),
        ("dark night with stars", "on a dark night with stars"),
    ],
)
def test_a_mood_becomes_a_time_or_place(mood: str, place: str) -> None:
    assert mood in {phrase for group in MOODS.values() for phrase in group}
    assert _mood_at(mood) == place


def test_every_context_has_words_of_its_own() -> None:
    assert set(phrases.CONTEXT_WORDS) == set(CONTEXTS)
