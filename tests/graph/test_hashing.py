"""The hash is splitmix64, even over ids in a row, and another draw for each seed and stream."""

from __future__ import annotations

import numpy as np
import pytest

from zipp_dagster.graph.hashing import GOLDEN, RANGE, mix, name_keys, user_keys


def test_mix_gives_the_published_numbers_of_splitmix64():
    states = np.array([0, GOLDEN], dtype=np.uint64)
    assert [hex(value) for value in mix(states)] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4"]


@pytest.mark.parametrize("ids", [np.arange(100_000), np.arange(100_000) << 40])
def test_keys_of_regular_ids_are_uniform(ids):
    keys = user_keys(ids.astype(np.uint64), 0, 61) / RANGE
    tenths = np.histogram(keys, bins=10, range=(0, 1))[0]
    assert tenths == pytest.approx(10_000, abs=400)
    neighbours = np.corrcoef(keys[1:], keys[:-1])[0, 1]
    assert abs(neighbours) < 0.02


def test_seeds_and_streams_are_independent_draws():
    ids = np.arange(50_000, dtype=np.uint64)
    draws = [user_keys(ids, *draw) / RANGE for draw in ((0, 61), (1, 61), (0, 62), (62, 0))]
    correlation = np.corrcoef(draws) - np.eye(4)
    assert np.abs(correlation).max() < 0.02


def test_names_have_keys_whatever_their_order():
    names = ["aww", "zürich", "ask"]
    keys = dict(zip(names, name_keys(names), strict=True))
    assert dict(zip(names[::-1], name_keys(names[::-1]), strict=True)) == keys
    assert len(set(keys.values())) == 3
