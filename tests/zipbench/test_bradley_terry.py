from __future__ import annotations

import choix
import numpy as np
import pytest

from zipp_dagster.zipbench.bradley_terry import bradley_terry, strength_intervals
from zipp_dagster.zipbench.statistics import Bootstrap


def contest(methods: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    wins = rng.integers(1, 40, size=(methods, methods)).astype(float)
    np.fill_diagonal(wins, 0)
    return wins


@pytest.mark.parametrize(("methods", "prior"), [(2, 0.0), (4, 0.0), (9, 0.5)])
def test_strengths_agree_with_choix(methods, prior):
    wins = contest(methods, seed=methods)
    oracle = choix.ilsr_pairwise_dense(wins + prior * (1 - np.eye(methods)), tol=1e-12)
    assert bradley_terry(wins, prior) == pytest.approx(oracle - oracle.mean(), abs=1e-7)


def test_two_methods_differ_by_the_log_odds_of_a_win():
    first, second = bradley_terry(np.array([[0, 30], [10, 0]]), prior=0.0)
    assert first - second == pytest.approx(np.log(3)) and first == pytest.approx(-second)


def test_many_problems_at_once_equal_one_after_the_other():
    several = np.stack([contest(5, seed) for seed in range(6)])
    assert bradley_terry(several) == pytest.approx(np.stack([bradley_terry(w) for w in several]))


def test_a_method_that_never_loses_is_finite_with_the_prior_and_an_error_without():
    wins = np.array([[0.0, 8.0], [0.0, 0.0]])
    assert np.isfinite(bradley_terry(wins)).all()
    with pytest.raises(ValueError, match="never lost"):
        bradley_terry(wins, prior=0.0)


def test_counts_that_are_none_are_errors():
    with pytest.raises(ValueError, match="square"):
        bradley_terry(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="not negative"):
        bradley_terry(np.array([[0, -1], [2, 0]]))


def test_users_are_resampled_whole_and_one_user_has_no_interval():
    users = np.stack([contest(3, seed) for seed in range(30)])
    first, *_ = strength_intervals(users, Bootstrap(300, 0.95, 1))
    assert first.low < first.value < first.high
    repeated = strength_intervals(np.repeat(users, 4, axis=0), Bootstrap(300, 0.95, 1))[0]
    assert repeated.high - repeated.low < first.high - first.low
    assert strength_intervals(users[:1], Bootstrap(300, 0.95, 1))[0].low is None
