"""What models write of people, in the words that population tables have."""

from __future__ import annotations

import pytest

from zipp_dagster.persona.canonical import canonical_demographics
from zipp_dagster.persona.demographics import country_facts
from zipp_dagster.persona.schema import GENDERS, REGIONS, Demographic, Demographics
from zipp_dagster.zipbench.population import un_wpp_2024


def settled(**said: str) -> dict[str, str]:
    claims = {name: Demographic(value=v, confidence=0.9) for name, v in said.items()}
    found = canonical_demographics(Demographics(**claims))
    return {name: claim.value for name, claim in found.items() if claim.known}


def test_the_lists_are_those_of_the_population() -> None:
    assert set(REGIONS) == set(un_wpp_2024()["region"])
    assert set(REGIONS) == {facts["region"] for facts in country_facts().values()}
    assert set(un_wpp_2024()["gender"]) < set(GENDERS)


@pytest.mark.parametrize(
    ("said", "band"),
    [
        ("31", "25-34"),
        ("27 years old", "25-34"),
        ("mid-30s", "35-44"),
        ("Early Thirties", "25-34"),
        ("late 20s to early 30s", "25-34"),
        ("25–34", "25-34"),
        ("45 to 54", "45-54"),
        ("65 and older", "65+"),
        ("70s", "65+"),
        ("over 30", "over 30"),
        ("18+", "18+"),
        ("25-40", "25-40"),
        ("16", "16"),
        ("born in 1985", "born in 1985"),
        ("adult", "adult"),
    ],
)
def test_ages_become_bands_where_they_lie_in_one(said: str, band: str) -> None:
    assert settled(age_band=said) == {"age_band": band}


@pytest.mark.parametrize(
    ("said", "gender"),
    [
        ("Male", "male"),
        ("woman", "female"),
        ("Non-binary", "nonbinary"),
        ("M", "male"),
        ("somebody", "somebody"),
    ],
)
def test_genders(said: str, gender: str) -> None:
    assert settled(gender=said) == {"gender": gender}


@pytest.mark.parametrize(
    ("said", "region"),
    [
        ("Western Europe", "Europe"),
        ("europe", "Europe"),
        ("North America", "Northern America"),
        ("Latin America & the Caribbean", "Latin America and the Caribbean"),
        ("South America", "Latin America and the Caribbean"),
        ("Sub-Saharan Africa", "Africa"),
        ("Southeast Asia", "Asia"),
        ("Ohio, USA", "Northern America"),
        ("Australia", "Oceania"),
        ("Middle East", "Middle East"),
        ("New Mexico", "New Mexico"),
        ("Asian", "Asian"),
    ],
)
def test_regions(said: str, region: str) -> None:
    assert settled(region=said) == {"region": region}


def test_a_country_gives_its_region_and_never_overrules_one() -> None:
    assert settled(country="USA") == {"country": "United States", "region": "Northern America"}
    assert settled(country="USA", region="Asia")["region"] == "Asia"
    assert settled(country="Atlantis") == {"country": "Atlantis"}


@pytest.mark.parametrize("said", ["Unknown", "N/A", "not stated", "Not specified"])
def test_nothing_said_is_no_claim(said: str) -> None:
    assert settled(gender=said, profession=said) == {}


def test_what_is_canonical_stays_the_same() -> None:
    said = {"age_band": "25-34", "gender": "nonbinary", "country": "Kenya", "region": "Africa"}
    said |= {"language": "Swahili", "profession": "nurse"}
    assert settled(**said) == said and settled() == {}
