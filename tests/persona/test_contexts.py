from __future__ import annotations

import pytest

from zipp_dagster.persona.contexts import (
    context_of_community,
    context_of_prompt,
    find_subjects,
    split_community,
)


@pytest.mark.parametrize(
    ("prompt", "context"),
    [
        ("a fox", "animals"),
        ("two kittens on an old boat", "animals"),
        ("a castle cat", "animals"),
        ("portrait of a woman with a parrot", "people"),
        ("portrait of a fox", "animals"),
        ("an old lighthouse by the sea", "places"),
        ("a hot air balloon", "vehicles"),
        ("snow-capped mountains", "nature"),
        ("an hourglass", "objects"),
        ("a dragon", "fantasy"),
        ("something beautiful", None),
    ],
)
def test_the_first_subject_of_a_prompt_decides_its_context(prompt: str, context: str) -> None:
    assert context_of_prompt(prompt) == context


def test_everyday_words_are_no_subject_of_speech() -> None:
    tokens = "i told those people about it over coffee".split()
    assert find_subjects(tokens, in_speech=True) == []
    assert find_subjects(tokens) != []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("EarthPorn", "earth porn"),
        ("earthporn", "earth porn"),
        ("buildapc", "build a pc"),
        ("Watercolor_Birds", "watercolor birds"),
        ("xyzzyqq", "xyzzyqq"),
    ],
)
def test_names_of_communities_are_split_into_words(name: str, words: str) -> None:
    assert split_community(name) == words


def test_a_community_has_the_context_of_its_name() -> None:
    assert context_of_community("PetPortraits") == "animals"
    assert context_of_community("AskAnything") is None
