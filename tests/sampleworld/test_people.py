from __future__ import annotations

from collections import Counter

from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.people import CONTEXTS, make_people


def test_names_are_distinct_and_synthetic() -> None:
    people = make_people(WorldSettings(people=500))
    assert len({person.name for person in people}) == 500
    assert all(person.name.count("_") == 2 for person in people)


def test_the_platform_is_young_male_and_northern_american() -> None:
    people = make_people(WorldSettings(people=2000))
    region = Counter(person.country.region for person in people)
    gender = Counter(person.gender for person in people)
    age = Counter(person.age_band for person in people)
    assert region.most_common(1)[0][0] == "Northern America"
    assert len(region) == 6 and min(region.values()) >= 20
    assert gender["male"] > gender["female"] > gender["nonbinary"] > 0
    assert age["18-24"] + age["25-34"] > 1000
    assert age["65+"] >= 20


def test_nobody_has_one_medium_or_palette_for_all_contexts() -> None:
    for person in make_people(WorldSettings(people=100)):
        assert set(person.tastes) == set(CONTEXTS)
        assert len({taste.medium for taste in person.tastes.values()}) == len(CONTEXTS)
        assert len({taste.palette for taste in person.tastes.values()}) == len(CONTEXTS)


def test_at_full_coupling_everybody_shows_their_own_taste() -> None:
    people = make_people(WorldSettings(people=50, taste_coupling=1.0))
    assert all(person.shown == person.tastes for person in people)


def test_without_coupling_everybody_shows_the_tastes_of_one_other_person() -> None:
    people = make_people(WorldSettings(people=50, taste_coupling=0.0))
    for person in people:
        assert not any(person.coupled.values())
        assert person.shown in [other.tastes for other in people if other is not person]


def test_half_a_coupling_shows_half_of_the_tastes() -> None:
    people = make_people(WorldSettings(people=1000, taste_coupling=0.5))
    own = sum(flag for person in people for flag in person.coupled.values())
    assert 0.46 < own / (1000 * len(CONTEXTS)) < 0.54


def test_the_coupling_changes_nothing_but_what_is_shown() -> None:
    for one, other in zip(
        make_people(WorldSettings(people=50, taste_coupling=1.0)),
        make_people(WorldSettings(people=50, taste_coupling=0.0)),
    ):
        assert one.name == other.name
        assert one.tastes == other.tastes
        assert one.profession == other.profession and one.hobbies == other.hobbies
