from __future__ import annotations

import pytest

from zipp_dagster.sampleworld.vocabulary import (
    FACTOR_VALUES,
    PARAPHRASES,
    SUBJECT_CONTEXTS,
    SUBJECTS,
    Factors,
    all_factors,
)


def test_every_subject_has_a_context():
    assert list(SUBJECT_CONTEXTS) == list(SUBJECTS)
    assert set(SUBJECT_CONTEXTS.values()) == {"animals", "places", "vehicles", "nature"}


def test_the_combinations_are_all_different():
    assert len(set(all_factors())) == 14 * 8 * 6 * 4


def test_no_phrase_names_two_values_of_one_factor():
    for name, values in FACTOR_VALUES.items():
        phrases = [p for options in values.values() for p in options]
        phrases += [p for options in PARAPHRASES[name].values() for p in options]
        assert len(phrases) == len(set(phrases))


def test_paraphrases_cover_every_value():
    assert {n: set(v) for n, v in PARAPHRASES.items()} == {
        n: set(v) for n, v in FACTOR_VALUES.items()
    }


def test_an_unknown_value_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown palette 'pink'.*neon"):
        Factors("cat", "pink", "oil", "night")
