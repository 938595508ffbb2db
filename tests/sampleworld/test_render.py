from __future__ import annotations

import numpy as np
import pytest

from zipp_dagster.sampleworld.render import COLORS, render
from zipp_dagster.sampleworld.shapes import DRAWERS
from zipp_dagster.sampleworld.vocabulary import MEDIA, MOODS, PALETTES, SUBJECTS, Factors

BASE = Factors("cat", "neon", "vector", "sunny")


def test_every_subject_and_palette_can_be_drawn():
    assert list(DRAWERS) == list(SUBJECTS)
    assert list(COLORS) == list(PALETTES)
    for i, subject in enumerate(SUBJECTS):
        medium, mood = list(MEDIA)[i % 6], list(MOODS)[i % 4]
        picture = render(Factors(subject, "royal", medium, mood), i)
        assert picture.shape == (64, 64, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 10


@pytest.mark.parametrize("medium", list(MEDIA))
def test_same_factors_and_seed_give_the_same_bytes(medium):
    factors = Factors("castle", "forest", medium, "storm")
    assert render(factors, 5).tobytes() == render(factors, 5).tobytes()
    assert render(factors, 5).tobytes() != render(factors, 6).tobytes()


def test_each_factor_changes_the_picture():
    base = render(BASE, 1).astype(int)
    for change in (
        Factors("owl", "neon", "vector", "sunny"),
        Factors("cat", "ocean", "vector", "sunny"),
        Factors("cat", "neon", "oil", "sunny"),
        Factors("cat", "neon", "vector", "mist"),
    ):
        assert np.abs(render(change, 1).astype(int) - base).mean() > 5


def test_monochrome_has_no_color():
    picture = render(Factors("cat", "monochrome", "vector", "sunny"), 1).astype(int)
    assert np.abs(picture - picture.mean(axis=2, keepdims=True)).max() < 30


def test_the_size_is_free():
    assert render(BASE, 1, size=96).shape == (96, 96, 3)
