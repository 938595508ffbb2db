"""A champion is compared only on a split that it, too, was kept from."""

from __future__ import annotations

import json

import pytest

from assets.promotion import other_split
from zipp_dagster.graph.split import split_rule

FACTS = {"draw": "hash 1", "kind": "temporal", "seed": 0, "min_communities": 3, "unseen_share": 0.1}


@pytest.fixture
def split(tmp_path):
    (tmp_path / "split.json").write_text(json.dumps(FACTS))
    return tmp_path


def test_a_champion_of_the_same_split_is_compared(split):
    assert other_split({"split": split_rule(split)}, split) is None


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"kind": "random"}, {"unseen_share": 0.2}, {"min_communities": 4}]
)
def test_a_champion_of_a_split_with_other_settings_is_not(split, change):
    then = split_rule(split)
    (split / "split.json").write_text(json.dumps(FACTS | change))
    reason = other_split({"split": then}, split)
    assert reason and f"then: {then}" in reason and split_rule(split) in reason


def test_a_champion_whose_split_is_not_recorded_is_not(split):
    assert "a split that is not recorded" in other_split({}, split)
