from __future__ import annotations

import random
from collections import Counter

import pytest

from zipp_dagster.studio.pairs import BROKEN, plan_pairs
from zipp_dagster.studio.study import StudyConfig, StudyError, checked_study, load_study


def plan(seed=0, **values):
    return plan_pairs(StudyConfig(name="pilot", **values), random.Random(seed))


def test_a_participant_gets_all_pairs_and_all_attention_checks():
    kinds = Counter(pair.kind for pair in plan(pairs=20, attention_checks=2))
    assert kinds == {"vote": 20, "attention": 2}


def test_the_order_is_the_participants_own():
    first, second = plan(1), plan(2)
    assert [p.prompt for p in first] != [p.prompt for p in second]
    assert plan(1) == first


@pytest.mark.parametrize("seed", range(5))
def test_each_method_is_as_often_left_as_right(seed):
    pairs = [p for p in plan(seed, pairs=20) if p.kind == "vote"]
    left = Counter((p.left_method, p.right_method) for p in pairs)
    assert set(left.values()) == {5} and len(left) == 4


def test_no_prompt_comes_twice_before_all_were_used():
    prompts = [p.prompt for p in plan(pairs=20, attention_checks=2)]
    assert len(set(prompts)) == 22
    few = [p.prompt for p in plan(prompts=("a cat", "a dog"), pairs=3, attention_checks=1)]
    assert Counter(few) == {"a cat": 2, "a dog": 2}


def test_an_attention_check_has_one_broken_side_and_is_never_first():
    for seed in range(20):
        planned = plan(seed, pairs=2, attention_checks=2)
        assert planned[0].kind == "vote"
        checks = [p for p in planned if p.kind == "attention"]
        assert all([p.left_method, p.right_method].count(BROKEN) == 1 for p in checks)


def test_seeds_are_those_of_the_study():
    assert {p.seed for p in plan(seeds=(5, 9), pairs=40)} == {5, 9}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "No Blanks"}, "name"),
        ({"name": "pilot", "methods": [["zipp_0shot", "zipp_0shot"]]}, "zipp_0shot twice"),
        ({"name": "pilot", "methods": [["zipp_0shot", "magic"]]}, "methods"),
        ({"name": "pilot", "pears": 3}, "pears"),
        ({"name": "pilot", "pairs": 0}, "pairs"),
    ],
)
def test_a_wrong_study_names_its_field(values, message):
    with pytest.raises(StudyError, match=f"the file: .*{message}"):
        checked_study(values, "the file")


def test_a_study_is_read_from_toml_and_from_json(tmp_path):
    toml, json = tmp_path / "a.toml", tmp_path / "a.json"
    toml.write_text('name = "pilot"\npairs = 3\n')
    json.write_text('{"name": "pilot", "pairs": 3}')
    assert load_study(toml) == load_study(json) == StudyConfig(name="pilot", pairs=3)
    toml.write_text("name = ")
    with pytest.raises(StudyError, match=r"a\.toml cannot be read"):
        load_study(toml)


def test_each_kind_of_study_has_a_title_and_a_consent_text_of_its_own():
    votes, ratings = (StudyConfig(name="pilot", kind=k) for k in ("preference", "persona_quality"))
    assert "two pictures" in votes.consent and "rate each" in ratings.consent
    assert votes.title != ratings.title
    assert StudyConfig(name="pilot", title="Mine").title == "Mine"
