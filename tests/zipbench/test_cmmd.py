from __future__ import annotations

from math import exp

import numpy as np
import pytest

from zipp_dagster.zipbench.cmmd import (
    cmmd,
    cmmd_unbiased,
    median_bandwidth,
    split_half_floor,
)


def unit(n: int, seed: int, dimensions: int = 5, shift: float = 0.0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, dimensions)) + shift
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def by_double_loop(
    x: np.ndarray, y: np.ndarray, sigma: float, unbiased: bool, paired: bool
) -> float:
    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return exp(-float(((a - b) ** 2).sum()) / (2 * sigma * sigma))

    def mean(left: np.ndarray, right: np.ndarray, without_same: bool) -> float:
        values = [
            kernel(a, b)
            for i, a in enumerate(left)
            for j, b in enumerate(right)
            if not (without_same and i == j)
        ]
        return sum(values) / len(values)

    return 1000 * (mean(x, x, unbiased) + mean(y, y, unbiased) - 2 * mean(x, y, paired))


def test_both_forms_of_cmmd_equal_a_double_loop():
    x, y = unit(9, 1), unit(7, 2, shift=0.3)
    assert cmmd(x, y) == pytest.approx(by_double_loop(x, y, 10.0, False, False), abs=1e-8)
    for sigma in (0.5, 1.4):
        assert cmmd_unbiased(x, y, sigma) == pytest.approx(
            by_double_loop(x, y, sigma, True, False), abs=1e-8
        )
        assert cmmd_unbiased(x[:7], y, sigma, paired=True) == pytest.approx(
            by_double_loop(x[:7], y, sigma, True, True), abs=1e-8
        )


def test_blocks_of_rows_give_the_same_distance(monkeypatch):
    x, y = unit(9, 1), unit(8, 2)
    whole = cmmd(x, y), cmmd_unbiased(x, y, 1.0)
    monkeypatch.setattr("zipp_dagster.zipbench.cmmd._ROWS", 3)
    assert (cmmd(x, y), cmmd_unbiased(x, y, 1.0)) == pytest.approx(whole)


def test_identical_pictures_have_distance_zero():
    x = np.repeat(unit(1, 1), 6, axis=0)
    assert cmmd(x, x) == pytest.approx(0.0, abs=1e-9)
    assert cmmd_unbiased(x, x, median_bandwidth(x)) == pytest.approx(0.0, abs=1e-9)
    assert median_bandwidth(x) == 1.0


def test_the_papers_bandwidth_is_blind_to_two_opposite_tastes_and_the_median_one_sees_them():
    ends = np.array([[1.0, 0, 0], [-1.0, 0, 0]] * 20)  # two tastes, whose mean is the origin
    circle = np.array([[0, np.cos(t), np.sin(t)] for t in np.linspace(0, 2 * np.pi, 41)[:-1]])
    assert cmmd(ends, circle) < 0.1
    assert cmmd_unbiased(ends, circle, median_bandwidth(circle)) > 50


def test_the_biased_floor_shrinks_with_the_number_of_pictures_and_the_unbiased_one_is_zero():
    few, many = unit(20, 3, dimensions=64), unit(400, 3, dimensions=64)
    small, large = (split_half_floor(x, 10.0, 0, unbiased=False) for x in (few, many))
    assert small.mean > 5 * large.mean > 0
    honest = split_half_floor(many, median_bandwidth(many), 0)
    assert abs(honest.mean) < 0.5 < honest.high
    assert split_half_floor(few[:3], 10.0, 0) is None


def test_all_splits_of_the_floor_equal_one_distance_after_the_other():
    x, rng, distances = unit(11, 4), np.random.default_rng(8), {True: [], False: []}
    for _ in range(6):
        order = rng.permutation(11)
        halves = x[order[:5]], x[order[5:10]]
        distances[True].append(cmmd_unbiased(*halves, 1.2))
        distances[False].append(cmmd(*halves, 1.2))
    for unbiased, scores in distances.items():
        floor = split_half_floor(x, 1.2, 8, unbiased=unbiased, splits=6)
        assert floor.mean == pytest.approx(np.mean(scores))
        assert floor.high == pytest.approx(np.quantile(scores, 0.95))


def test_a_paired_distance_of_same_case_resemblance_alone_is_zero_in_expectation():
    rng = np.random.default_rng(0)
    subject = rng.normal(size=(300, 8))  # the case's subject, shared by both of its pictures
    x, y = (subject + 0.3 * rng.normal(size=(300, 8)) for _ in range(2))
    x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
    assert abs(cmmd_unbiased(x, y, 1.4, paired=True)) < 0.5
    assert cmmd_unbiased(x, y, 1.4) < -0.8


def test_too_few_pictures_and_embeddings_that_are_not_numbers_are_errors():
    with pytest.raises(ValueError, match="at least 2 pictures"):
        cmmd_unbiased(np.eye(2)[:1], np.eye(2), 1.0)
    with pytest.raises(ValueError, match="not numbers"):
        cmmd(np.full((2, 2), np.nan), np.eye(2))


def test_the_floor_of_the_same_people_shares_out_everybodys_pictures():
    """A person's pictures are alike, people differ: random halves hold other people, these do not."""
    rng = np.random.default_rng(3)
    people = np.repeat(np.arange(40), 3)
    taste = rng.normal(size=(40, 8))
    x = taste[people] + 0.1 * rng.normal(size=(120, 8))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    same = split_half_floor(x, 0.7, 0, users=people, unbiased=False)
    anybody = split_half_floor(x, 0.7, 0, unbiased=False)
    assert same.high < anybody.mean
    identical = split_half_floor(taste[people] / 9, 0.7, 0, users=people, unbiased=False)
    assert identical.mean == pytest.approx(0.0, abs=1e-9)  # both halves hold the same pictures
    assert split_half_floor(x[:8], 0.7, 0, users=np.arange(8)) is None  # nobody has two pictures
