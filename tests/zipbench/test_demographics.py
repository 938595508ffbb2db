from __future__ import annotations

import gzip

import numpy as np
import pyarrow as pa
import pytest

from tests.zipbench.worlds import scores_table
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.people import make_people
from zipp_dagster.sampleworld.truth_writer import TARGET_POPULATION
from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.demographics import Population, demographic_scores, publishable_groups
from zipp_dagster.zipbench.population import load_wpp_ages, real_population, un_wpp_2024

SETTINGS = ZipbenchSettings(bootstrap_replicates=200)


def groups_table(genders: list[str | None]) -> pa.Table:
    return pa.table(
        {
            "user_id": pa.array(range(len(genders)), pa.uint64()),
            "gender": pa.array(genders, pa.string()),
        }
    )


def even(genders: list[str | None]) -> tuple[pa.Table, Population]:
    return groups_table(genders), Population("even", {"gender": {"male": 1.0, "female": 1.0}})


def test_a_weighted_score_moves_to_the_population_and_says_how_far():
    genders = ["male"] * 75 + ["female"] * 25
    scores = scores_table(
        [(f"c{u}", u, "zipp_0shot", 0.8 if g == "male" else 0.4) for u, g in enumerate(genders)]
    )
    groups, population = even(genders)
    table = demographic_scores(scores, groups, population, SETTINGS)
    weighted = table.to_pylist()[0]
    assert weighted["raw"] == pytest.approx(0.7) and weighted["raked"] == pytest.approx(0.6)
    assert weighted["delta_percent"] == pytest.approx(-100 / 7)
    assert (weighted["low"], weighted["high"]) == pytest.approx((0.6, 0.6))  # no spread in a gender
    assert weighted["ess"] == pytest.approx(75.0) and weighted["n"] == 100
    groups_found = {row["category"]: (row["raw"], row["n"]) for row in table.to_pylist()[1:3]}
    assert groups_found == {"male": (pytest.approx(0.8), 75), "female": (pytest.approx(0.4), 25)}


def test_the_share_of_known_people_stands_in_the_row_and_is_said_where_it_is_small():
    scores = scores_table([(f"c{u}", u, "m", 0.5) for u in range(40)])
    for known, said in ((40, False), (30, False), (4, True), (0, True)):
        genders = (["male", "female"] * 20)[:known] + [None] * (40 - known)
        groups, population = even(genders)
        row = demographic_scores(scores, groups, population, SETTINGS).to_pylist()[0]
        assert row["known"] == pytest.approx(known / 40)
        assert (f"gender: known of {known / 40:.0%} of the people" in (row["note"] or "")) is said


def test_a_users_cases_are_averaged_first_and_missing_scores_are_left_out():
    scores = scores_table(
        [("a", 0, "m", 0.2), ("b", 0, "m", 0.4), ("c", 1, "m", 0.9), ("d", 2, "m", None)]
    )
    groups, population = even(["male", "female", "male"])
    (row,) = demographic_scores(scores, groups, population, SETTINGS).to_pylist()
    assert row["raw"] == pytest.approx(0.6) and row["n"] == 2


def test_one_user_gets_a_score_without_an_interval_and_nobody_gets_no_row():
    groups, population = even(["male"])
    (row,) = demographic_scores(
        scores_table([("a", 0, "m", 0.5)]), groups, population, SETTINGS
    ).to_pylist()
    assert row["low"] is None and "one person" in row["note"] and "nobody is female" in row["note"]
    nobody = demographic_scores(scores_table([("a", 0, "m", None)]), groups, population, SETTINGS)
    assert nobody.num_rows == 0


def test_no_group_below_the_minimum_can_be_read_off_or_worked_out():
    assert publishable_groups({"a": 50, "b": 30}, 20) == {"a": "a", "b": "b"}
    # One small group alone would follow from the whole minus the others: the next one joins it.
    assert publishable_groups({"a": 50, "b": 30, "c": 3}, 20) == {
        "a": "a",
        "b": "b + c",
        "c": "b + c",
    }
    assert publishable_groups({"a": 50, "b": 12, "c": 9}, 20) == {
        "a": "a",
        "b": "b + c",
        "c": "b + c",
    }
    assert publishable_groups({"a": 10, "b": 3}, 20) == {}
    assert publishable_groups({}, 20) == {}


def test_the_gap_is_the_best_group_minus_the_worst_beside_what_chance_gives():
    genders = ["male"] * 60 + ["female"] * 60
    rng = np.random.default_rng(1)
    for planted in (0.0, 0.3):
        noise = rng.normal(0.0, 0.1, size=120)
        scores = scores_table(
            [
                (f"c{u}", u, "m", 0.5 + planted * (g == "male") + noise[u])
                for u, g in enumerate(genders)
            ]
        )
        groups, population = even(genders)
        gap = demographic_scores(scores, groups, population, SETTINGS).to_pylist()[-1]
        assert gap["category"] == "gap" and gap["n"] == 120
        assert 0.005 < gap["chance"] < (0.03 if planted == 0 else 0.06)
        if planted:
            assert gap["low"] < 0.3 < gap["high"] and gap["note"] == "male minus female"
        else:
            assert gap["raw"] < 0.06


