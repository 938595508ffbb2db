from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from tests.studio.conftest import png
from zipp_dagster.studio.config import RaterSettings
from zipp_dagster.studio.pictures import without_metadata
from zipp_dagster.studio.records import Picture
from zipp_dagster.studio.simulated import (
    RatedPair,
    choice_of,
    comparable_pairs,
    recovered,
    simulate_study,
)
from zipp_dagster.zipbench.config import ZipbenchSettings

OWN = ("zipp_0shot", "mismatched")


def shown(i, j):
    return Picture(png(i, j), {"method": OWN[0]}), Picture(png(i, j, "b"), {"method": OWN[1]})


def people(count, utilities, seed=0):
    """Raters with four pairs each; `utilities(rng)` gives what both sides are worth."""
    rng = np.random.default_rng(seed)
    return {
        f"r{i}": [
            RatedPair(
                f"a cat, {i} {j}",
                1,
                OWN,
                partial(shown, i, j),
                utilities(rng),
            )
            for j in range(4)
        ]
        for i in range(count)
    }


def test_the_chances_of_a_vote_add_up_and_are_even_where_both_are_worth_the_same():
    settings = RaterSettings()
    even, better = choice_of(0.5, 0.5, settings), choice_of(0.8, 0.5, settings)
    assert sum(vars(even).values()) == pytest.approx(1.0) == sum(vars(better).values())
    assert even.first == even.second and better.first > 0.75 > better.second
    assert even.tie == pytest.approx(0.95 * 0.3 + 0.05 / 3) and better.tie < even.tie


def test_the_simulated_study_recovers_the_planted_preference_within_its_interval():
    votes, planted = simulate_study(
        people(40, lambda rng: tuple(rng.uniform((0.4, 0.2), (1.0, 0.8)))), RaterSettings()
    )
    (row,) = recovered(votes, planted, ZipbenchSettings())
    assert planted[OWN] > 0.6
    assert row["low"] <= planted[OWN] <= row["high"] and row["low"] > 0.5


def test_where_tastes_have_nothing_to_do_with_it_the_interval_covers_one_half():
    votes, planted = simulate_study(
        people(40, lambda rng: tuple(rng.uniform(0.2, 0.8, 2))), RaterSettings()
    )
    (row,) = recovered(votes, planted, ZipbenchSettings())
    assert row["low"] <= 0.5 <= row["high"]


def test_all_simulated_votes_say_so_and_the_same_seed_gives_the_same_votes():
    one = people(3, lambda rng: (0.9, 0.1))
    votes, _ = simulate_study(one, RaterSettings())
    assert set(votes["simulated"].to_pylist()) == {True}
    assert votes.equals(simulate_study(one, RaterSettings())[0])
    assert not votes.equals(simulate_study(one, RaterSettings(seed=6))[0])


def test_a_rater_who_never_looks_is_caught_by_the_attention_check():
    votes, _ = simulate_study(people(30, lambda rng: (0.9, 0.1)), RaterSettings(lapse=0.99))
    flagged = sum(flag == "inattentive" for flag in votes["flags"].to_pylist())
    # Two of three blind answers to the check fail.
    assert 0.4 < flagged / votes.num_rows < 0.9


def test_a_picture_is_worth_the_probability_of_what_its_owner_likes():
    from zipp_dagster.sampleworld.vocabulary import FACTOR_VALUES

    methods = ("zipp_0shot", "no_persona", "mismatched")
    images = [
        {"case_id": "c", "method": m, "prompt": m, "seed": 4, "request_key": m} for m in methods
    ]
    pictures = {f"c/{m}": png(m) for m in methods}
    liked = {factor: list(FACTOR_VALUES[factor])[1] for factor in ("palette", "medium", "mood")}
    seen = {
        factor: np.array(
            [[0.1, 0.9, *[0.0] * (len(FACTOR_VALUES[factor]) - 2)]]
            + [[0.5, 0.2] + [0.0] * (len(FACTOR_VALUES[factor]) - 2)] * 2
        )
        for factor in liked
    }
    case = {"case_id": "c", "user_id": 10, "base_prompt": "a cat"}
    found = comparable_pairs([case], images, pictures, lambda _: liked, lambda _: seen)
    (pairs,) = found.values()
    assert list(found) == ["000000000000000a"]
    assert [pair.utilities for pair in pairs] == [(pytest.approx(0.9), pytest.approx(0.2))] * 2
    first, second = pairs[0].pictures()
    assert (first.audit["method"], second.audit["method"]) == ("zipp_0shot", "no_persona")
    assert first.png == without_metadata(pictures["c/zipp_0shot"])


def test_a_pair_with_one_prompt_on_both_sides_is_not_shown():
    image = {"case_id": "c", "prompt": "same", "seed": 4, "request_key": "k"}
    images = [image | {"method": m} for m in ("zipp_0shot", "no_persona")]
    pictures = {f"c/{row['method']}": png(1) for row in images}
    probabilities = {f: np.ones((2, 9)) for f in ("palette", "medium", "mood")}
    liked = {"palette": "autumn", "medium": "oil", "mood": "night"}
    case = {"case_id": "c", "user_id": 10, "base_prompt": "a cat"}
    assert (
        comparable_pairs([case], images, pictures, lambda _: liked, lambda _: probabilities) == {}
    )
