from __future__ import annotations

import numpy as np

from zipp_dagster.imaging.checks import find_faults
from zipp_dagster.imaging.image_files import encode_png
from zipp_dagster.sampleworld.render import render
from zipp_dagster.sampleworld.vocabulary import Factors

GOOD = encode_png(render(Factors("cat", "neon", "vector", "night"), 1))
OTHER = encode_png(render(Factors("owl", "ocean", "oil", "mist"), 1))
BLACK = encode_png(np.zeros((64, 64, 3), dtype=np.uint8))
FAINT = encode_png((128 + np.random.default_rng(0).integers(0, 2, (64, 64, 3))).astype(np.uint8))


def test_good_pictures_have_no_faults():
    faults = find_faults([GOOD, OTHER])
    assert (faults.images, faults.constant, faults.blank, faults.duplicates) == (2, 0, 0, 0)


def test_planted_faults_are_counted():
    faults = find_faults([GOOD, BLACK, FAINT, b"no image", GOOD])
    assert faults.images == 5
    assert (faults.constant, faults.blank, faults.undecodable, faults.duplicates) == (1, 2, 1, 1)


def test_one_image_shared_by_equal_requests_is_no_duplicate():
    assert find_faults([GOOD, GOOD], ["k", "k"]).duplicates == 0
    assert find_faults([GOOD, GOOD], ["k", "l"]).duplicates == 1