def test_one_group_has_no_gap():
    groups, population = even(["male"] * 30)
    table = demographic_scores(
        scores_table([(f"c{u}", u, "m", 0.5) for u in range(30)]), groups, population, SETTINGS
    )
    assert table["category"].to_pylist() == [None, "male"]


def test_a_hundred_people_of_the_sample_world_can_be_weighted_whoever_they_are():
    """Which hundred it is follows from the pseudonym key: each must give a score and an interval."""
    people = make_people(WorldSettings(people=1000))
    marginals = TARGET_POPULATION["marginals"]
    target = {name: marginals[name] for name in ZipbenchSettings().raking_dimensions}
    settings = ZipbenchSettings(bootstrap_replicates=100)
    rng = np.random.default_rng(5)
    merged = 0
    for _ in range(20):
        chosen = [people[int(i)] for i in rng.permutation(len(people))[:100]]
        groups = pa.table(
            {
                "user_id": pa.array(range(100), pa.uint64()),
                "age_band": [person.age_band for person in chosen],
                "gender": [person.gender for person in chosen],
                "region": [person.country.region for person in chosen],
            }
        )
        scores = scores_table([(f"c{u}", u, "m", float(rng.random())) for u in range(100)])
        row = demographic_scores(scores, groups, Population("x", target), settings).to_pylist()[0]
        assert row["marginal_error"] <= settings.raking_tolerance and row["ess"] > 10
        assert row["low"] < row["raked"] < row["high"]
        merged += "merged" in row["note"]
    assert merged == 20  # three nonbinary people in a hundred carry no margin of their own


def test_age_is_a_target_only_with_the_uns_file_and_language_and_profession_never(tmp_path):
    assert set(real_population(None, {})) == {"gender", "region"}
    path = tmp_path / "ages.csv.gz"
    write_wpp(path, [("World", 2024, 20, 5, 50.0), ("World", 2024, 65, 5, 10.0)])
    targets = real_population(path, {"18-24": (18, 24), "65+": (65, None)})
    assert targets["age_band"] == {"18-24": 50.0, "65+": 10.0}
    assert set(targets) == {"gender", "region", "age_band"}


def test_the_un_figures_add_up_to_the_un_world_total():
    figures = un_wpp_2024()
    assert figures["region"]["Africa"] == 765_445 + 766_922
    # The regions are rounded to thousands one by one.
    assert figures["gender"]["male"] == pytest.approx(4_120_769, abs=2)
    assert figures["gender"]["female"] == pytest.approx(4_076_211, abs=2)
    assert sum(figures["region"].values()) == sum(figures["gender"].values())


WPP_HEADER = (
    "SortOrder,LocID,Notes,ISO3_code,ISO2_code,SDMX_code,LocTypeID,LocTypeName,ParentID,Location,"
    "VarID,Variant,Time,MidPeriod,AgeGrp,AgeGrpStart,AgeGrpSpan,PopMale,PopFemale,PopTotal"
)


def write_wpp(path, rows):
    lines = [
        f"1,900,,,,1,1,World,0,{location},2,Medium,{year},{year}.5,{start}-x,{start},{span},1,1,{total}"
        for location, year, start, span, total in rows
    ]
    path.write_bytes(gzip.compress("\n".join([WPP_HEADER, *lines, ""]).encode()))


def test_the_official_age_file_is_summed_into_bands_and_split_within_a_group(tmp_path):
    path = tmp_path / "WPP2024_PopulationByAge5GroupSex_Medium.csv.gz"
    write_wpp(
        path,
        [
            ("World", 2024, 15, 5, 100.0),
            ("World", 2024, 20, 5, 50.0),
            ("World", 2024, 25, 5, 30.0),
            ("World", 2024, 100, -1, 2.0),
            ("World", 2023, 20, 5, 999.0),
            ("Kenya", 2024, 20, 5, 7.0),
        ],
    )
    bands = {"18-24": (18, 24), "25+": (25, None)}
    assert load_wpp_ages(path, bands) == pytest.approx({"18-24": 40.0 + 50.0, "25+": 32.0})
    assert load_wpp_ages(path, {"20-24": (20, 24)}, location="Kenya") == {"20-24": 7.0}


def test_another_file_place_or_band_is_named_in_the_error(tmp_path):
    path = tmp_path / "ages.csv.gz"
    write_wpp(path, [("World", 2024, 20, 5, 50.0)])
    with pytest.raises(ValueError, match=r"no rows for 'Atlantis' in 2024"):
        load_wpp_ages(path, {"a": (20, 24)}, location="Atlantis")
    with pytest.raises(ValueError, match="nobody in the age band 'old'"):
        load_wpp_ages(path, {"old": (80, None)})
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"other\.csv is not a WPP 2024"):
        load_wpp_ages(other, {"a": (20, 24)})
