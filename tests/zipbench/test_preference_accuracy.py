from __future__ import annotations

import numpy as np
import pytest

from zipp_dagster.zipbench.cases import Case
from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.metrics import ImageEmbeddings
from zipp_dagster.zipbench.preference_accuracy import preference_accuracy

SETTINGS = ZipbenchSettings(bootstrap_replicates=200)
PICTURES = ImageEmbeddings(("good", "bad"), np.eye(2, dtype=np.float32))


def pair(case: str, user: str = "u") -> Case:
    return Case(case, "test", user, "a fox", preferred_image="good", rejected_image="bad")


def generated(**vectors: tuple[float, float]) -> ImageEmbeddings:
    names = tuple(name.replace("__", "/") for name in vectors)
    return ImageEmbeddings(names, np.array(list(vectors.values()), np.float32))


def test_a_picture_nearer_to_the_preferred_one_is_right_and_a_draw_is_half():
    made = generated(a__zipp_0shot=(1, 0), b__zipp_0shot=(0, 1), c__zipp_0shot=(1, 1))
    cases = [pair("a", "1"), pair("b", "2"), pair("c", "3")]
    (row,) = preference_accuracy(cases, made, PICTURES, SETTINGS, encoder="e").to_pylist()
    assert row["accuracy"] == pytest.approx(0.5) and (row["cases"], row["users"]) == (3, 3)
    assert row["low"] <= 0.5 <= row["high"] and row["p_value"] == 1.0


def test_people_count_once_in_the_test_however_many_cases_they_have():
    made = generated(**{f"c{n}__m": (1.0, 0.1) for n in range(12)})
    cases = [pair(f"c{n}", str(n % 6)) for n in range(12)]
    (row,) = preference_accuracy(cases, made, PICTURES, SETTINGS, encoder="e").to_pylist()
    assert row["accuracy"] == 1.0 and row["p_value"] == pytest.approx(2 / 2**6)


def test_cases_without_their_pictures_or_without_a_pair_are_left_out():
    cases = [
        pair("a"),
        Case("b", "test", "u", "x", reference_prompt="y"),
        Case("c", "test", "u", "x", preferred_image="gone", rejected_image="bad"),
    ]
    made = generated(a__m=(1, 0), b__m=(1, 0), c__m=(1, 0), d__m=(1, 0))
    table = preference_accuracy(cases, made, PICTURES, SETTINGS, encoder="e")
    assert table["cases"].to_pylist() == [1]
