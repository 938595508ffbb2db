"""A model in ranges of users gives the rows of one pass, whatever the number of ranges."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tests.dbt_like_sql.conftest import VARIABLES, in_order
from zipp_dagster.fanout import IN_LINE, FanOut
from zipp_dagster.platform.contracts import load_contract, scan
from zipp_dagster.platform.sql_models import run_model
from zipp_dagster.platform.warehouse import Warehouse

ROOT = Path(__file__).parents[2]
RANGED = [model.name for model in in_order() if model.contract.ranges]
EVENTS = """
SELECT 'e' || i AS id, hash(i % 211) AS user_id, 'r' || (i * i % 13) AS subreddit, 't3_a' AS link_id,
    't1_a' AS parent_id, 'text ' || (i % 700) AS body, 'title ' || i AS title, '' AS selftext,
    NULL::VARCHAR AS url, NULL::VARCHAR AS domain, CASE WHEN i % 3 = 0 THEN i || '.png' END AS media_key,
    CAST(i % 17 - 5 AS BIGINT) AS score, 0::BIGINT AS num_comments, i % 5 = 0 AS over_18, i % 3 = 0 AS is_image,
    TIMESTAMP '2020-01-01' + to_seconds(CAST(i * 7919 % 2600000 AS BIGINT)) AS created_at, i % 211 = 3 AS is_bot
FROM range({rows}) AS r(i)
"""
RAW = ("comments", "submissions", "media")
CONTRACTS = {name: load_contract(ROOT / f"assets/contracts/{name}.yml") for name in RAW}


def materialise(folder: Path, ranges: int, fan_out: FanOut = IN_LINE) -> dict[str, list[Path]]:
    """All models over the same events; those that can in so many ranges."""
    files: dict[str, list[Path]] = {"media": []}
    folder.mkdir()
    warehouse = Warehouse("1GB", 2, folder / "spill")
    for table, rows in (("comments", 6000), ("submissions", 900)):
        columns = ", ".join(CONTRACTS[table].column_types)
        path = folder / f"{table}.parquet"
        duckdb.sql(f"COPY (SELECT {columns} FROM ({EVENTS.format(rows=rows)})) TO '{path}'")
        files[table] = [path]
    for model in in_order():
        out = folder / model.name
        out.mkdir()
        inputs = {name: files[name] for name in model.inputs}
        parts = ranges if model.contract.ranges else 1
        rows = run_model(
            model, inputs, CONTRACTS, VARIABLES, warehouse.connect, out, parts, fan_out=fan_out
        )
        files[model.name] = sorted(out.glob("part-*.parquet"))
        assert len(files[model.name]) == parts
        counted = duckdb.sql(f"SELECT count(*) FROM {scan(files[model.name])}").fetchall()
        assert counted == [(rows,)]
    return files


@pytest.fixture(scope="module")
def passes(tmp_path_factory) -> list[dict[str, list[Path]]]:
    folder = tmp_path_factory.mktemp("ranges")
    return [materialise(folder / str(ranges), ranges) for ranges in (1, 12)]


def test_the_large_tables_are_computed_in_ranges():
    assert {"stg_accounts", "int_activity_monthly", "interactions", "users"} <= set(RANGED)


@pytest.mark.parametrize("name", RANGED)
def test_rows_and_their_order_are_those_of_one_pass(passes, name):
    one, twelve = (duckdb.sql(f"SELECT * FROM {scan(p[name])}").fetchall() for p in passes)
    assert one == twelve and len(one) > 200
    users = [row[0] for row in one]
    assert users == sorted(users)


@pytest.mark.parametrize("name", RANGED)
def test_each_part_holds_its_own_range_and_no_other(passes, name):
    keys = [
        [row[0] for row in duckdb.sql(f"SELECT user_id FROM {scan([path])}").fetchall()]
        for path in passes[1][name]
    ]
    assert [{key * 12 // 2**64 for key in part} for part in keys] == [{n} for n in range(12)]
