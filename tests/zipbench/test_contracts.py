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
    downstream,
    grids,
    language_model_ablation,
    leaderboard,
    metrics,
    pluralism,
    preferences,
    registry,
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
    "downstream_ablation": downstream.SCHEMA,
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


def test_the_leaderboard_s_contract_knows_every_metric_of_the_registry():
    (column,) = (
        c for c in load_contract(CONTRACTS / "leaderboard.yml").columns if c.name == "metric"
    )
    (known,) = (test for test in column.tests if test.name == "accepted_values")
    assert set(known.arguments["values"]) == registry.METRICS.keys() | registry.AGGREGATES.keys()
