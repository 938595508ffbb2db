from __future__ import annotations

import numpy as np
import pytest

from zipp_dagster.persona.subject import keeps_subject, lost_words, subject_similarity


@pytest.mark.parametrize(
    ("base", "prompt"),
    [
        ("a fox and two owls", "foxes, owl, two, ink"),
        ("a cat on a beach", "a kitten by the seaside, watercolor"),
        ("a wolf", "wolves in snow"),
        ("a hot air balloon over a city", "a balloon above the metropolis"),
        ("an old man reading", "an elderly man with a book"),
        ("a sailing ship", "a galleon, oil painting"),
    ],
)
def test_singular_plural_and_synonyms_keep_the_subject(base: str, prompt: str) -> None:
    assert keeps_subject(base, prompt)


@pytest.mark.parametrize(
    ("base", "prompt", "missing"),
    [
        ("a fox", "a wolf", ["fox"]),
        ("a fox and an owl", "a fox, ink drawing", ["owl"]),
        ("a hot air balloon", "hot air, ink drawing", ["balloon"]),
        ("an old castle", "a castle, ink drawing", ["old"]),
        ("a monster in a city", "an animal in a city", ["monster"]),
        ("a fox", "", ["fox"]),
    ],
)
def test_a_missing_word_or_a_neighbour_loses_it(base: str, prompt: str, missing: list) -> None:
    assert lost_words(base, prompt) == missing


def test_similarity_leaves_style_out_and_says_nothing_of_unknown_words() -> None:
    seen: list[str] = []

    def embed(texts):
        seen.extend(texts)
        return np.array([[float("fox" in t), float("owl" in t)] for t in texts], "f4")

    cosines = subject_similarity(
        ["a fox", "a fox", "a qzx"],
        ["a fox, watercolor painting, soft pastel colors", "an owl, ink drawing", "a qzx, ink"],
        embed,
    )
    assert cosines.tolist() == [1.0, 0.0, 1.0]
    assert seen == ["a fox", "a fox", "a qzx", "a fox", "an owl", "a qzx"]
