from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
import yaml

from zipp_dagster.platform.materialise import PARTITION
from zipp_dagster.reddit.columns import COMMENTS_SCHEMA, REJECTED_SCHEMA, SUBMISSIONS_SCHEMA
from zipp_dagster.reddit.config import RedditSettings
from zipp_dagster.reddit.erasure import ERASURES_SCHEMA
from zipp_dagster.reddit.media import MEDIA_SCHEMA
from zipp_dagster.reddit.warehouse_config import WarehouseSettings
from zipp_dagster.zipbench.config import ZipbenchSettings

ROOT = Path(__file__).parents[2]
SQL = sorted((ROOT / "dbt_like_sql").rglob("*.sql"))
SCHEMAS = {
    "comments": COMMENTS_SCHEMA,
    "submissions": SUBMISSIONS_SCHEMA,
    "rejected_lines": REJECTED_SCHEMA,
    "media": MEDIA_SCHEMA,
    "erasures": ERASURES_SCHEMA,
}
SECTIONS = {"reddit": RedditSettings, "warehouse": WarehouseSettings, "zipbench": ZipbenchSettings}


def described(relation: duckdb.DuckDBPyRelation) -> list[tuple[str, str]]:
    return list(zip(relation.columns, map(str, relation.types)))


def promised(path: Path) -> list[tuple[str, str]]:
    return [(c["name"], c["type"]) for c in yaml.safe_load(path.read_text())["columns"]]


@pytest.mark.parametrize("table", SCHEMAS)
def test_the_ingest_writes_what_its_contracts_promise(table):
    empty = pa.Table.from_pylist([], schema=SCHEMAS[table])  # noqa: F841 - read by DuckDB
    found = described(duckdb.sql("SELECT * FROM empty"))
    assert found == promised(ROOT / f"assets/contracts/{table}.yml")


@pytest.mark.parametrize("path", SQL, ids=lambda path: path.stem)
def test_a_model_returns_the_columns_of_its_contract(path, build):
    types = build()(f"DESCRIBE {path.stem}")
    assert [(row[0], row[1]) for row in types] == promised(path.with_suffix(".yml"))


@pytest.mark.parametrize("path", SQL, ids=lambda path: path.stem)
def test_settings_of_a_model_exist_and_columns_are_described(path):
    contract = yaml.safe_load(path.with_suffix(".yml").read_text())
    used = {part.split("'")[0] for part in path.read_text().split("getvariable('")[1:]}
    assert used == set(contract.get("settings", {}))
    for dotted in set(contract.get("settings", {}).values()) - {PARTITION}:
        section, field = dotted.split(".")
        assert field in SECTIONS[section].model_fields
    assert all(len(c["description"]) > 8 for c in contract["columns"])


def test_the_platform_loads_every_model_and_finds_its_inputs():
    from zipp_dagster.platform.sql_models import check_references, load_models

    models = load_models(ROOT / "dbt_like_sql")
    check_references(models, list(SCHEMAS))
    inputs = {model.name: set(model.inputs) for model in models}
    assert inputs["benchmark_holdout"] == {"int_image_posts", "int_activity_monthly", "int_bots"}
    assert "int_image_posts" not in inputs["interactions"] | inputs["subreddit_documents"]
