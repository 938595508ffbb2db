from __future__ import annotations

import pytest

from tests.studio.conftest import prefers, take_part
from zipp_dagster.studio import rating_store
from zipp_dagster.studio.quality import study_checks, with_flags
from zipp_dagster.studio.records import NotYours
from zipp_dagster.studio.results import rating_results, study_results
from zipp_dagster.studio.study import StudyConfig
from zipp_dagster.zipbench.config import ZipbenchSettings

SETTINGS = ZipbenchSettings(bootstrap_replicates=100)


@pytest.fixture
def big(store):
    made = StudyConfig(name="big", pairs=4, attention_checks=1, participants=100, too_fast_s=0.0)
    store.create(made)
    return made


def found(store, study):
    return study_results(store, study, SETTINGS)


def test_the_preferred_method_wins_with_wilsons_interval_and_n(store, big):
    for seed in range(10):
        take_part(store, big, prefers("zipp_0shot", 0.8, seed))
    (part,) = found(store, big)["parts"]
    assert not part["simulated"] and part["votes"] == part["counted"] == 40
    for row in part["win_rates"]:
        assert row["method"] == "zipp_0shot" and row["n"] == 20
        assert row["low"] < row["win_rate"] < row["high"]
    assert part["bradley_terry"][0]["method"] == "zipp_0shot"


def test_a_participant_who_prefers_the_broken_picture_is_left_out_and_counted(store, big):
    take_part(store, big, prefers("zipp_0shot"))
    take_part(store, big, lambda left, right: "left" if left == "broken" else "right")
    take_part(store, big, lambda left, right: "tie")
    (part,) = found(store, big)["parts"]
    assert part["participants"] == 1 and part["flags"] == {"inattentive": 8}
    assert (part["counted"], part["votes"]) == (4, 12)


def test_simulated_votes_are_shown_apart(store, big):
    take_part(store, big, prefers("zipp_0shot"))
    take_part(store, big, prefers("zipp_0shot"), simulated=True, planned=plan_of(big))
    assert [part["simulated"] for part in found(store, big)["parts"]] == [False, True]


def plan_of(study):
    import random

    from zipp_dagster.studio.pairs import plan_pairs

    return plan_pairs(study, random.Random(0))


def by_band(store, study, **sizes):
    """The groups by age band, of a study with so many people a band."""
    bands = {"young": "18-24", "middle": "25-34", "old": "65+"}
    for name, size in sizes.items():
        for number in range(size):
            choose = prefers("zipp_0shot", seed=number)
            take_part(store, study, choose, intake={"age_band": bands[name]})
    groups = found(store, study)["parts"][0]["groups"]
    return [(g["group"], g.get("people"), g.get("hidden")) for g in groups]


def test_a_group_is_shown_from_twenty_people_on(store, big):
    assert by_band(store, big, young=20, middle=21) == [("18-24", 20, None), ("25-34", 21, None)]


def test_a_small_group_is_not_named_and_cannot_be_told_from_the_total(store, big):
    shown = by_band(store, big, young=21, middle=20, old=3)
    assert shown == [("18-24", 21, None), (None, None, 2)]


def test_an_empty_study_has_no_parts(store, big):
    assert found(store, big)["parts"] == []


def checks(store, study):
    return {c.name: c for c in study_checks(with_flags(store.votes(study.name)))}


def test_checks_hold_for_a_sound_study(store, big):
    for seed in range(40):
        take_part(store, big, prefers("zipp_0shot", 0.7, seed))
    assert all(check.passed for check in checks(store, big).values())


def test_always_left_too_many_ties_and_too_few_votes_are_seen(store, big):
    def left(left, right):
        return "right" if left == "broken" else "left"

    for _ in range(4):
        take_part(store, big, left)
    seen = checks(store, big)
    assert not seen["balance_of_sides"].passed and not seen["enough_votes"].passed
    for _ in range(6):
        take_part(store, big, lambda a, b: "tie" if "broken" not in (a, b) else left(a, b))
    assert not checks(store, big)["share_of_ties"].passed


ITEMS = [
    {
        "position": i,
        "persona_id": f"p{i}",
        "persona": '{"summary": "s", "claims": []}',
        "evidence": "[]",
    }
    for i in range(3)
]


@pytest.fixture
def quality(store):
    made = StudyConfig(name="quality", kind="persona_quality", personas=3)
    store.create(made, ITEMS)
    return made


def test_ratings_have_means_and_agreement(store, quality):
    for shift in (0, 0, 1):
        who, _ = store.join(quality, {}, "")
        while (item := rating_store.next_item(store, who.id, "quality")) is not None:
            scores = dict.fromkeys(rating_store.DIMENSIONS, 1 + item.position + shift)
            rating_store.rate(store, who.id, "quality", item.position, scores)
    result = rating_results(store, quality)
    assert result["finished"] == 3
    for row in result["ratings"]:
        assert row["n"] == 9 and row["mean"] == pytest.approx(7 / 3)
        assert 0 < row["alpha"] < 1 and 0 < row["kappa"] < 1


def test_the_first_rating_counts_and_a_score_outside_one_to_five_is_refused(store, quality):
    who, _ = store.join(quality, {}, "")
    good = dict.fromkeys(rating_store.DIMENSIONS, 5)
    assert rating_store.rate(store, who.id, "quality", 0, good)
    assert not rating_store.rate(store, who.id, "quality", 0, dict.fromkeys(good, 1))
    assert rating_store.ratings(store, "quality")[0]["accuracy"] == 5
    for wrong in (0, 6, -1):
        with pytest.raises(ValueError, match="coherence"):
            rating_store.rate(store, who.id, "quality", 1, good | {"coherence": wrong})
    with pytest.raises(NotYours):
        rating_store.rate(store, who.id, "quality", 77, good)
