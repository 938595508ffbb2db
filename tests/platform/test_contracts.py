from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from zipp_dagster.platform import expectations as suites
from zipp_dagster.platform.contracts import ContractError, load_contract
from zipp_dagster.platform.expectations import ContractResult, TestResult, validate

ROOT = Path(__file__).parents[2]
NAMES = ["Alice Private", "Bob Private", "Bob Private", None]


@pytest.fixture
def check(tmp_path: Path):
    """Validates a table of people (id, name) by the tests of a contract."""
    table = pa.table({"id": pa.array([1, 2, 3, 4], pa.uint64()), "name": NAMES})
    pq.write_table(table, tmp_path / "part-0.parquet")

    def run(*, on_id=(), on_name=(), on_table=(), related=None, files=None) -> ContractResult:
        columns = [
            {"name": "id", "type": "UBIGINT", "description": "Who.", "tests": list(on_id)},
            {"name": "name", "type": "VARCHAR", "description": "Called.", "tests": list(on_name)},
        ]
        document = {"name": "people", "description": "People.", "columns": columns}
        path = tmp_path / "people.yml"
        path.write_text(yaml.safe_dump(document | {"tests": list(on_table)}))
        chosen = [tmp_path / "part-0.parquet"] if files is None else files
        return validate(load_contract(path), chosen, related or {})

    return run


@pytest.fixture
def contract_file(tmp_path: Path):
    """Writes a contract with some changes, or any other text."""

    def write(
        text: str | None = None, tests: Any = (), table_tests: Any = (), **changes: Any
    ) -> Path:
        column = {"name": "id", "type": "BIGINT", "description": "Who.", "tests": list(tests)}
        document = {"name": "people", "description": "People.", "columns": [column]} | changes
        document["tests"] = list(table_tests)
        path = tmp_path / "people.yml"
        path.write_text(yaml.safe_dump(document) if text is None else text)
        return path

    return write


def only(result: ContractResult) -> TestResult:
    """The result of the one test besides the structure."""
    assert [entry.test for entry in result.results[:1]] == ["columns"]
    assert len(result.results) == 2
    return result.results[1]


@pytest.mark.parametrize(
    ("place", "test", "detail"),
    [
        ("on_name", "not_null", "1 of 4 rows"),
        ("on_name", "unique", "2 of 4 rows"),
        ("on_name", {"accepted_values": {"values": ["Bob Private"]}}, "1 of 4 rows"),
        ("on_table", {"unique": ["name"]}, "2 of 4 rows"),
        (
            "on_table",
            {"unexpected_rows": {"where": "id > 2", "description": "ids are small"}},
            "observed 2",
        ),
        ("on_id", {"expect_column_values_to_be_between": {"max_value": 3}}, "1 of 4 rows"),
        ("on_table", {"expect_table_row_count_to_be_between": {"min_value": 9}}, "observed 4"),
    ],
    ids=str,
)
def test_a_planted_fault_is_caught_blocks_and_is_counted(check, place, test, detail):
    result = check(**{place: [test]})
    assert (only(result).passed, only(result).detail) == (False, detail)
    assert result.blocking_failures == [only(result)] and not result.passed
    assert detail in result.summary()


@pytest.mark.parametrize(
    ("place", "test"),
    [
        ("on_id", "not_null"),
        ("on_id", "unique"),
        ("on_name", {"accepted_values": {"values": ["Alice Private", "Bob Private"]}}),
        ("on_table", {"unique": ["id", "name"]}),
        ("on_table", {"unexpected_rows": {"where": "id > 4", "description": "ids are small"}}),
        ("on_table", {"expect_table_row_count_to_be_between": {"min_value": 4}}),
    ],
    ids=str,
)
def test_what_holds_passes(check, place, test):
    result = check(**{place: [test]})
    assert result.passed and result.summary() == "all 2 tests hold"


def test_two_columns_together_are_unique_although_neither_is(check, tmp_path):
    rows = {"id": pa.array([1, 1, 2, 2], pa.uint64()), "name": ["a", "b", "a", "a"]}
    pq.write_table(pa.table(rows), tmp_path / "pairs.parquet")
    result = check(on_table=[{"unique": ["id", "name"]}], files=[tmp_path / "pairs.parquet"])
    assert only(result).detail == "2 of 4 rows"


def test_a_warning_fails_without_blocking(check):
    result = check(on_name=[{"not_null": None, "severity": "warn"}])
    assert not result.passed and result.blocking_failures == []
    assert only(result).severity == "warn"


def test_each_result_is_the_one_of_its_own_test(check):
    result = check(
        on_id=["unique", "not_null"], on_name=["not_null"], on_table=[{"unique": ["id", "name"]}]
    )
    found = [(r.test, r.column, r.passed) for r in result.results[1:]]
    assert sorted(found, key=str) == [
        ("not_null", "id", True),
        ("not_null", "name", False),
        ("unique", "id", True),
        ("unique", None, True),
    ]


def test_a_relationship_finds_what_the_other_table_lacks_and_ignores_nulls(check, tmp_path):
    pq.write_table(pa.table({"who": ["Alice Private", None]}), tmp_path / "known.parquet")
    test = {"relationships": {"to": "known", "field": "who"}}
    result = check(on_name=[test], related={"known": [tmp_path / "known.parquet"]})
    assert only(result).detail == "observed 2"
    pq.write_table(pa.table({"who": NAMES}), tmp_path / "known.parquet")
    assert check(on_name=[test], related={"known": [tmp_path / "known.parquet"]}).passed


