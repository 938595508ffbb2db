from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.raking import (
    RakingError,
    collapse_sparse,
    kish_ess,
    rake,
    replicate_weights,
    trim_weights,
)

SETTINGS = ZipbenchSettings(bootstrap_replicates=100)


def shares(values: list[str], weights: np.ndarray) -> dict[str, float]:
    return {
        name: float(weights[[value == name for value in values]].sum() / weights.sum())
        for name in sorted(set(values))
    }


def people(seed: int, n: int) -> dict[str, list[str]]:
    rng = np.random.default_rng(seed)
    return {
        "gender": list(rng.choice(["female", "male"], n, p=[0.25, 0.75])),
        "age": list(rng.choice(["young", "middle", "old"], n, p=[0.6, 0.3, 0.1])),
        "region": list(rng.choice(["north", "south"], n, p=[0.8, 0.2])),
    }


TARGETS = {
    "gender": {"female": 0.5, "male": 0.5},
    "age": {"young": 0.3, "middle": 0.4, "old": 0.3},
    "region": {"north": 0.55, "south": 0.45},
}


def test_one_dimension_is_weighted_to_its_exact_ratio():
    raked = rake(
        {"gender": ["male", "male", "male", "female"]}, {"gender": TARGETS["gender"]}, SETTINGS
    )
    assert raked.weights == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2.0])
    assert raked.ess == pytest.approx(3.0) and raked.iterations == 1


def test_three_dimensions_match_all_marginals_within_the_tolerance():
    groups = people(1, 400)
    raked = rake(groups, TARGETS, SETTINGS)
    for dimension, target in TARGETS.items():
        found = shares(groups[dimension], raked.weights)
        assert all(abs(found[name] - share) <= 5e-4 for name, share in target.items())
    assert raked.error <= 5e-4 and raked.weights.mean() == pytest.approx(1.0)


def test_the_weights_equal_raking_of_the_table_of_cells():
    groups = people(2, 300)
    names = [sorted(TARGETS[d]) for d in TARGETS]
    codes = [[names[i].index(v) for v in groups[d]] for i, d in enumerate(TARGETS)]
    table = np.zeros([len(n) for n in names])
    for cell in zip(*codes, strict=True):
        table[cell] += 1
    fitted = table.copy()
    for _ in range(200):
        for axis, dimension in enumerate(TARGETS):
            others = tuple(i for i in range(3) if i != axis)
            target = np.array([TARGETS[dimension][name] for name in names[axis]]) * 300
            factor = target / fitted.sum(others)
            fitted *= factor.reshape([-1 if i == axis else 1 for i in range(3)])
    expected = [fitted[cell] / table[cell] for cell in zip(*codes, strict=True)]
    precise = ZipbenchSettings(raking_tolerance=1e-12)
    assert rake(groups, TARGETS, precise).weights == pytest.approx(expected, rel=1e-8)


def test_an_empty_category_is_collapsed_into_its_neighbour_where_order_means_something():
    groups = {"age": ["18-24", "25-34", "25-34"]}
    target = {"age": {"18-24": 1.0, "25-34": 1.0, "35+": 2.0}}
    raked = rake(groups, target, SETTINGS)
    assert shares(groups["age"], raked.weights) == pytest.approx({"18-24": 0.25, "25-34": 0.75})
    assert raked.collapsed == ("age: nobody is 35+ (50.0% of the target), collapsed into 25-34",)


def test_an_empty_unordered_category_leaves_the_population_or_is_an_error():
    groups = {"region": ["Asia", "Europe", "Europe"]}
    target = {"region": {"Asia": 0.5, "Europe": 0.3, "Oceania": 0.2}}
    raked = rake(groups, target, SETTINGS)
    assert shares(groups["region"], raked.weights)["Asia"] == pytest.approx(0.5 / 0.8)
    assert "nobody is Oceania (20.0% of the target), left out" in raked.collapsed[0]
    with pytest.raises(RakingError, match="nobody is Oceania"):
        rake(groups, target, SETTINGS, on_empty="error")


def test_sparse_categories_are_merged_with_a_neighbour_or_the_next_smallest_and_named():
    groups = {
        "age": ["18-24"] * 6 + ["25-34"] * 2 + ["35-44"] * 3 + ["45+"] * 4,
        "region": ["Asia"] * 7 + ["Africa"] + ["Europe"] * 2 + ["America"] * 5,
    }
    target = {
        "age": {"18-24": 0.4, "25-34": 0.3, "35-44": 0.2, "45+": 0.1},
        "region": {"Asia": 0.5, "Africa": 0.1, "Europe": 0.1, "America": 0.2, "Oceania": 0.1},
    }
    coarse = collapse_sparse(groups, target, 4)
    assert coarse.targets["age"] == pytest.approx({"18-24": 0.4, "25-34 + 35-44": 0.5, "45+": 0.1})
    assert coarse.groups["age"].count("25-34 + 35-44") == 5
    # Three are still too few: the two smallest regions take the next one along.
    assert list(coarse.targets["region"]) == ["Asia", "Africa + Europe + America", "Oceania"]
    assert coarse.groups["region"].count("Africa + Europe + America") == 8
    assert "region: fewer than 4 people, merged: Africa + Europe + America" in coarse.notes
    untouched = collapse_sparse(groups, target, 1)
    assert (untouched.groups, untouched.targets, untouched.notes) == (groups, target, ())


