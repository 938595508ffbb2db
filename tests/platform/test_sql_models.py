from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from zipp_dagster.fanout import given
from zipp_dagster.platform.contracts import Contract
from zipp_dagster.platform.sql_models import (
    SqlModel,
    SqlModelError,
    check_references,
    load_model,
    load_models,
    run_model,
)

QUERY = """
-- Who bought how much.
WITH big AS (SELECT who, price FROM sales WHERE price >= getvariable('least'))
SELECT big.who, sum(big.price) AS total, any_value(people.town) AS town
FROM big LEFT JOIN people USING (who)
GROUP BY big.who ORDER BY big.who
"""
TYPES = {"who": "VARCHAR", "total": "HUGEINT", "town": "VARCHAR"}
TO_STAFF = {"relationships": {"to": "staff", "field": "who"}}
SCHEMAS = {"sales": ["who", "price"], "people": ["who", "town"]}


@pytest.fixture
def model(tmp_path: Path):
    """`model(query, name=…, columns=…)` writes a model and its contract, and loads it."""

    def write(
        query: str = QUERY,
        name: str = "totals",
        columns: Any = TYPES,
        tests: Any = (),
        **changes: Any,
    ) -> SqlModel:
        described = [
            {"name": n, "type": TYPES.get(n, "INTEGER"), "description": "A column."}
            | {"tests": list(tests)}
            for n in columns
        ]
        document = {"name": name, "description": "Totals.", "settings": {"least": "shop.least"}}
        contract = document | {"columns": described} | changes
        (tmp_path / f"{name}.sql").write_text(query)
        (tmp_path / f"{name}.yml").write_text(yaml.safe_dump(contract))
        return load_model(tmp_path / f"{name}.sql")

    return write


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, list[Path]]:
    """Two Parquet files of sales, one of people."""
    rows = {
        "sales-1": {"who": ["ann", "bob"], "price": [5, 1]},
        "sales-2": {"who": ["ann"], "price": [7]},
        "people-1": {"who": ["ann"], "town": ["Ulm"]},
    }
    for name, columns in rows.items():
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    return {
        "sales": [tmp_path / "sales-1.parquet", tmp_path / "sales-2.parquet"],
        "people": [tmp_path / "people-1.parquet"],
    }


def result_of(model: SqlModel, inputs, out: Path, empty=None, **variables) -> list[tuple]:
    with duckdb.connect() as connection:
        rows = run_model(model, inputs, empty or {}, variables, given(connection), out)
    found = duckdb.sql(f"SELECT * FROM '{out}/part-0.parquet'").fetchall()
    assert rows == len(found)
    return found


def test_the_inputs_are_the_tables_of_the_query_without_its_own_parts(model):
    assert model().inputs == ("people", "sales")
    assert model().variables == ("least",)


def test_a_model_reads_all_files_of_its_inputs_and_the_settings_as_variables(
    model, tables, tmp_path
):
    assert result_of(model(), tables, tmp_path, least=2) == [("ann", 12, "Ulm")]
    assert result_of(model(), tables, tmp_path, least=0) == [("ann", 12, "Ulm"), ("bob", 1, None)]


@pytest.mark.parametrize(
    "value", [3, 0.25, True, None, "it's", ["a", "b'c"], []], ids=lambda value: repr(value)
)
def test_a_setting_of_any_type_reaches_the_query_unchanged(model, tmp_path, value):
    query = "SELECT getvariable('least') AS value"
    loaded = model(query, columns=["value"])
    assert result_of(loaded, {}, tmp_path, least=value) == [(value,)]


def test_a_mapping_is_a_map_that_the_query_can_look_into(model, tmp_path):
    loaded = model("SELECT getvariable('least')['pics'] AS value", columns=["value"])
    assert result_of(loaded, {}, tmp_path, least={"pics": "it's art"}) == [("it's art",)]
    assert result_of(loaded, {}, tmp_path, least={}) == [(None,)]


KEY = [{"name": "who", "type": "UBIGINT", "description": "A key."}]


def test_in_ranges_each_part_is_one_run_over_its_share_of_the_inputs_with_the_key(tmp_path, tables):
    path = tmp_path / "visits.sql"
    path.write_text("SELECT who, (SELECT count(*) FROM sales) AS sold FROM visits ORDER BY who")
    columns = [*KEY, {"name": "sold", "type": "BIGINT", "description": "Of all."}]
    document = {"name": "visits", "description": "V.", "ranges": "who", "columns": columns}
    path.with_suffix(".yml").write_text(yaml.safe_dump(document))
    keys = [0, 2**62 - 1, 2**62, 2**64 - 1]
    pq.write_table(pa.table({"who": pa.array(keys, pa.uint64())}), tmp_path / "v.parquet")
    pq.write_table(pa.table({"price": [1, 2]}), tmp_path / "s.parquet")
    inputs = {"visits": [tmp_path / "v.parquet"], "sales": [tmp_path / "s.parquet"]}
    with duckdb.connect() as connection:
        rows = run_model(load_model(path), inputs, {}, {}, given(connection), tmp_path, ranges=4)
    found = [pq.read_table(tmp_path / f"part-{n}.parquet").to_pylist() for n in range(4)]
    assert rows == 4
    assert found == [
        [{"who": 0, "sold": 2}, {"who": 2**62 - 1, "sold": 2}],
        [{"who": 2**62, "sold": 2}],
        [],
        [{"who": 2**64 - 1, "sold": 2}],
    ]


