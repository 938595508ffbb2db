from __future__ import annotations

import numpy as np
import pytest

from zipp_dagster.studio import bradley_terry
from zipp_dagster.studio.agreement import cohen_kappa, krippendorff_alpha, mean_pairwise_kappa
from zipp_dagster.studio.bradley_terry import Outcome, strengths
from zipp_dagster.studio.power import plan_study, power_of
from zipp_dagster.zipbench.statistics import percentile_interval

# Krippendorff 2011, section C: four observers, twelve units, missing data.
_ = None
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]
UNITS = [[row[i] for row in OBSERVERS if row[i] is not None] for i in range(12)]


@pytest.mark.parametrize(
    ("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_alpha_is_that_of_the_published_example(level, published):
    assert krippendorff_alpha(UNITS, level) == pytest.approx(published, abs=5e-4)


def test_alpha_is_one_for_agreement_and_below_zero_for_systematic_disagreement():
    assert krippendorff_alpha([[1, 1], [2, 2], [3, 3]], "ordinal") == 1.0
    assert krippendorff_alpha([[1, 2], [1, 2], [1, 2]]) < 0
    assert krippendorff_alpha([[1, 1], [1, 1]]) is None
    assert krippendorff_alpha([[1], [2]]) is None


def test_kappa_is_scikit_learns():
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(0)
    first = rng.integers(1, 6, 60)
    second = np.clip(first + rng.integers(-1, 2, 60), 1, 5)
    ours = cohen_kappa(first.tolist(), second.tolist(), 5)
    theirs = cohen_kappa_score(first, second, weights="quadratic", labels=[1, 2, 3, 4, 5])
    assert ours == pytest.approx(theirs, abs=1e-12)


def test_kappa_of_several_raters_uses_the_items_that_two_share():
    ratings = {"a": {1: 5, 2: 1, 3: 3}, "b": {1: 5, 2: 1}, "c": {9: 2}}
    assert mean_pairwise_kappa(ratings) == 1.0
    assert mean_pairwise_kappa({"a": {1: 5}, "b": {2: 5}}) is None


def votes(first, second, wins, losses, ties=0, people=10):
    shares = [1.0] * wins + [0.0] * losses + [0.5] * ties
    return [Outcome(f"p{i % people}", first, second, share) for i, share in enumerate(shares)]


def test_two_methods_have_the_win_rates_that_bradley_terry_implies():
    a, b = strengths(votes("a", "b", 80, 20, people=7))
    # Against an average method: odds are the square root of the odds against each other.
    odds = np.sqrt(80.5 / 20.5)
    assert (a.method, b.method) == ("a", "b")
    assert a.value == pytest.approx(odds / (1 + odds), abs=1e-6)
    assert a.value + b.value == pytest.approx(1.0)
    assert a.low < a.value < a.high


def test_methods_that_never_met_are_ordered_through_a_third():
    found = strengths(votes("a", "b", 80, 20) + votes("b", "c", 80, 20))
    assert [s.method for s in found] == ["a", "b", "c"]


def test_the_interval_is_widened_for_few_people(monkeypatch):
    told = []

    def interval(value, replicates, confidence, clusters=None):
        told.append(clusters)
        return percentile_interval(value, replicates, confidence, clusters)

    monkeypatch.setattr(bradley_terry, "percentile_interval", interval)
    strengths(votes("a", "b", 8, 4, people=6))
    assert told == [6, 6]


def test_a_method_that_never_lost_has_a_finite_strength():
    assert strengths(votes("a", "b", 10, 0))[0].value < 1.0
    assert strengths([]) == []


def test_methods_without_a_connection_are_left_out():
    found = strengths(votes("a", "b", 5, 5) + votes("x", "y", 1, 0))
    assert {s.method for s in found} == {"a", "b"}


def test_power_matches_a_simulation():
    rng = np.random.default_rng(1)
    wins = rng.binomial(100, 0.65, 20_000)
    # 39 and 61 are the last counts that the exact test at 5 % does not reject, plus one.
    simulated = np.mean((wins <= 39) | (wins >= 61))
    assert power_of(100, 0.65) == pytest.approx(simulated, abs=0.01)
    assert power_of(100, 0.5) <= 0.05


def test_the_planned_study_has_the_power_and_one_vote_less_has_not():
    plan = plan_study(0.65, power=0.8, votes_a_person=1, tie_share=0.0, icc=0.0)
    assert plan.decided_votes == plan.effective_votes == plan.participants
    assert plan.power >= 0.8 > power_of(plan.effective_votes - 1, 0.65)


def test_alike_votes_and_ties_need_more_people():
    alone = plan_study(0.6, votes_a_person=10, tie_share=0.0, icc=0.0)
    alike = plan_study(0.6, votes_a_person=10, tie_share=0.0, icc=0.2)
    ties = plan_study(0.6, votes_a_person=10, tie_share=0.5, icc=0.0)
    assert alike.participants > alone.participants and ties.participants == 2 * alone.participants


@pytest.mark.parametrize("values", [{"win_rate": 0.5}, {"win_rate": 0.6, "icc": 2}])
def test_a_plan_out_of_range_is_refused(values):
    with pytest.raises(ValueError, match="out of range"):
        plan_study(**values)
