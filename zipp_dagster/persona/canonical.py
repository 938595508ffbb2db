"""Demographics of a language model in the words that population tables have.

A model writes "Male", "mid-30s", "Western Europe": whoever weights people by what personas claim would
know none of them. What cannot be told for sure keeps its words and counts as unknown there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from zipp_dagster.persona.demographics import (
    age_band,
    age_of_decade,
    country_facts,
    country_named,
    language_named,
)
from zipp_dagster.persona.lexicon import word_set, words
from zipp_dagster.persona.schema import (
    AGE_BANDS,
    CLOSED_FIELDS,
    REGIONS,
    Demographic,
    Demographics,
    Persona,
)

_NOTHING: Final = word_set(
    "unknown unspecified undisclosed unclear undetermined none null na notstated notspecified "
    "notmentioned notdisclosed notgiven notknown"
)
_GENDERS: Final = {
    **dict.fromkeys(word_set("male man men guy boy m hehim"), "male"),
    **dict.fromkeys(word_set("female woman women lady girl f sheher"), "female"),
    **dict.fromkeys(word_set("nonbinary enby theythem"), "nonbinary"),
}
_CONTINENTS: Final = {"africa": "Africa", "asia": "Asia", "europe": "Europe", "oceania": "Oceania"}
_PARTS: Final = word_set(
    "north northern south southern east eastern west western central middle southeast southeastern "
    "northeast northeastern southwest southwestern northwest northwestern sub saharan the"
)
_REGIONS: Final = {
    **dict.fromkeys(word_set("northamerica northernamerica usandcanada"), "Northern America"),
    **dict.fromkeys(
        word_set("latinamerica southamerica centralamerica caribbean thecaribbean"),
        "Latin America and the Caribbean",
    ),
    **dict.fromkeys(
        word_set("australasia pacificislands polynesia melanesia micronesia"), "Oceania"
    ),
}
_DECADE: Final = re.compile(
    r"\b(?:(early|mid|late)[ -]*)?"
    r"(20s|30s|40s|50s|60s|70s|twenties|thirties|forties|fifties|sixties|seventies)\b"
)
_NUMBER: Final = re.compile(r"\b\d{1,3}\b")
_OPEN: Final = re.compile(r"\+|\b(?:over|older|above|up|plus|under|younger|below|less|more)\b")


def canonical_persona(persona: Persona) -> Persona:
    """The persona with canonical demographics; itself where they are so already."""
    demographics = canonical_demographics(persona.demographics)
    if demographics == persona.demographics:
        return persona
    return persona.model_copy(update={"demographics": demographics})


def canonical_demographics(said: Demographics) -> Demographics:
    """Values as `CLOSED_FIELDS` and the word lists write them, and the region of a known country.

    A region that is missing is the country's, with its confidence and evidence.
    """
    found = {name: _canonical(name, claim) for name, claim in said.items()}
    country = found["country"]
    facts = country_facts().get(country.value)
    if facts and not found["region"].known:
        found["region"] = country.model_copy(update={"value": facts["region"]})
    return Demographics(**found)


def _canonical(name: str, claim: Demographic) -> Demographic:
    if not claim.known or claim.value in CLOSED_FIELDS.get(name, ()):
        return claim
    if _letters(claim.value) in _NOTHING:
        return Demographic()
    value = _READERS[name](claim.value) if name in _READERS else None
    if value is None or value == claim.value:
        return claim
    return claim.model_copy(update={"value": value})


def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text.lower()))


def _age_band(text: str) -> str | None:
    """The band of an age, a decade, or a range within one band. Nothing is read of minors."""
    text = re.sub("[\u2010-\u2015]", "-", text.lower())
    ages = [age_of_decade(part, decade) for part, decade in _DECADE.findall(text)]
    ages = ages or [int(number) for number in _NUMBER.findall(text)]
    if not ages or min(ages) < 18 or max(ages) > 120:
        return None
    bands = {age_band(age) for age in ages}
    # "Over 65" is a band, "over 30" is none.
    if len(bands) > 1 or (_OPEN.search(text) and bands != {AGE_BANDS[-1]}):
        return None
    return bands.pop()


def _gender(text: str) -> str | None:
    return _GENDERS.get(_letters(text))


def _country(text: str) -> str | None:
    """The one country that is named, alone or after a place: "Ohio, USA"."""
    named = {country_named(part) for part in re.split(r"[,/()]", text)} - {None}
    return named.pop() if len(named) == 1 else None


def _region(text: str) -> str | None:
    letters = _letters(text.replace("&", "and"))
    exact = {_letters(region): region for region in REGIONS}.get(letters) or _REGIONS.get(letters)
    if exact:
        return exact
    *parts, last = words(text) or [""]
    if last in _CONTINENTS and _PARTS.issuperset(parts):
        return _CONTINENTS[last]
    country = _country(text)
    return country_facts()[country]["region"] if country else None


_READERS: Final[Mapping[str, Callable[[str], str | None]]] = {
    "age_band": _age_band,
    "gender": _gender,
    "country": _country,
    "region": _region,
    "language": language_named,
}