@pytest.mark.parametrize(
    ("query", "ranges", "message"),
    [
        ("SELECT who FROM sales", "who", "sort it by who first"),
        ("SELECT who, town FROM people ORDER BY town, who", "who", "sort it by who first"),
        ("SELECT who FROM sales ORDER BY who", "price", "price is no UBIGINT column"),
    ],
)
def test_a_model_in_ranges_is_sorted_by_its_key(tmp_path, query, ranges, message):
    columns = [*KEY, {"name": "town", "type": "VARCHAR", "description": "Where."}]
    document = {
        "name": "visits",
        "description": "V.",
        "ranges": ranges,
        "columns": columns if "town" in query else KEY,
    }
    (tmp_path / "visits.sql").write_text(query)
    (tmp_path / "visits.yml").write_text(yaml.safe_dump(document))
    with pytest.raises(SqlModelError, match=message):
        load_model(tmp_path / "visits.sql")


def test_a_model_that_does_not_say_so_is_not_computed_in_ranges(model, tables, tmp_path):
    with (
        duckdb.connect() as connection,
        pytest.raises(SqlModelError, match=r"totals\.yml does not say `ranges: <column>`"),
    ):
        run_model(model(), tables, {}, {"least": 1}, given(connection), tmp_path, ranges=2)


def test_a_skipped_input_is_read_as_an_empty_table(model, tables, tmp_path):
    people = Contract.model_validate(
        {
            "name": "people",
            "description": "People.",
            "columns": [
                {"name": "who", "type": "VARCHAR", "description": "Who."},
                {"name": "town", "type": "VARCHAR", "description": "Where."},
            ],
        }
    )
    inputs = {"sales": tables["sales"], "people": []}
    assert result_of(model(), inputs, tmp_path, {"people": people}, least=2) == [("ann", 12, None)]


def test_every_output_column_is_traced_to_the_columns_that_it_is_made_from(model):
    assert model().column_lineage(SCHEMAS) == {
        "who": [["sales", "who"]],
        "total": [["sales", "price"]],
        "town": [["people", "town"]],
    }


def test_column_lineage_looks_through_unions_and_stars(model):
    loaded = model(
        "WITH both_of AS (SELECT * FROM sales UNION ALL SELECT who, 0 FROM people) "
        "SELECT who, price * 2 AS twice, 1 AS one FROM both_of",
        columns=["who", "twice", "one"],
    )
    assert loaded.column_lineage(SCHEMAS) == {
        "who": [["people", "who"], ["sales", "who"]],
        "twice": [["sales", "price"]],
        "one": [],
    }


@pytest.mark.parametrize(
    "edited",
    [
        QUERY.replace("-- Who bought how much.", "-- Another comment."),
        QUERY.replace("\n", "\n\n   "),
        QUERY.replace("SELECT", "select").replace("FROM", "from"),
    ],
    ids=["comment", "layout", "letter case of keywords"],
)
def test_comments_and_layout_do_not_count_for_the_code_version(model, edited):
    assert edited != QUERY
    assert model(edited).code_version == model().code_version


@pytest.mark.parametrize(
    "edited",
    [QUERY.replace(">=", ">"), QUERY.replace("LEFT JOIN", "JOIN"), QUERY.replace("sum", "max")],
)
def test_another_query_is_another_code_version(model, edited):
    assert model(edited).code_version != model().code_version


def test_every_model_below_a_folder_is_loaded(model, tmp_path):
    model()
    model("SELECT 1 AS one", name="ones", columns=["one"])
    assert [entry.name for entry in load_models(tmp_path)] == ["ones", "totals"]


def test_an_unknown_reference_is_an_error_that_names_the_model_and_what_there_is(model):
    with pytest.raises(SqlModelError, match=r"totals\.sql reads 'sales', .* known: people, totals"):
        check_references([model()], ["people"])
    check_references([model()], ["people", "sales"])


def test_an_optional_input_and_a_related_table_must_be_read_by_the_query(model):
    with pytest.raises(SqlModelError, match=r"totals\.yml: optional 'media' is not an input"):
        check_references([model(optional=["media"])], ["people", "sales"])
    related = model("SELECT who FROM sales", columns=["who"], tests=[TO_STAFF])
    with pytest.raises(SqlModelError, match="relationship to 'staff', which the query does not"):
        check_references([related], ["sales"])


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (QUERY.replace("'least'", "'most'"), r"totals\.sql reads getvariable\(most\)"),
        (QUERY.replace("total", "sum"), r"selects \['who', 'sum', 'town'\], its contract promises"),
        ("SELECT 1 AS who; SELECT 2 AS who", "must hold one SELECT, and nothing else"),
        ("DROP TABLE sales", "must hold one SELECT, and nothing else"),
        ("", "must hold one SELECT, and nothing else"),
        ("SELECT FROM WHERE (", r"totals\.sql: "),
    ],
)
def test_a_wrong_query_is_an_error_that_names_the_file(model, query, message):
    with pytest.raises(SqlModelError, match=message):
        model(query)


def test_a_model_needs_a_contract_of_its_own_name(model, tmp_path):
    with pytest.raises(SqlModelError, match="name is 'sums', the model is 'totals'"):
        model()
        document = yaml.safe_load((tmp_path / "totals.yml").read_text()) | {"name": "sums"}
        (tmp_path / "totals.yml").write_text(yaml.safe_dump(document))
        load_model(tmp_path / "totals.sql")
    (tmp_path / "totals.yml").unlink()
    with pytest.raises(SqlModelError, match=r"has no contract: write totals\.yml beside it"):
        load_model(tmp_path / "totals.sql")
