"""Every test of every contract holds on a good table and fails on one with that fault planted.

Good rows and most faults follow from the contract itself; a test with a condition in SQL needs its
faulty row in FAULTS. A new contract is covered without a word here, unless it has such a condition.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest

from zipp_dagster.platform.contracts import Column, Contract, Test, load_contract, scan
from zipp_dagster.platform.expectations import validate

ROOT = Path(__file__).parents[1]
PATHS = {
    path.stem: path
    for path in [*ROOT.glob("assets/contracts/*.yml"), *ROOT.glob("dbt_like_sql/*/*.yml")]
}
Row = dict[str, Any]

GOOD: dict[str, Row] = {
    "comments": {"link_id": "t3_a", "parent_id": "t1_a"},
    "gat_evaluation": {"low": 0.0, "value": 0.5, "high": 1.0},
    "encoder_ablation": {"low": 0.0, "value": 0.5, "high": 1.0},
    "leaderboard": {"low": 0.0, "value": 0.5, "high": 1.0, "cases": 5},
    "demographic_scores": {"n": 20},
    "human_preferences": {"low": 0.2, "wilson_low": 0.3, "wilson_high": 0.7, "high": 0.8},
    "image_embeddings": {"embedding": [1.0]},
    "judge_preferences": {"cases": 4, "wins": 1, "losses": 1, "inconclusive": 1, "unparsed": 1},
    "media": {"duplicate_of": None, "similar_to": None},
    "interactions": {"posts": 1, "first_at": "2020-01-01", "last_at": "2020-01-02"},
    "int_activity_monthly": {"posts": 1, "first_at": "2020-01-01", "last_at": "2020-01-02"},
    "stg_accounts": {"is_bot": True, "bot_reason": "rate", "events": 5, "comments": 5},
    "int_communities_monthly": {"posts": 5, "over_18_posts": 1},
    "subreddits": {"posts": 5, "image_posts": 1, "sensitive": False, "sensitive_category": None},
    "submissions": {"is_image": False, "media_key": None},
    "users": {"posts": 5, "image_posts": 1, "first_at": "2020-01-01", "last_at": "2020-01-02"},
}
"""Where rows that only follow types and ranges would break a condition between columns."""

FAULTS: dict[str, dict[str, Row]] = {
    "comments": {
        "links name comments": {"link_id": "a"},
        "created_at lies": {"created_at": "1970-01-01"},
        "no removed text": {"body": "[removed]"},
    },
    "submissions": {
        "created_at lies": {"created_at": "2101-01-01"},
        "exactly the image posts": {"is_image": True},
        "no removed text": {"selftext": "[deleted]"},
    },
    "image_embeddings": {"": {"embedding": [2.0]}},
    "encoder_ablation": {"": {"low": 0.9}},
    "gat_evaluation": {"": {"high": 0.1}},
    "leaderboard": {
        "low > high": {"low": 0.9, "high": 0.1},
        "value IS NULL": {"value": None},
        "value IS NOT NULL": {"cases": 0},
    },
    "demographic_scores": {"": {"dimension": "age", "n": 3}},
    "media": {
        "no post repeats": {"post_id": "p", "duplicate_of": "p", "similar_to": "p"},
        "what is the same": {"duplicate_of": "q", "similar_to": None},
    },
    "human_preferences": {"": {"low": 0.4}},
    "judge_preferences": {"": {"cases": 7}},
    "llm_ablation": {"": {"lift": None, "note": None}},
    "downstream_ablation": {"": {"difference": None, "note": None}},
    "int_activity_monthly": {"": {"last_at": "2019-01-01"}},
    "int_image_posts": {"": {"sha256": None}},
    "int_communities_monthly": {"": {"over_18_posts": 6}},
    "subreddits": {"image posts": {"image_posts": 6}, "exactly": {"sensitive": True}},
    "interactions": {"": {"posts": 0, "comments": 0}},
    "users": {
        "every user": {"posts": 0, "comments": 0, "image_posts": 0},
        "image": {"image_posts": 6},
    },
    "stg_accounts": {"exactly the bots": {"is_bot": False}, "comments": {"comments": 6}},
    "stg_comments": {"no profile": {"subreddit": "u_00ff"}},
    "stg_submissions": {"no profile": {"subreddit": "U_00ff"}},
}
"""Contract → start of the condition's description (or of the condition) → what breaks it."""


