from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

import zipp_dagster.zipbench.judges.base as judges_base
from tests.zipbench.worlds import cases_table, embed, generated_table, picture
from zipp_dagster.platform.contracts import load_contract
from zipp_dagster.zipbench import (
    cases,
    demographics,
    grids,
    language_model_ablation,
    leaderboard,
    metrics,
    pluralism,
    preferences,
)

CONTRACTS = Path(__file__).parents[2] / "assets" / "contracts"
SCHEMAS = {
    "judge_preferences": judges_base.SCHEMA,
    "gallery_images": grids.SCHEMA,
    "benchmark_cases": cases.SCHEMA,
    "benchmark_scores": metrics.score_cases(
        cases_table([("a", 1, None)]), generated_table({("a", "m"): picture(1, 0)}), {}, embed
    ).schema,
    "leaderboard": leaderboard.SCHEMA,
    "llm_ablation": language_model_ablation.SCHEMA,
    "pluralism_scores": pluralism.SCHEMA,
    "demographic_scores": demographics.SCHEMA,
    "human_preferences": preferences.SCHEMA,
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_table_has_the_columns_and_types_of_its_contract(name):
    found = duckdb.from_arrow(SCHEMAS[name].empty_table())
    types = dict(zip(found.columns, map(str, found.types), strict=True))
    assert types == load_contract(CONTRACTS / f"{name}.yml").column_types