def test_a_relationship_to_a_table_that_was_skipped_is_left_out(check):
    result = check(on_name=[{"relationships": {"to": "known", "field": "who"}}])
    assert [entry.test for entry in result.results] == ["columns"]


def test_a_table_without_files_is_an_empty_table(check):
    assert check(on_id=["not_null"], files=[]).passed


@pytest.mark.parametrize(
    ("columns", "detail"),
    [
        ({"id": [1], "name": ["a"]}, "missing: ['id UBIGINT']; not in the contract: ['id BIGINT']"),
        ({"name": ["a"]}, "missing: ['id UBIGINT']; not in the contract: none"),
        (
            {"name": ["a"], "id": pa.array([1], pa.uint64())},
            "columns are in another order: ['name', 'id']",
        ),
    ],
)
def test_other_columns_than_promised_block_before_anything_else_is_tested(
    check, tmp_path, columns, detail
):
    pq.write_table(pa.table(columns), tmp_path / "other.parquet")
    result = check(on_id=["not_null"], files=[tmp_path / "other.parquet"])
    assert [(r.test, r.passed, r.detail) for r in result.results] == [("columns", False, detail)]
    assert result.blocking_failures and "columns" in result.html


@pytest.mark.parametrize(
    "test",
    [
        "not_null",
        "unique",
        {"accepted_values": {"values": ["x"]}},
        {"expect_column_most_common_value_to_be_in_set": {"value_set": ["x"]}},
        {"expect_column_distinct_values_to_be_in_set": {"value_set": ["x"]}},
        {"expect_column_value_lengths_to_be_between": {"max_value": 2}},
        {"unexpected_rows": {"where": "CAST(name AS INTEGER) > 0", "description": "numbers"}},
    ],
    ids=str,
)
def test_no_value_of_a_row_is_in_the_results_or_on_the_page(check, test):
    place = "on_table" if "unexpected_rows" in test else "on_name"
    result = check(**{place: [test]})
    assert not result.passed
    assert "Private" not in result.html
    assert "Private" not in result.summary() and "Private" not in str(result.results)


def test_a_wrong_condition_says_what_is_wrong_with_it(check):
    test = {"unexpected_rows": {"where": "nobody > 0", "description": "a typing error"}}
    assert 'Referenced column "nobody" not found' in only(check(on_table=[test])).detail


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        (["not_nul"], "unknown test 'not_nul': use not_null, unique, accepted_values"),
        ([{"unique": None, "severity": "fatal"}], "severity 'fatal' is not one of error, warn"),
        ([{"unique": None, "not_null": None}], "a test is a name or one {name: arguments}"),
        ([{"accepted_values": ["a", "b"]}], "accepted_values takes {values}, not ['a', 'b']"),
        ([{"relationships": {"to": "users"}}], "relationships takes {field, to}"),
    ],
)
def test_a_wrong_test_is_an_error_that_names_the_file_and_what_is_allowed(
    contract_file, tests, message
):
    path = contract_file(tests=tests)
    with pytest.raises(ContractError) as error:
        load_contract(path)
    assert str(path) in str(error.value) and message in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "just words", "[1, 2]", "columns: [1]", "name: {", "tests: [not_null]"]
)
def test_a_file_that_is_no_contract_is_an_error_that_names_the_file(contract_file, text):
    path = contract_file(text)
    with pytest.raises(ContractError, match=str(path)):
        load_contract(path)


def test_an_unknown_key_and_a_column_test_on_the_table_are_errors(contract_file):
    with pytest.raises(ContractError, match="ownr"):
        load_contract(contract_file(ownr="team:a"))
    with pytest.raises(ContractError, match="not_null is a test of a column, not of the table"):
        load_contract(contract_file(table_tests=["not_null"]))


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ({"expect_column_values_to_be_nice": {}}, "Great Expectations has no expect_column_values"),
        ({"expect_column_values_to_be_between": {"most": 3}}, "expect_column_values_to_be_between"),
    ],
    ids=str,
)
def test_what_great_expectations_does_not_know_is_an_error_that_names_the_contract(
    check, test, message
):
    with pytest.raises(ContractError, match=f"people.yml: {message}"):
        check(on_id=[test])


def test_every_contract_of_the_project_compiles_to_a_suite():
    paths = [*ROOT.glob("assets/contracts/*.yml"), *ROOT.glob("dbt_like_sql/*/*.yml")]
    assert len(paths) > 20
    _, expectations = suites._great_expectations()
    for contract in map(load_contract, paths):
        related = {table: [Path("x.parquet")] for table in contract.related_tables()}
        tests = [(t, c.name) for c in contract.columns for t in c.tests]
        for test, column in [*tests, *((t, None) for t in contract.tests)]:
            suites._expectation(expectations, test, column, related)


def test_the_private_list_that_keeps_duckdb_connections_open_is_where_it_was():
    from great_expectations.execution_engine import sqlalchemy_execution_engine as engine

    suites._great_expectations()
    dialects = engine._PERSISTED_CONNECTION_DIALECTS
    assert isinstance(dialects, tuple)
    assert [dialect.value for dialect in dialects].count("duckdb") == 1
    assert "sqlite" in dialects and "duckdb" in dialects  # compared with the dialect's name
