from __future__ import annotations

import pyarrow as pa
import pytest

from tests.zipbench.worlds import scores_table
from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.language_model_ablation import (
    NO_RATIO,
    NO_SCORES,
    ONLY_ONE,
    language_model_ablation,
)
from zipp_dagster.zipbench.leaderboard import build_leaderboard

SETTINGS = ZipbenchSettings(bootstrap_replicates=200)
USERS = range(1, 6)


def scores(**clip_i: float | None) -> pa.Table:
    """Every user has one case; a method's score is constant plus the user's own level."""
    return scores_table(
        [
            (f"c{user}", user, method, None if value is None else value + user / 100)
            for method, value in clip_i.items()
            for user in USERS
        ]
    )


def find(table: pa.Table, method: str, metric: str, baseline: str | None) -> dict[str, object]:
    (row,) = (
        row
        for row in table.to_pylist()
        if (row["method"], row["metric"], row["baseline"]) == (method, metric, baseline)
    )
    return row


def test_every_method_has_a_mean_and_pairs_against_no_persona_and_own_against_mismatched():
    board = build_leaderboard(scores(zipp_0shot=0.6, no_persona=0.5, mismatched=0.52), SETTINGS)
    assert find(board, "no_persona", "clip_i", None)["value"] == pytest.approx(0.53)
    gain = find(board, "zipp_0shot", "clip_i", "mismatched")
    assert (gain["value"], gain["low"], gain["high"]) == pytest.approx((0.08, 0.08, 0.08))
    assert (gain["cases"], gain["users"], gain["encoder"]) == (5, 5, "test encoder")
    assert find(board, "zipp_0shot", "lift", "no_persona")["value"] == pytest.approx(0.1 / 0.53)
    pairs = {(row["method"], row["baseline"]) for row in board.to_pylist() if row["baseline"]}
    assert pairs == {
        ("zipp_0shot", "no_persona"),
        ("mismatched", "no_persona"),
        ("zipp_0shot", "mismatched"),
    }


def test_without_reference_pictures_clip_i_is_null_with_zero_cases_and_has_no_pairs():
    board = build_leaderboard(scores(zipp_0shot=None, no_persona=None), SETTINGS)
    row = find(board, "zipp_0shot", "clip_i", None)
    assert (row["value"], row["low"], row["cases"], row["users"]) == (None, None, 0, 0)
    assert {row["metric"] for row in board.to_pylist() if row["baseline"]} == {
        "rouge_l",
        "prompt_truncated",
    }


def test_a_paired_difference_uses_only_the_cases_that_both_methods_have():
    table = scores_table(
        [
            ("easy", 1, "no_persona", 0.9),
            ("hard", 2, "no_persona", 0.1),
            ("hard", 2, "zipp_0shot", 0.3),
            ("other", 3, "no_persona", 0.2),
            ("other", 3, "zipp_0shot", 0.4),
        ]
    )
    gain = find(build_leaderboard(table, SETTINGS), "zipp_0shot", "clip_i", "no_persona")
    assert gain["value"] == pytest.approx(0.2) and gain["cases"] == 2


def test_shuffled_scores_show_no_difference_and_a_case_scored_twice_is_an_error():
    table = scores_table(
        [(f"c{u}", u, "no_persona", (u * 7 % 10) / 10) for u in range(10)]
        + [(f"c{u}", u, "zipp_0shot", (u * 3 % 10) / 10) for u in range(10)]
    )
    gain = find(build_leaderboard(table, SETTINGS), "zipp_0shot", "clip_i", "no_persona")
    assert gain["low"] < 0 < gain["high"]
    with pytest.raises(ValueError, match="c0 twice for method no_persona"):
        build_leaderboard(pa.concat_tables([table, table]), SETTINGS)


def test_one_language_model_says_that_there_is_nothing_to_compare():
    rows = language_model_ablation(
        {"lexical": scores(zipp_0shot=0.6, no_persona=0.5, zipp_3shot=0.9)}, SETTINGS
    ).to_pylist()
    assert len(rows) == 1 and rows[0]["note"] == ONLY_ONE
    assert rows[0]["without_persona"] == pytest.approx(0.53)
    assert rows[0]["with_persona"] == pytest.approx(0.63)
    assert rows[0]["lift"] == pytest.approx(0.1 / 0.53) and rows[0]["cases"] == 5


def test_what_cannot_be_computed_is_null_with_a_reason():
    table = language_model_ablation(
        {
            "good": scores(zipp_0shot=0.6, no_persona=0.5),
            "negative": scores(zipp_0shot=0.6, no_persona=-0.5),
            "blind": scores(zipp_0shot=None, no_persona=0.5),
        },
        SETTINGS,
    )
    notes = dict(zip(table["language_model"].to_pylist(), table["note"].to_pylist(), strict=True))
    assert notes == {"good": None, "negative": NO_RATIO, "blind": NO_SCORES}
    assert table["lift"].null_count == 2
