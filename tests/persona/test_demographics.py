from __future__ import annotations

import pytest

from zipp_dagster.persona.demographic_claims import summarise
from zipp_dagster.persona.demographics import Statement, statements_in
from zipp_dagster.persona.lexicon import Passages


def facts(text: str) -> set[tuple[str, str]]:
    return {(s.field, s.value) for said in statements_in(Passages([text])).values() for s in said}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'm 27 and live in Ohio", {("age_band", "25-34"), ("country", "United States")}),
        ("(34F) here", {("age_band", "25-34"), ("gender", "female")}),
        ("I work as a line cook", {("profession", "chef")}),
        ("As a nurse I see this daily", {("profession", "nurse")}),
        ("Nurse here. Same story.", {("profession", "nurse")}),
        ("Graduate student - here's my resume.", {("profession", "student")}),
        ("I'm retired now", {("profession", "retired")}),
        ("As a dad of two I get it", {("gender", "male")}),
        ("greetings from Sapporo", {("country", "Japan")}),
        ("I grew up speaking Polish", {("language", "Polish")}),
        ("I'm in my late 30s", {("age_band", "35-44")}),
    ],
)
def test_self_descriptions_are_found(text: str, expected: set[tuple[str, str]]) -> None:
    assert facts(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "my wife is a teacher",
        "I'm not a lawyer",
        "if I was a doctor",
        'he said "I\'m a pilot"',
        "I'm 20 minutes away",
        "it cost 80m last year",
        "I'm a huge fan",
        "I'm 15 and this is deep",
        "we should visit Japan one day",
    ],
)
def test_others_hypotheses_and_numbers_are_not(text: str) -> None:
    assert facts(text) == set()


def test_everything_is_unknown_without_evidence() -> None:
    assert not any(d.known for _, d in summarise([]).items())


def test_confidence_grows_with_agreement_and_falls_with_contradiction() -> None:
    nurse, chef = Statement("profession", "nurse", 0.6), Statement("profession", "chef", 0.6)
    once = summarise([(nurse, "a")]).profession
    twice = summarise([(nurse, "a"), (nurse, "b")]).profession
    torn = summarise([(nurse, "a"), (chef, "b")]).profession
    assert once.confidence < twice.confidence
    assert twice.evidence == ("a", "b")
    assert not torn.known


def test_a_hint_alone_claims_nothing() -> None:
    assert not summarise([(Statement("country", "Canada", 0.3), "r/canada")]).country.known


def test_a_country_brings_its_region_and_less_surely_its_language() -> None:
    who = summarise([(Statement("country", "Brazil", 0.8), "a")])
    assert who.region.value == "Latin America and the Caribbean"
    assert who.language.value == "Portuguese"
    assert who.language.confidence < who.country.confidence
