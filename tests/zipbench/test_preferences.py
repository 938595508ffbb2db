from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.preferences import (
    VOTES_SCHEMA,
    VotesError,
    human_preferences,
    read_votes,
    vote_rows,
    win_rates,
)
from zipp_dagster.zipbench.statistics import Bootstrap

BOOTSTRAP = Bootstrap(replicates=500)

HEADER = "study,participant,pair,left_method,right_method,choice,seconds,simulated,created_at\n"
GOOD = "pilot,p1,q1,zipp_0shot,no_persona,left,2.5,false,2026-11-01T10:00:00Z\n"


def votes(folder, text, name="votes.csv"):
    (folder / name).write_text(HEADER + text)
    return ZipbenchSettings(votes_dir=folder)


def test_wins_losses_and_ties_are_counted_whichever_side_a_method_was_on(tmp_path):
    rows = [
        "s,p1,q1,zipp_0shot,no_persona,left,1,false,2026-11-01T10:00:00",
        "s,p1,q2,no_persona,zipp_0shot,right,1,false,2026-11-01T10:00:00",
        "s,p2,q1,no_persona,zipp_0shot,right,1,false,2026-11-01T10:00:00",
        "s,p2,q2,no_persona,zipp_0shot,left,1,false,2026-11-01T10:00:00",
        "s,p2,q3,no_persona,zipp_0shot,tie,1,false,2026-11-01T10:00:00",
    ]
    found = human_preferences(votes(tmp_path, "\n".join(rows) + "\n"))
    (row,) = found.table.to_pylist()
    assert (row["method"], row["opponent"]) == ("zipp_0shot", "no_persona")
    assert (row["wins"], row["losses"], row["ties"], row["participants"]) == (3, 1, 1, 2)
    assert row["win_rate"] == 0.75 and row["binomial_p"] == pytest.approx(0.625)
    assert row["prompts"] == 3 and row["p_holm"] == row["p_value"] >= 0.625
    assert row["low"] < 0.75 < row["high"] and found.votes == 5 and found.reason is None


def test_simulated_votes_have_rows_of_their_own(tmp_path):
    simulated = GOOD.replace("p1", "bot").replace("false", "true")
    table = human_preferences(votes(tmp_path, GOOD + simulated)).table
    assert table["simulated"].to_pylist() == [False, True]


def test_a_pair_of_ties_has_no_rate(tmp_path):
    (row,) = human_preferences(votes(tmp_path, GOOD.replace("left,", "tie,"))).table.to_pylist()
    assert (row["ties"], row["win_rate"], row["low"], row["p_value"]) == (1, None, None, None)


def test_without_votes_the_table_is_empty_and_the_reason_is_said(tmp_path):
    none = human_preferences(ZipbenchSettings())
    assert none.table.num_rows == 0 and "names no folder" in none.reason
    empty = human_preferences(ZipbenchSettings(votes_dir=tmp_path))
    assert empty.table.num_rows == 0 and "holds no votes" in empty.reason
    with pytest.raises(VotesError, match="is not a folder"):
        human_preferences(ZipbenchSettings(votes_dir=tmp_path / "gone"))


def test_parquet_holds_the_same_votes_as_csv(tmp_path):
    (tmp_path / "csv").mkdir()
    votes(tmp_path / "csv", GOOD)
    table = read_votes(tmp_path / "csv")
    assert table.schema == VOTES_SCHEMA
    (tmp_path / "parquet").mkdir()
    pq.write_table(table, tmp_path / "parquet" / "votes.parquet")
    assert read_votes(tmp_path / "parquet") == table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("left,2.5", "both,2.5"), "choice is 'both', not one of left, right, tie"),
        (("2.5", "soon"), "seconds is 'soon', not a number"),
        (("2.5", "-1"), "must be 0 or more"),
        (("2.5", "nan"), "must be 0 or more"),
        (("false", "perhaps"), "simulated is 'perhaps'"),
        (("p1", " "), "participant is empty"),
        (("no_persona", "zipp_0shot"), "both sides are 'zipp_0shot'"),
        (("2026-11-01T10:00:00Z", "yesterday"), "not an ISO 8601 time"),
    ],
)
def test_a_bad_row_is_named_with_its_file(tmp_path, change, message):
    settings = votes(tmp_path, GOOD + GOOD.replace("q1", "q2").replace(*change))
    with pytest.raises(VotesError, match=rf"votes\.csv, row 2: .*{message}"):
        human_preferences(settings)


def test_a_second_vote_of_a_participant_on_a_pair_names_both_places(tmp_path):
    votes(tmp_path, GOOD, "a.csv")
    with pytest.raises(VotesError, match=r"b\.csv, row 1: .*before \(a\.csv, row 1\)"):
        human_preferences(votes(tmp_path, GOOD, "b.csv"))


def test_missing_and_unknown_columns_are_named(tmp_path):
    (tmp_path / "votes.csv").write_text("study,colour\ns,red\n")
    with pytest.raises(VotesError, match=r"missing \['participant'.*unexpected \['colour'\]"):
        read_votes(tmp_path)