@cache
def contract_of(name: str) -> Contract:
    return load_contract(PATHS[name])


def bounds(column: Column) -> dict[str, Any]:
    """What the tests of a column ask of its values."""
    found: dict[str, Any] = {}
    for test in column.tests:
        if test.name == "accepted_values":
            found["values"] = test.arguments["values"]
        elif test.name.startswith("expect_column_value"):
            kind = "length_" if "lengths" in test.name else ""
            found |= {f"{kind}{key}": value for key, value in (test.arguments or {}).items()}
    return found


def good_value(column: Column, number: int) -> Any:
    """The `number`-th of some distinct values that the column's tests allow."""
    asked = bounds(column)
    if "values" in asked:
        return asked["values"][number % len(asked["values"])]
    match column.type:
        case "VARCHAR":
            length = asked.get("length_value", asked.get("length_min_value", 0))
            return f"{number:x}".rjust(max(length, 6), "a")
        case "BOOLEAN":
            return False
        case "TIMESTAMP":
            return datetime.datetime(2020, 1, 1) + datetime.timedelta(hours=number)
        case "DOUBLE":
            return asked.get("min_value", 0.0) + 0.001 * number
        case "BIGINT" | "UBIGINT" | "INTEGER":
            value = asked.get("min_value", 1) + number
            return min(value, asked.get("max_value", value))
        case "BLOB":
            return f"{number}".encode()
        case "FLOAT[]":
            return [1.0]
        case "VARCHAR[]" | "STRUCT(prompt VARCHAR, image VARCHAR)[]":
            return []
        case "MAP(VARCHAR, VARCHAR)":
            return "{}"
        case "FLOAT":
            return asked.get("min_value", 0.0) + 0.001 * number
    raise AssertionError(f"say in good_value() what a good {column.type} is")


def good_rows(contract: Contract, numbers: range) -> list[Row]:
    return [
        {c.name: good_value(c, number) for c in contract.columns} | GOOD.get(contract.name, {})
        for number in numbers
    ]


def rows_allowed(contract: Contract) -> int:
    """Three, or what a test of the number of rows allows."""
    counts = [t for t in contract.tests if t.name == "expect_table_row_count_to_be_between"]
    return min([3, *(t.arguments.get("max_value", 3) for t in counts)])


def as_literal(column: Column, value: Any) -> str:
    if isinstance(value, bytes):
        return f"'{value.decode()}'::BLOB"
    text = "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"
    return f"CAST({text} AS {column.type})"


def write(path: Path, contract: Contract, rows: list[Row]) -> Path:
    """Rows as a Parquet file with the types of the contract."""
    selects = [contract.empty_table_sql()] + [
        "SELECT "
        + ", ".join(f'{as_literal(c, row[c.name])} AS "{c.name}"' for c in contract.columns)
        for row in rows
    ]
    duckdb.sql(f"COPY ({' UNION ALL '.join(selects)}) TO '{path}' (FORMAT parquet)")
    return path


def each_test(contract: Contract) -> Iterator[tuple[Column | None, Test]]:
    for column in contract.columns:
        yield from ((column, test) for test in column.tests)
    yield from ((None, test) for test in contract.tests)


def planted(contract: Contract, column: Column | None, test: Test, fresh: list[Row]) -> list[Row]:
    """Rows that break a test, made from good rows that are in no other place of the table."""
    first, second = fresh
    if test.name == "unexpected_rows":
        described = (test.arguments["description"], test.arguments["where"])
        fault = next(
            (
                fault
                for start, fault in FAULTS.get(contract.name, {}).items()
                if any(text.startswith(start) for text in described)
            ),
            None,
        )
        assert fault is not None, f"plant a fault for {described} of {contract.name} in FAULTS"
        return [first | fault]
    if column is None:
        keys = test.arguments if test.name == "unique" else test.arguments["column_list"]
        return [first, second | {key: first[key] for key in keys}]
    asked = bounds(column)
    match test.name:
        case "not_null":
            return [first | {column.name: None}]
        case "expect_column_values_to_not_be_null":
            return [row | {column.name: None} for row in fresh * 50]
        case "unique":
            return [first, second | {column.name: first[column.name]}]
        case "accepted_values":
            return [first | {column.name: "no such value"}]
        case "relationships":
            return [first]  # good in itself, and in no related table
        case "expect_column_value_lengths_to_equal":
            return [first | {column.name: "short"}]
        case "expect_column_value_lengths_to_be_between":
            return [first | {column.name: ""}]
        case "expect_column_values_to_be_between" if "min_value" in asked:
            if column.type == "UBIGINT":
                return [first | {column.name: asked["max_value"] + 1}]
            return [first | {column.name: asked["min_value"] - 1}]
        case "expect_column_values_to_be_between":
            return [first | {column.name: asked["max_value"] + 1}]
    raise AssertionError(f"say in planted() how to break {test.name}")


