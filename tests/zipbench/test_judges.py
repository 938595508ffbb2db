from __future__ import annotations

import numpy as np
import pytest

from zipp_dagster.zipbench.config import JudgeSettings
from zipp_dagster.zipbench.judges.base import SCHEMA, JudgeError, Pair, judge_pairs, judge_row
from zipp_dagster.zipbench.judges.loading import load_judge

PAIR = Pair("a fox", b"good", b"bad")


class Script:
    """A comparing judge that answers by a rule of the two pictures."""

    name = "script"

    def __init__(self, rule) -> None:
        self.rule, self.asked = rule, []

    def compare(self, pairs):
        self.asked += [(p.first, p.second) for p in pairs]
        return [self.rule(p) for p in pairs]


class Brightness:
    name = "length"

    def score(self, prompts, images):
        return np.array([float(len(image)) for image in images])


def test_a_judge_that_always_says_the_first_is_inconclusive_both_orders_were_asked():
    judge = Script(lambda pair: "first")
    judged = judge_pairs(judge, [PAIR])
    assert judged.outcomes == ("inconclusive",) and judge.asked == [
        (b"good", b"bad"),
        (b"bad", b"good"),
    ]


def test_a_judge_that_follows_the_picture_decides_and_its_person_is_passed_on():
    good = Script(lambda pair: "first" if pair.first == b"good" else "second")
    assert judge_pairs(good, [PAIR, Pair("x", b"bad", b"good")]).outcomes == ("win", "loss")
    persons = []
    judge_pairs(Script(lambda p: persons.append(p.person)), [Pair("x", b"a", b"b", "likes fog")])
    assert persons == ["likes fog"] * 2


def test_answers_that_cannot_be_read_are_counted_and_never_a_decision():
    judged = judge_pairs(Script(lambda p: "first" if p.first == b"good" else None), [PAIR])
    assert judged.outcomes == ("unparsed",) and judged.parse_rate == 0.0
    assert judge_pairs(Script(lambda p: "tie"), [PAIR]).outcomes == ("inconclusive",)
    assert np.isnan(judge_pairs(Script(None), []).parse_rate)


def test_a_reward_model_scores_each_picture_and_equal_rewards_are_inconclusive():
    pairs = [PAIR, Pair("x", b"a", b"bb"), Pair("x", b"a", b"b")]
    judged = judge_pairs(Brightness(), pairs)
    assert judged.outcomes == ("win", "loss", "inconclusive")
    assert judged.first.tolist() == [4.0, 1.0, 1.0]


def test_a_reward_that_is_no_number_is_an_error():
    class Broken(Brightness):
        def score(self, prompts, images):
            return np.full(len(images), np.nan)

    with pytest.raises(JudgeError, match="length gave 1 rewards that are not numbers"):
        judge_pairs(Broken(), [PAIR])


def test_people_are_the_units_of_the_win_rate_and_all_outcomes_are_shown():
    judged = judge_pairs(Brightness(), [PAIR] * 8 + [Pair("x", b"a", b"bb"), Pair("x", b"a", b"b")])
    row = judge_row("zipp_0shot", "no_persona", "length", judged, [1] * 8 + [2, 3], 0.95)
    assert (row["wins"], row["losses"], row["inconclusive"], row["unparsed"]) == (8, 1, 1, 0)
    assert row["win_rate"] == 0.5 and row["p_value"] == 1.0 and row["users"] == 3
    assert set(row) == set(SCHEMA.names)


def test_a_judge_that_is_not_set_or_not_there_is_an_error_that_names_the_setting(tmp_path):
    with pytest.raises(JudgeError, match="set judge.kind"):
        load_judge(JudgeSettings())
    with pytest.raises(JudgeError, match="needs judge.model"):
        load_judge(JudgeSettings(kind="vlm"))
    with pytest.raises(JudgeError, match=r"judge.kind='hpsv2', judge.model='.*gone.pt' cannot be"):
        load_judge(JudgeSettings(kind="hpsv2", model=str(tmp_path / "gone.pt")))