def cast(*votes, methods=("zipp_0shot", "no_persona")):
    """Votes (study, participant, prompt, whether the first method was chosen; None for a tie)."""
    choice = {True: "left", False: "right", None: "tie"}
    rows = [
        {
            "study": study,
            "participant": participant,
            "pair": f"q{number}",
            "left_method": methods[0],
            "right_method": methods[1],
            "choice": choice[won],
            "seconds": 2.0,
            "simulated": study == "raters",
            "created_at": datetime(2026, 11, 1),
            "prompt": prompt,
            "flags": "",
        }
        for number, (study, participant, prompt, won) in enumerate(votes)
    ]
    return pa.Table.from_pylist(rows, schema=VOTES_SCHEMA)


def test_rows_for_the_leaderboard_pool_the_studies_of_a_pair_and_never_mix_in_simulated_votes():
    table = cast(
        *(("a", f"p{n % 4}", f"prompt {n}", n > 1) for n in range(8)),
        *(("b", f"p{n}", f"prompt {n}", True) for n in range(2)),
        ("raters", "bot", "prompt 0", None),
    )
    people, simulated = vote_rows(table, BOOTSTRAP)
    assert (people["metric"], people["baseline"]) == ("vote_win_rate", "no_persona")
    # p0 and p1 of the other study are other people.
    assert (people["value"], people["cases"], people["users"]) == (0.8, 10, 6)
    assert people["low"] < 0.8 < people["high"] and people["p_value"] >= people["binomial_p"] > 0.1
    assert simulated["metric"] == "simulated_vote_win_rate"
    assert simulated["value"] is None and simulated["cases"] == 0


def test_votes_of_one_person_are_no_evidence_and_unanimous_ones_no_certainty():
    (alone,) = win_rates(
        cast(*(("s", "p", f"{n}", n > 0) for n in range(9))), BOOTSTRAP
    ).to_pylist()
    assert alone["low"] is None and alone["p_value"] is None and alone["binomial_p"] < 0.05
    assert (alone["participants"], alone["prompts"]) == (1, 9)
    votes = cast(*(("s", f"p{n}", f"{n}", True) for n in range(5)))
    (agreed,) = win_rates(votes, BOOTSTRAP).to_pylist()
    assert agreed["p_value"] == agreed["binomial_p"] == pytest.approx(2 / 32)
    assert (agreed["low"], agreed["high"]) == (agreed["wilson_low"], 1.0) and agreed["low"] < 0.6


def test_the_order_of_the_votes_does_not_count():
    rows = [("s", f"p{n % 5}", f"{n % 7}", n % 3 > 0) for n in range(40)]
    one, other = (win_rates(cast(*some), BOOTSTRAP) for some in (rows, rows[::-1]))
    assert one.equals(other)


def test_holms_family_is_the_pairs_of_a_study_and_in_the_leaderboard_those_of_the_metric():
    votes = [("s", f"p{n % 10}", f"{n}", n % 7 > 0) for n in range(60)]
    pairs = [("zipp_0shot", "no_persona"), ("zipp_0shot", "mismatched"), ("oracle", "no_persona")]
    table = pa.concat_tables([cast(*votes, methods=pair) for pair in pairs])
    for rows in (win_rates(table, BOOTSTRAP).to_pylist(), vote_rows(table, BOOTSTRAP)):
        family = [row for row in rows if row["method"] == "zipp_0shot"]
        assert [row["p_holm"] for row in family] == pytest.approx(
            [2 * row["p_value"] for row in family]
        )
        assert len(family) == 2 and all(0 < row["p_value"] < 0.05 for row in family)
        (oracle,) = [row for row in rows if row["method"] != "zipp_0shot"]
        assert oracle["p_value"] is not None and oracle.get("p_holm") is None


WORLDS = 300


def rejections(rng_of, votes_of):
    """Shares of worlds without a preference where the new and the exact p-value are below .05."""
    found = []
    for world in range(WORLDS):
        rng = np.random.default_rng([world, rng_of])
        people, prompts, chance = votes_of(rng)
        won = rng.random(len(people)) < chance
        rows = zip(people.tolist(), prompts.tolist(), won.tolist(), strict=True)
        (row,) = vote_rows(
            cast(*(("s", f"p{a}", f"{b}", bool(c)) for a, b, c in rows)),
            Bootstrap(replicates=400, seed=world),
        )
        found.append((row["p_value"] < 0.05, row["binomial_p"] < 0.05))
    return np.mean(found, axis=0)


def prompts_of_their_own(rng, icc=0.1, people=25, votes=10):
    """Everybody sees prompts of their own; a person's chances are alike with this correlation."""
    spread = (1 / icc - 1) / 2
    raters = np.repeat(np.arange(people), votes)
    return raters, np.arange(len(raters)), rng.beta(spread, spread, people)[raters]


def the_same_prompts(rng, icc=0.1, people=25, prompts=10):
    """Everybody sees the same prompts; chances are alike within a person and within a prompt."""
    raters, shown = (a.ravel() for a in np.indices((people, prompts)))
    spread = np.sqrt(0.25 * icc)
    by_person, by_prompt = rng.normal(0, spread, people), rng.normal(0, spread, prompts)
    return raters, shown, np.clip(0.5 + by_person[raters] + by_prompt[shown], 0, 1)


@pytest.mark.parametrize(
    ("number", "votes_of"), enumerate((prompts_of_their_own, the_same_prompts))
)
def test_a_rate_of_one_half_is_rejected_as_often_as_the_level_says(number, votes_of):
    """Taken as independent, votes of 25 people find a preference too often where there is none."""
    ours, exact = rejections(number, votes_of)
    assert 0.01 < ours < 0.08, (ours, exact)
    assert exact > 0.1, (ours, exact)