def related_files(contract: Contract, rows: list[Row], folder: Path) -> dict[str, list[Path]]:
    """The tables that relationships look into, with the keys of some rows."""
    found: dict[str, dict[str, str]] = {}
    for column, test in each_test(contract):
        if column is not None and test.name == "relationships":
            values = ", ".join(as_literal(column, row[column.name]) for row in rows)
            select = f'unnest([{values}]) AS "{test.arguments["field"]}"'
            found.setdefault(test.arguments["to"], {})[test.arguments["field"]] = select
    for table, selects in found.items():
        query = f"SELECT {', '.join(selects.values())}"
        duckdb.sql(f"COPY ({query}) TO '{folder}/{table}.parquet' (FORMAT parquet)")
    return {table: [folder / f"{table}.parquet"] for table in found}


@pytest.mark.parametrize("name", sorted(PATHS))
def test_every_test_of_a_contract_holds_on_good_rows_and_catches_its_planted_fault(name, tmp_path):
    contract = contract_of(name)
    good = good_rows(contract, range(rows_allowed(contract)))
    related = related_files(contract, good, tmp_path)
    bad, rows_in_all = [], []
    for index, (column, test) in enumerate(each_test(contract)):
        if test.name == "expect_table_row_count_to_be_between":
            rows_in_all.append(test)
            continue
        fresh = good_rows(contract, range(100 + 2 * index, 102 + 2 * index))
        bad += planted(contract, column, test, fresh)
    fine = validate(contract, [write(tmp_path / "good.parquet", contract, good)], related)
    assert fine.passed, fine.summary()
    assert len(fine.results) > 1, f"{PATHS[name]} has no test at all"
    faulty = validate(contract, [write(tmp_path / "bad.parquet", contract, good + bad)], related)
    missed = [
        f"{r.test} of {r.column or 'the table'}"
        for r in faulty.results[1:]
        if r.passed and r.test != "expect_table_row_count_to_be_between"
    ]
    assert missed == []
    if rows_in_all:
        empty = validate(contract, [], related)
        failed = [r.test for r in empty.results if not r.passed]
        assert failed.count("expect_table_row_count_to_be_between") == len(rows_in_all)


@pytest.mark.parametrize("name", sorted(PATHS))
def test_each_condition_in_sql_is_broken_by_its_own_planted_row(name, tmp_path):
    contract = contract_of(name)
    conditions = [test for _, test in each_test(contract) if test.name == "unexpected_rows"]
    fresh = good_rows(contract, range(2))
    for number, test in enumerate(conditions):
        (row,) = planted(contract, None, test, fresh)
        path = write(tmp_path / f"{number}.parquet", contract, [row])
        where = test.arguments["where"]
        assert duckdb.sql(f"SELECT count(*) FROM {scan([path])} WHERE {where}").fetchall() == [(1,)]
    assert len(FAULTS.get(name, {})) == len(conditions)


@pytest.mark.parametrize("name", sorted(PATHS))
def test_another_type_or_a_missing_column_blocks(name, tmp_path):
    contract = contract_of(name)
    column = contract.columns[0].name
    path = tmp_path / "drifted.parquet"
    duckdb.sql(
        f'COPY (SELECT * REPLACE (CAST(NULL AS DATE) AS "{column}") FROM ({contract.empty_table_sql()})) '
        f"TO '{path}' (FORMAT parquet)"
    )
    result = validate(contract, [path], {})
    assert [r.test for r in result.blocking_failures] == ["columns"]
