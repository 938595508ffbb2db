from __future__ import annotations

import numpy as np
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
from zipp_dagster.zipbench.leaderboard import MethodCost, build_leaderboard
from zipp_dagster.zipbench.statistics import holm

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


def test_a_method_run_for_some_people_is_compared_on_their_cases_and_takes_nobody_else_s_away():
    whole = [
        (f"c{u}", u, method, value + u / 10)
        for method, value in (("no_persona", 0.2), ("zipp_0shot", 0.3))
        for u in USERS
    ]
    some = [(f"c{u}", u, "lora", 0.25 + u / 10) for u in (1, 2)]
    board = build_leaderboard(scores_table(whole + some), SETTINGS)
    mean = find(board, "lora", "clip_i", None)
    assert (mean["value"], mean["cases"], mean["users"]) == (pytest.approx(0.4), 2, 2)
    gain = find(board, "lora", "clip_i", "no_persona")
    assert gain["value"] == pytest.approx(0.05) and (gain["cases"], gain["users"]) == (2, 2)
    strengths = {
        r["method"]: r["cases"] for r in board.to_pylist() if r["metric"] == "bradley_terry"
    }
    assert strengths == {"no_persona": 5, "zipp_0shot": 5}


def test_without_reference_pictures_clip_i_is_null_with_zero_cases_and_has_no_pairs():
    board = build_leaderboard(scores(zipp_0shot=None, no_persona=None), SETTINGS)
    row = find(board, "zipp_0shot", "clip_i", None)
    assert (row["value"], row["low"], row["cases"], row["users"]) == (None, None, 0, 0)
    assert {row["metric"] for row in board.to_pylist() if row["baseline"]} == {
        "rouge_l",
        "prompt_truncated",
        "prompt_copied",
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


def levels(**gain: float) -> pa.Table:
    """60 users of very different levels; a method adds its gain and a little noise."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(60):
        level = rng.normal(0.5, 0.2)
        for method, value in gain.items():
            rows.append((f"c{user}", user, method, level + value + rng.normal(0.0, 0.02)))
    return scores_table(rows)


def test_p_values_are_adjusted_over_the_table_and_the_oracle_is_no_hypothesis():
    board = build_leaderboard(
        levels(no_persona=0.0, zipp_0shot=0.05, mismatched=0.0, oracle=0.3),
        ZipbenchSettings(bootstrap_replicates=2000),
    )
    rows = {
        (r["method"], r["baseline"]): r
        for r in board.to_pylist()
        if r["metric"] == "clip_i" and r["baseline"]
    }
    family = [rows[pair] for pair in rows if pair[0] != "oracle"]
    assert len(family) == 3  # two methods against no persona, own against mismatched
    assert [r["p_holm"] for r in family] == pytest.approx(
        list(holm([r["p_value"] for r in family]))
    )
    assert (
        rows["zipp_0shot", "no_persona"]["p_holm"]
        < 0.02
        < rows["mismatched", "no_persona"]["p_holm"]
    )
    assert rows["oracle", "no_persona"]["p_holm"] is None
    assert 0.004 < rows["zipp_0shot", "no_persona"]["detectable"] < 0.02


def test_a_win_rate_counts_users_and_says_how_sure_it_is():
    board = build_leaderboard(levels(no_persona=0.0, zipp_0shot=0.05), SETTINGS)
    won = find(board, "zipp_0shot", "win_rate", "no_persona")
    assert won["value"] > 0.9 and won["low"] < won["value"] <= won["high"] and won["p_value"] < 1e-6
    assert won["users"] == 60


def test_strengths_order_all_methods_at_once_and_sum_to_zero():
    board = build_leaderboard(levels(no_persona=0.0, zipp_0shot=0.02, zipp_3shot=0.04), SETTINGS)
    strengths = {
        m: find(board, m, "bradley_terry", None) for m in ("no_persona", "zipp_0shot", "zipp_3shot")
    }
    values = [row["value"] for row in strengths.values()]
    assert values == sorted(values) and sum(values) == pytest.approx(0.0)
    assert all(row["low"] < row["value"] < row["high"] for row in strengths.values())


def test_clean_and_leaked_cases_are_reported_apart_where_some_leak():
    rows = [
        (f"c{u}", u, m, v) for u in range(9) for m, v in (("no_persona", 0.5), ("zipp_0shot", 0.5))
    ]
    leaked = [
        (f"leaked{u}", u, m, v)
        for u in range(9)
        for m, v in (("no_persona", 0.5), ("zipp_0shot", 0.9))
    ]
    board = build_leaderboard(scores_table(rows + leaked), SETTINGS).to_pylist()
    gains = {
        r["split"]: r["value"]
        for r in board
        if r["metric"] == "clip_i" and r["baseline"] is not None
    }
    assert gains == {
        "all": pytest.approx(0.2),
        "clean": pytest.approx(0.0),
        "leaked": pytest.approx(0.4),
    }
    only_clean = build_leaderboard(scores_table(rows), SETTINGS)["split"].to_pylist()
    assert set(only_clean) == {"all"}


def test_costs_stand_beside_the_scores_where_they_were_measured():
    costs = {"zipp_0shot": MethodCost(60, rewrite_seconds=0.5, rewrite_tokens=900.0)}
    board = build_leaderboard(levels(no_persona=0.0, zipp_0shot=0.05), SETTINGS, costs)
    cost = {
        r["metric"]: (r["method"], r["value"])
        for r in board.to_pylist()
        if "rewrite" in r["metric"]
    }
    assert cost == {
        "rewrite_seconds": ("zipp_0shot", 0.5),
        "rewrite_tokens": ("zipp_0shot", 900.0),
    }


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
