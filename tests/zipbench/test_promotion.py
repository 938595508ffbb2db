from __future__ import annotations

import numpy as np
import pytest

from zipp_dagster.zipbench.config import PromotionSettings, ZipbenchSettings
from zipp_dagster.zipbench.promotion import Comparison, decide_promotion

SETTINGS = ZipbenchSettings(bootstrap_replicates=300)
RULE = PromotionSettings()
NOISE = np.random.default_rng(0).normal(scale=0.02, size=60)


def scores(mean: float, users: int = 60, noise: float = 0.0) -> dict[int, float]:
    return {user: mean + noise * float(NOISE[user]) for user in range(users)}


def decide(*comparisons: Comparison, **options):
    return decide_promotion("gat 7", "gat 6", comparisons, RULE, SETTINGS, **options)


def primary(candidate: dict[int, float], opponent: dict[int, float], **options) -> Comparison:
    return Comparison("hits@50", "last month", candidate, opponent, **options)


def test_a_better_candidate_is_promoted_with_its_gain_as_the_reason():
    decision = decide(primary(scores(0.34, noise=1), scores(0.30)))
    assert decision.outcome == "promoted"
    assert "hits@50 on last month: gain +0.04" in decision.reasons[0]
    assert decision.verdicts[0].users == 60 and decision.verdicts[0].passed


def test_a_broken_candidate_is_kept_out_with_the_reason_and_without_an_exception():
    worse = decide(primary(scores(0.05), scores(0.30)))
    assert worse.outcome == "kept" and "below the gain" in worse.reasons[0]
    numbers = scores(0.4) | {3: float("nan")}
    broken = decide(primary(numbers, scores(0.30)))
    assert broken.outcome == "kept" and "1 users is not a number" in broken.reasons[0]


def test_equal_models_pass_but_a_loss_that_is_not_ruled_out_does_not():
    assert decide(primary(scores(0.3), scores(0.3))).outcome == "promoted"
    wild = decide(primary(scores(0.301, noise=5), scores(0.30)))
    assert wild.outcome == "kept" and "not ruled out" in wild.reasons[0]


def test_a_guard_and_the_development_benchmark_can_veto():
    good = primary(scores(0.34), scores(0.30))
    guard = primary(scores(0.20), scores(0.30), role="guard")
    assert decide(good, guard).outcome == "kept"
    benchmark = Comparison("clip_i", "dev ZIPBench", scores(0.285), scores(0.30), "benchmark")
    assert decide(good, benchmark).outcome == "promoted"  # −0.015 is within its tolerance of 0.02
    broken = Comparison("clip_i", "dev ZIPBench", scores(0.1), scores(0.30), "benchmark")
    assert "clip_i on dev ZIPBench" in decide(good, broken).reasons[0]


def test_lower_can_be_better():
    lower = primary(scores(0.2), scores(0.3), higher_is_better=False)
    decision = decide(lower)
    assert decision.outcome == "promoted" and decision.verdicts[0].gain.value == pytest.approx(0.1)


def test_a_valid_first_candidate_serves_even_if_popularity_is_as_good():
    same = decide(primary(scores(0.2, noise=1), scores(0.2)), first=True)
    assert same.outcome == "promoted" and "no champion yet" in same.reasons[0]
    assert any("not clearly better than the baseline" in reason for reason in same.reasons)


def test_a_first_candidate_whose_scores_are_not_numbers_does_not_serve():
    broken = decide(primary(scores(0.3) | {3: float("nan")}, scores(0.2)), first=True)
    assert broken.outcome == "kept"


def test_with_first_must_win_the_first_candidate_must_clearly_beat_popularity():
    rule = PromotionSettings(first_must_win=True)

    def strictly(candidate: dict[int, float]):
        comparison = primary(candidate, scores(0.2))
        return decide_promotion("gat 1", "popularity", [comparison], rule, SETTINGS, first=True)

    assert strictly(scores(0.3, noise=1)).outcome == "promoted"
    same = strictly(scores(0.2, noise=1))
    assert same.outcome == "kept" and "not clearly better than the baseline" in same.reasons[0]


def test_an_invalid_candidate_few_users_and_no_primary_metric_are_kept():
    good = primary(scores(0.34), scores(0.30))
    assert "check failed" in decide(good, invalid=["check failed"]).reasons[0]
    few = decide(primary(scores(0.9, users=19), scores(0.1, users=19)))
    assert few.outcome == "kept" and "19 users are too few (20 needed)" in few.reasons[0]
    assert "no primary metric" in decide().reasons[0]


def test_scores_of_different_users_are_the_callers_error():
    with pytest.raises(ValueError, match="different users"):
        decide(primary(scores(0.3), scores(0.3, users=59)))
