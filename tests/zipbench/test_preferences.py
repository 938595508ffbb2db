from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.preferences import (
    SCHEMA,
    VOTES_SCHEMA,
    VotesError,
    human_preferences,
    read_votes,
    vote_rows,
)

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
    assert row["win_rate"] == 0.75 and row["p_value"] == pytest.approx(0.625)
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


def test_rows_for_the_leaderboard_pool_the_studies_of_a_pair_and_never_mix_in_simulated_votes():
    row = {"method": "zipp_0shot", "opponent": "no_persona", "ties": 3, "participants": 4}
    studies = [
        row | {"study": "a", "simulated": False, "wins": 6, "losses": 2},
        row | {"study": "b", "simulated": False, "wins": 2, "losses": 0},
        row | {"study": "raters", "simulated": True, "wins": 0, "losses": 0},
    ]
    people, simulated = vote_rows(pa.Table.from_pylist(studies, schema=SCHEMA))
    assert (people["metric"], people["baseline"]) == ("vote_win_rate", "no_persona")
    assert (people["value"], people["cases"], people["users"]) == (0.8, 10, 8)
    assert people["low"] < 0.8 < people["high"] and 0.1 < people["p_value"] < 0.12
    assert simulated["metric"] == "simulated_vote_win_rate"
    assert simulated["value"] is None and simulated["cases"] == 0