def test_merging_leaves_the_unknown_alone_and_stops_at_one_category():
    groups = {"gender": ["male", None, "unknown", "female"], "age": [None] * 4}
    target = {"gender": {"male": 0.5, "female": 0.5}, "age": {"young": 1.0}}
    coarse = collapse_sparse(groups, target, 10)
    assert coarse.groups["gender"] == ["male + female", None, "unknown", "male + female"]
    assert coarse.targets["gender"] == {"male + female": 1.0} and coarse.groups["age"] == [None] * 4


def test_people_of_unknown_category_keep_their_share():
    groups = {"gender": ["male", "male", "female", "unknown", None]}
    raked = rake(groups, {"gender": {"male": 0.5, "female": 0.5}}, SETTINGS)
    assert raked.weights == pytest.approx([0.75, 0.75, 1.5, 1.0, 1.0])
    everybody = rake({"gender": [None, None]}, {"gender": {"male": 1.0}}, SETTINGS)
    assert everybody.weights == pytest.approx([1.0, 1.0])


def test_a_category_without_a_target_a_missing_dimension_and_bad_shares_are_errors():
    with pytest.raises(RakingError, match="no target for 'martian'"):
        rake({"region": ["martian"]}, {"region": {"Asia": 1.0}}, SETTINGS)
    with pytest.raises(RakingError, match="have no 'age'"):
        rake({"region": ["Asia"]}, {"age": {"young": 1.0}}, SETTINGS)
    with pytest.raises(RakingError, match="not negative"):
        rake({"region": ["Asia"]}, {"region": {"Asia": -1.0}}, SETTINGS)
    with pytest.raises(RakingError, match="nobody to weight"):
        rake({"region": []}, {"region": {"Asia": 1.0}}, SETTINGS)
    with pytest.raises(RakingError, match="did not converge"):
        rake({"region": ["Asia"]}, {"region": {"Asia": 0.0, "Europe": 1.0}}, SETTINGS)


def test_marginals_that_contradict_each_other_do_not_converge_and_say_so():
    groups = {"a": ["x", "y"], "b": ["x", "y"]}  # the two dimensions are one
    targets = {"a": {"x": 0.9, "y": 0.1}, "b": {"x": 0.1, "y": 0.9}}
    with pytest.raises(RakingError, match=r"did not converge in 50 sweeps.*0\.8"):
        rake(groups, targets, ZipbenchSettings(raking_iterations=50))


def test_trimming_caps_at_the_limit_and_keeps_the_mean():
    weights = trim_weights([0.1] * 9 + [9.1], 5.0)
    assert weights.max() == pytest.approx(5.0) and weights.mean() == pytest.approx(1.0)
    assert trim_weights([1.0, 1.0, 2.0], 5.0) == pytest.approx([0.75, 0.75, 1.5])
    assert trim_weights([0.0, 0.0, 3.0], 2.0) == pytest.approx([0.0, 0.0, 3.0])


def test_trimmed_weights_are_checked_against_the_marginals_again():
    groups = {"gender": ["male"] * 99 + ["female"]}
    raked = rake(groups, {"gender": {"male": 0.5, "female": 0.5}}, SETTINGS)
    assert raked.error <= 5e-4
    assert raked.trimmed_error == pytest.approx(0.45)  # one person may weigh 5 of 100, not 50
    assert raked.ess < raked.trimmed_ess < 100


def test_kish_of_equal_weights_is_their_number():
    assert kish_ess([2.0] * 7) == pytest.approx(7.0)


def test_each_replicate_is_raked_anew_even_when_it_lacks_a_category():
    groups = {"gender": ["male"] * 8 + ["female"] * 2}
    target = {"gender": {"male": 0.5, "female": 0.5}}
    weights = np.concatenate(list(replicate_weights(groups, target, SETTINGS)))
    assert weights.shape == (100, 10)
    share = weights[:, 8:].sum(1) / weights.sum(1)
    drawn = weights[:, 8:].sum(1) > 0
    assert not drawn.all() and drawn.any()  # some replicates drew no woman
    assert share[drawn] == pytest.approx(0.5) and share[~drawn] == pytest.approx(0.0)


def test_weights_agree_with_balance_on_the_same_people_and_margins():
    """`balance` (Meta) rakes the same sample: its weights, to mean 1, are the oracle."""
    from balance.weighting_methods.rake import rake as oracle

    rng = np.random.default_rng(4)
    people = {
        "gender": list(rng.choice(["male", "female"], size=300, p=[0.7, 0.3])),
        "region": list(rng.choice(["a", "b", "c"], size=300, p=[0.6, 0.3, 0.1])),
        "age_band": list(rng.choice(["18-24", "25+"], size=300, p=[0.5, 0.5])),
    }
    targets = {
        "gender": {"male": 0.5, "female": 0.5},
        "region": {"a": 0.2, "b": 0.5, "c": 0.3},
        "age_band": {"18-24": 0.25, "25+": 0.75},
    }
    ours = rake(people, targets, ZipbenchSettings(raking_tolerance=1e-9)).weights
    # A target sample with exactly these margins, whatever the joint distribution.
    population = pd.DataFrame(
        {
            name: [
                category for category, share in shares.items() for _ in range(round(share * 400))
            ]
            for name, shares in targets.items()
        }
    )
    found = oracle(
        pd.DataFrame(people),
        pd.Series(np.ones(300)),
        population,
        pd.Series(np.ones(400)),
        transformations=None,
        convergence_rate=1e-9,
        weight_trimming_mean_ratio=None,
    )["weight"].to_numpy()
    assert ours == pytest.approx(found / found.mean(), abs=1e-6)
