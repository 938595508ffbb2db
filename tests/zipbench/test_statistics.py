from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from scipy import stats
from scipy.special import stdtrit

from zipp_dagster.zipbench.statistics import (
    Bootstrap,
    binomial_test,
    holm,
    mean_interval,
    paired_difference,
    relative_lift,
    resample_counts,
    two_way_difference,
    wilson_interval,
)

FAST = Bootstrap(replicates=400, confidence=0.95, seed=3)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values, users = np.arange(20.0), np.arange(20)
    assert mean_interval(values, users, FAST) == mean_interval(values, users, FAST)
    assert mean_interval(values, users, FAST) != mean_interval(
        values, users, Bootstrap(400, 0.95, 4)
    )


def test_every_replicate_draws_as_many_users_as_there_are_and_chunks_do_not_matter(monkeypatch):
    whole = np.concatenate(list(resample_counts(7, FAST)))
    assert whole.shape == (400, 7) and (whole.sum(1) == 7).all()
    monkeypatch.setattr("zipp_dagster.zipbench.statistics._CELLS_A_CHUNK", 70)
    assert (np.concatenate(list(resample_counts(7, FAST))) == whole).all()


def test_users_are_resampled_whole_so_repeating_a_users_case_does_not_narrow_the_interval():
    values, users = np.random.default_rng(0).normal(size=30), np.arange(30)
    once = mean_interval(values, users, FAST)
    tenfold = mean_interval(np.repeat(values, 10), np.repeat(users, 10), FAST)
    assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high))


def test_one_user_has_a_value_and_no_interval():
    interval = mean_interval([1.0, 3.0], [5, 5], FAST)
    assert (interval.value, interval.low, interval.high) == (2.0, None, None)
    assert not interval.excludes_zero


def test_values_that_are_not_numbers_and_empty_lists_are_errors():
    with pytest.raises(ValueError, match="user 9"):
        mean_interval([1.0, float("nan")], [8, 9], FAST)
    with pytest.raises(ValueError, match="at least one case"):
        mean_interval([], [], FAST)
    with pytest.raises(ValueError, match="differ in number"):
        paired_difference([1.0, 2.0], [1.0], [1, 2], FAST)


def test_a_constant_gain_has_a_paired_interval_of_width_zero():
    baseline = np.random.default_rng(0).normal(size=40)
    gain = paired_difference(baseline + 0.25, baseline, np.arange(40), FAST)
    assert (gain.value, gain.low, gain.high) == pytest.approx((0.25, 0.25, 0.25))
    assert gain.excludes_zero


def test_lift_is_the_ratio_of_means_and_undefined_over_a_baseline_that_is_not_positive():
    lift = relative_lift([1.2, 2.4], [1.0, 2.0], [1, 2], FAST)
    assert lift is not None and lift.value == pytest.approx(0.2)
    assert (lift.low, lift.high) == pytest.approx((0.2, 0.2))
    assert relative_lift([1.0, 1.0], [-1.0, 0.5], [1, 2], FAST) is None
    assert (
        relative_lift([1.0, 1.0], [-1.0, 2.0], [1, 2], FAST) is None
    )  # some resamples are negative


def test_the_bootstrap_covers_the_true_mean_in_about_95_of_100_worlds():
    rng = np.random.default_rng(5)
    users = np.repeat(np.arange(60), 2)
    covered = 0
    for world in range(300):
        person = rng.normal(size=60)
        values = 0.3 + person[users] + rng.normal(size=120)
        interval = mean_interval(values, users, Bootstrap(400, 0.95, world))
        covered += interval.low <= 0.3 <= interval.high
    assert 0.91 <= covered / 300 <= 0.98  # three standard errors of 300 worlds


@pytest.mark.parametrize(("wins", "votes"), [(0, 1), (5, 10), (79, 100), (198, 250), (250, 250)])
def test_wilson_and_binomial_agree_with_scipy(wins, votes):
    oracle = stats.binomtest(wins, votes, 0.5)
    ends = oracle.proportion_ci(0.95, method="wilson")
    ours = wilson_interval(wins, votes)
    assert (ours.low, ours.high) == pytest.approx((ends.low, ends.high), abs=1e-9)
    assert binomial_test(wins, votes) == pytest.approx(oracle.pvalue, abs=1e-12)


