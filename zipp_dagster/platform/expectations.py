"""A table held to its contract: one Great Expectations suite on DuckDB, and its Data Docs page.

Results and pages carry counts only, never values: tables hold people's text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zipp_dagster.platform.contracts import Contract, ContractError, Severity, Test, scan
from zipp_dagster.platform.warehouse import IN_MEMORY, Warehouse

COUNTS = (
    "element_count",
    "missing_count",
    "missing_percent",
    "unexpected_count",
    "unexpected_percent",
    "unexpected_percent_total",
    "unexpected_percent_nonmissing",
)
_ERRORS_IN_THE_QUERY = ("Binder Error", "Catalog Error", "Parser Error")


@dataclass(frozen=True)
class TestResult:
    """How one test went: counts only."""

    test: str
    column: str | None
    severity: Severity
    passed: bool
    detail: str


@dataclass(frozen=True)
class ContractResult:
    """How a table stands to its contract."""

    results: tuple[TestResult, ...]
    html: str

    @property
    def passed(self) -> bool:
        """No test failed, warnings included."""
        return all(result.passed for result in self.results)

    @property
    def blocking_failures(self) -> list[TestResult]:
        """The failed tests that keep a version from becoming current."""
        return [r for r in self.results if not r.passed and r.severity == "error"]

    def summary(self) -> str:
        """One line for a person."""
        failed = [r for r in self.results if not r.passed]
        if not failed:
            return f"all {len(self.results)} tests hold"
        lines = [f"{r.test} on {r.column or 'the table'}: {r.detail}" for r in failed]
        return f"{len(failed)} of {len(self.results)} tests failed: " + "; ".join(lines)


def validate(
    contract: Contract,
    files: Sequence[Path],
    related: Mapping[str, Sequence[Path]],
    warehouse: Warehouse | None = None,
) -> ContractResult:
    """Validates the Parquet files of one table by a Great Expectations suite on DuckDB.

    `related` has the files of the tables that `relationships` tests look into; a test on a
    table without files is left out (there is nothing to be related to). The queries keep to the
    warehouse's memory and threads where one is given.
    """
    relation = scan(files) if files else f"({contract.empty_table_sql()})"
    structure = _structure_result(contract, relation)
    if not structure.passed:
        return ContractResult((structure,), _plain_page(contract, structure))
    gx, expectations = _great_expectations()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    suite = gx.ExpectationSuite(name=contract.name)
    tests: list[tuple[Test, str | None]] = [
        (test, column.name) for column in contract.columns for test in column.tests
    ]
    tests += [(test, None) for test in contract.tests]
    kept: list[tuple[Test, str | None]] = []
    for test, column_name in tests:
        if test.name == "relationships" and not related.get(test.arguments["to"]):
            continue
        try:
            expectation = _expectation(expectations, test, column_name, related)
        except ContractError as error:
            raise ContractError(f"{contract.name}.yml: {error}") from error
        expectation.meta = {"position": len(kept)}
        suite.add_expectation(expectation)
        kept.append((test, column_name))
    if not kept:
        return ContractResult((structure,), _plain_page(contract, structure))
    url = warehouse.url if warehouse else IN_MEMORY
    batch = _batch(context, contract.name, url, f"SELECT * FROM {relation}")
    validation = batch.validate(
        suite, result_format={"result_format": "BASIC", "partial_unexpected_count": 0}
    )
    results = [structure]
    for outcome in validation.results:
        outcome.result = _counts(outcome.result or {})
        test, column_name = kept[outcome.expectation_config.meta["position"]]
        results.append(
            TestResult(test.name, column_name, test.severity, outcome.success, _detail(outcome))
        )
    return ContractResult(tuple(results), _page(validation))


def _structure_result(contract: Contract, relation: str) -> TestResult:
    """Columns, order and types; DuckDB's own words for the types."""
    import duckdb

    with duckdb.connect() as connection:
        rows = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
        declared = connection.execute(f"DESCRIBE {contract.empty_table_sql()}").fetchall()
    found = [(row[0], row[1]) for row in rows]
    wanted = [(row[0], row[1]) for row in declared]
    missing = [f"{n} {t}" for n, t in wanted if (n, t) not in found]
    extra = [f"{n} {t}" for n, t in found if (n, t) not in wanted]
    if found == wanted:
        detail = f"{len(wanted)} columns as promised"
    elif not missing and not extra:
        detail = f"columns are in another order: {[n for n, _ in found]}"
    else:
        detail = f"missing: {missing or 'none'}; not in the contract: {extra or 'none'}"
    return TestResult("columns", None, "error", found == wanted, detail)


def _great_expectations() -> tuple[Any, Any]:
    """Imports Great Expectations, and keeps its DuckDB connection open (see below)."""
    import os

    os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
    import great_expectations as gx
    import great_expectations.expectations as expectations

    _keep_duckdb_connections()
    return gx, expectations


