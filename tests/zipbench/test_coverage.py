"""Do 95 % intervals cover the truth in 95 % of simulated worlds? (about a minute: slow)"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.raking import rake, replicate_weights
from zipp_dagster.zipbench.statistics import (
    Bootstrap,
    paired_difference,
    percentile_interval,
    relative_lift,
)

pytestmark = pytest.mark.slow
WORLDS = 4000  # three standard errors of the share are 1 %
Draw = Callable[[np.random.Generator, int], np.ndarray]

PEOPLE: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(0.0, 0.05, size=n),
    # Bounded scores whose gains are mostly small and sometimes large.
    "skewed": lambda rng, n: rng.gamma(2.0, 0.03, size=n) - 0.06,
}


@pytest.mark.parametrize("people", PEOPLE)
@pytest.mark.parametrize("users", [40, 100])
def test_the_paired_interval_covers_the_true_difference(people, users):
    covered, rejected = 0, 0
    whose = np.repeat(np.arange(users), 2)
    for world in range(WORLDS):
        rng = np.random.default_rng([world, users])
        baseline = rng.normal(0.5, 0.1, size=2 * users)
        noise = PEOPLE[people](rng, users)[whose] + rng.normal(0.0, 0.05, size=2 * users)
        gain = paired_difference(baseline + noise, baseline, whose, Bootstrap(500, 0.95, world))
        covered += gain.low <= 0.0 <= gain.high
        rejected += gain.p_value < 0.05
    assert 0.93 <= covered / WORLDS <= 0.97
    assert 0.03 <= rejected / WORLDS <= 0.07


def test_the_interval_of_the_lift_covers_the_true_lift():
    covered, users = 0, 60
    for world in range(WORLDS):
        rng = np.random.default_rng([world, 7])
        baseline = rng.normal(0.5, 0.1, size=users)
        values = 1.1 * baseline + rng.normal(0.0, 0.05, size=users)
        lift = relative_lift(values, baseline, np.arange(users), Bootstrap(500, 0.95, world))
        covered += lift.low <= 0.1 <= lift.high
    assert 0.93 <= covered / WORLDS <= 0.97


def test_the_detectable_difference_is_found_in_four_of_five_samples():
    found, users, spread = 0, 50, 0.1
    detectable = np.mean(
        [
            paired_difference(
                np.random.default_rng(world).normal(0.0, spread, size=users),
                np.zeros(users),
                np.arange(users),
                Bootstrap(500, 0.95, world),
            ).detectable
            for world in range(200)
        ]
    )
    for world in range(WORLDS):
        values = np.random.default_rng([world, 1]).normal(detectable, spread, size=users)
        gain = paired_difference(
            values, np.zeros(users), np.arange(users), Bootstrap(500, 0.95, world)
        )
        found += gain.excludes_zero
    assert 0.77 <= found / WORLDS <= 0.83


def test_the_raked_interval_covers_the_populations_mean():
    """Men answer three times as often as women, and score higher: raking must undo it."""
    worlds, users, covered = 2000, 150, 0
    targets = {"gender": {"male": 1.0, "female": 1.0}, "region": {"a": 0.3, "b": 0.7}}
    for world in range(worlds):
        rng = np.random.default_rng([world, 11])
        male, in_a = rng.uniform(size=users) < 0.75, rng.uniform(size=users) < 0.5
        scores = 0.5 + 0.1 * male + 0.05 * in_a + rng.normal(0.0, 0.1, size=users)
        groups = {
            "gender": list(np.where(male, "male", "female")),
            "region": list(np.where(in_a, "a", "b")),
        }
        settings = ZipbenchSettings(bootstrap_replicates=400, seed=world)
        raked = rake(groups, targets, settings)
        replicates = np.concatenate(
            [w @ scores / w.sum(1) for w in replicate_weights(groups, targets, settings)]
        )
        interval = percentile_interval(
            float(np.average(scores, weights=raked.weights)), replicates, 0.95, users
        )
        covered += interval.low <= 0.5 + 0.05 + 0.015 <= interval.high
    assert 0.93 <= covered / worlds <= 0.97