def test_no_vote_is_an_error():
    with pytest.raises(ValueError, match="0 trials"):
        wilson_interval(0, 0)


def test_a_p_value_is_the_interval_read_backwards():
    rng = np.random.default_rng(2)
    for world in range(40):
        values = rng.normal(0.25, 1.0, size=30)
        gain = paired_difference(values, np.zeros(30), np.arange(30), Bootstrap(999, 0.95, world))
        # Quantiles interpolate between replicates, p-values count them: at the edge either may be.
        if not 0.04 < gain.p_value < 0.06:
            assert (gain.p_value < 0.05) == gain.excludes_zero


def test_no_difference_has_p_one_and_a_constant_one_the_smallest_that_replicates_can_show():
    users = np.arange(30)
    assert paired_difference(np.ones(30), np.ones(30), users, FAST).p_value == 1.0
    constant = paired_difference(np.full(30, 1.1), np.ones(30), users, FAST)
    assert 0 < constant.p_value < 0.02 and constant.detectable == pytest.approx(0.0)


def test_holm_agrees_with_statsmodels_and_keeps_the_order_of_the_family():
    from statsmodels.stats.multitest import multipletests

    family = np.random.default_rng(0).uniform(size=12) ** 3
    assert holm(family) == pytest.approx(multipletests(family, method="holm")[1])
    assert holm([0.01, 0.9, 0.02]) == pytest.approx([0.03, 0.9, 0.04])
    assert holm([]).shape == (0,)
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, 1.5])


def test_a_narrow_sample_detects_less_than_a_wide_one():
    rng = np.random.default_rng(0)
    few, many = (
        paired_difference(rng.normal(size=n), np.zeros(n), np.arange(n), FAST) for n in (25, 400)
    )
    # 2.8 standard errors at 80 % power; a little more with few users.
    assert few.detectable == pytest.approx(2.8 / 5, rel=0.25)
    assert many.detectable == pytest.approx(2.8 / 20, rel=0.15)


def test_two_ways_of_being_alike_have_the_multiway_standard_error():
    """Against Cameron, Gelbach and Miller's formula: first + second − both."""
    rng = np.random.default_rng(3)
    first, second = (a.ravel() for a in np.indices((40, 30)))
    values = rng.normal(0, 1, 40)[first] + rng.normal(0, 1, 30)[second] + rng.normal(0, 1, 1200)
    found = two_way_difference(values, first, second, Bootstrap(4000, seed=1), against=0.2)
    error = values - values.mean()
    sums, others = np.bincount(first, error), np.bincount(second, error)
    variance = (sums @ sums + others @ others - error @ error) / len(values) ** 2
    half = sqrt(variance) * sqrt(30 / 29) * stdtrit(29, 0.975)
    assert found.value == pytest.approx(values.mean() - 0.2)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)


def test_groups_within_groups_have_the_spread_of_the_outer_ones_alone():
    rng = np.random.default_rng(4)
    people = np.repeat(np.arange(30), 8)
    values = rng.normal(0, 1, 30)[people] + rng.normal(0, 1, 240)
    two = two_way_difference(values, people, np.arange(240), Bootstrap(4000))
    one = paired_difference(values, np.zeros(240), people, Bootstrap(4000))
    assert two.high - two.low == pytest.approx(one.high - one.low, rel=0.05)
    assert two.value == one.value


def test_below_two_groups_of_either_kind_there_is_no_interval():
    for first, second in (([0, 0, 0], [0, 1, 2]), ([0, 1, 2], [5, 5, 5])):
        found = two_way_difference([1.0, 0.0, 1.0], first, second, Bootstrap(50), against=0.5)
        assert (found.low, found.high, found.p_value) == (None, None, None)