def _keep_duckdb_connections() -> None:
    """Tells GX's SQL engine that DuckDB, like SQLite, must keep one connection.

    GX closes the connection of an unknown dialect before it fetches. The list is private and
    this patch is pinned to great_expectations 1.24: a test fails when the list moves.
    """
    from enum import Enum

    from great_expectations.execution_engine import sqlalchemy_execution_engine

    engine: Any = sqlalchemy_execution_engine

    dialects = engine._PERSISTED_CONNECTION_DIALECTS
    if not any(dialect.value == "duckdb" for dialect in dialects):
        # A str as GX's own members are: it compares them with the dialect's name.
        duckdb_dialect = Enum("DuckDBDialect", {"DUCKDB": "duckdb"}, type=str).DUCKDB  # type: ignore[attr-defined]
        engine._PERSISTED_CONNECTION_DIALECTS = (*dialects, duckdb_dialect)


def _batch(context: Any, name: str, url: str, query: str) -> Any:
    source = context.data_sources.add_sql(name, connection_string=url, create_temp_table=False)
    asset = source.add_query_asset(name, query=query)
    return asset.add_batch_definition_whole_table("all").get_batch()


def _expectation(
    expectations: Any, test: Test, column: str | None, related: Mapping[str, Sequence[Path]]
) -> Any:
    """A contract's test as a Great Expectations expectation."""
    severity = {"severity": "warning" if test.severity == "warn" else "critical"}
    if test.name == "not_null":
        return expectations.ExpectColumnValuesToNotBeNull(column=column, **severity)
    if test.name == "unique" and column:
        return expectations.ExpectColumnValuesToBeUnique(column=column, **severity)
    if test.name == "unique":
        if len(test.arguments) == 1:
            return expectations.ExpectColumnValuesToBeUnique(column=test.arguments[0], **severity)
        return expectations.ExpectCompoundColumnsToBeUnique(
            column_list=list(test.arguments), **severity
        )
    if test.name == "accepted_values":
        return expectations.ExpectColumnValuesToBeInSet(
            column=column, value_set=list(test.arguments["values"]), **severity
        )
    if test.name == "relationships":
        target = scan(related[test.arguments["to"]])
        query = (
            f'SELECT 1 AS violation FROM {{batch}} WHERE "{column}" IS NOT NULL AND "{column}" NOT IN '
            f'(SELECT "{test.arguments["field"]}" FROM {target} WHERE "{test.arguments["field"]}" IS NOT NULL)'
        )
        description = f"{column} is in {test.arguments['to']}.{test.arguments['field']}"
        return expectations.UnexpectedRowsExpectation(
            unexpected_rows_query=query, description=description, **severity
        )
    if test.name == "unexpected_rows":
        condition = test.arguments["where"]
        return expectations.UnexpectedRowsExpectation(
            unexpected_rows_query=f"SELECT 1 AS violation FROM {{batch}} WHERE {condition}",
            description=test.arguments["description"],
            **severity,
        )
    name = "".join(part.capitalize() for part in test.name.split("_"))
    factory = getattr(expectations, name, None)
    if factory is None:
        raise ContractError(f"Great Expectations has no {test.name}")
    arguments = dict(test.arguments or {})
    if column:
        arguments["column"] = column
    try:
        return factory(**arguments, **severity)
    except (TypeError, ValueError) as error:
        raise ContractError(f"{test.name} with {arguments}: {error}") from error


def _counts(found: Mapping[str, Any]) -> dict[str, Any]:
    """The counts of a GX result, without the values of rows that some expectations add."""
    counts = {key: found[key] for key in COUNTS if key in found}
    if "unexpected_count" in counts and "unexpected_percent" not in counts:
        # Of distinct values, not of rows; GX's page would fail for want of a percentage.
        counts = {"observed_value": f"{counts['unexpected_count']} unexpected values"}
    elif "observed_value" in found:
        observed = found["observed_value"]
        shown = isinstance(observed, int | float)
        counts["observed_value"] = observed if shown else "a value that is not shown"
    return counts


def _detail(outcome: Any) -> str:
    """What was found, as counts."""
    messages = _exception_messages(outcome.exception_info or {})
    if messages:
        return f"could not be evaluated: {messages[0]}"
    found = outcome.result
    if "unexpected_count" in found:
        return f"{found['unexpected_count']} of {found.get('element_count')} rows"
    return f"observed {found.get('observed_value')}"


def _exception_messages(info: dict[str, Any]) -> list[str]:
    """GX gives either one exception, or one for each metric that the expectation needs."""
    entries = [info] if "raised_exception" in info else list(info.values())
    return [_about_code(str(e["exception_message"])) for e in entries if e.get("raised_exception")]


def _about_code(message: str) -> str:
    """A message without the statement; of an error at run time, which quotes rows, its kind only."""
    if "[SQL:" not in message or any(kind in message for kind in _ERRORS_IN_THE_QUERY):
        return message.split("\n[SQL:")[0]
    return message.split(")")[0].lstrip("(") + " (its text may quote rows and is not shown)"


def _page(validation: Any) -> str:
    """The validation as a Data Docs page."""
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    validation.meta.setdefault("run_id", {"run_name": "", "run_time": ""})
    document = ValidationResultsPageRenderer(run_info_at_end=True).render(validation)
    page: str = DefaultJinjaPageView().render(document)
    return page


def _plain_page(contract: Contract, result: TestResult) -> str:
    import html

    return (
        f"<!doctype html><title>{contract.name}</title><h1>{contract.name}</h1>"
        f"<p>{html.escape(result.test)}: {html.escape(result.detail)}</p>"
    )
