"""Contracts: one YAML a table, with its columns, their meaning, and the tests that hold.

A contract is parsed here, and compiled to a Great Expectations suite in `expectations`. A test
that is not `severity: warn` blocks: the version is kept aside and never becomes current.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

DBT_TESTS = ("not_null", "unique", "accepted_values", "relationships", "unexpected_rows")
ARGUMENTS = {
    "accepted_values": {"values"},
    "relationships": {"to", "field"},
    "unexpected_rows": {"where", "description"},
}
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where PyYAML was built with it: eight times as fast, and all contracts are read at start."""
COLUMN_TESTS = ("not_null", "accepted_values", "relationships")
Severity = Literal["error", "warn"]


class ContractError(Exception):
    """A contract file is wrong; the message names the file, the place and what is allowed."""


@dataclass(frozen=True)
class Test:
    """One test of a contract: a dbt name or a Great Expectations name, and its arguments."""

    name: str
    arguments: Any
    severity: Severity = "error"

    @classmethod
    def parse(cls, raw: Any) -> Test:
        """From YAML: `not_null`, or `{name: arguments, severity: warn}`."""
        if isinstance(raw, str):
            return cls._checked(raw, None, "error")
        if isinstance(raw, dict):
            body = dict(raw)
            severity = body.pop("severity", "error")
            if severity not in ("error", "warn"):
                raise ValueError(f"severity {severity!r} is not one of error, warn")
            if len(body) == 1:
                name, arguments = next(iter(body.items()))
                return cls._checked(name, arguments, severity)
        raise ValueError(f"a test is a name or one {{name: arguments}}, not {raw!r}")

    @classmethod
    def _checked(cls, name: str, arguments: Any, severity: Severity) -> Test:
        if name not in DBT_TESTS and not name.startswith("expect_"):
            raise ValueError(
                f"unknown test {name!r}: use {', '.join(DBT_TESTS)}, or a Great Expectations name "
                "such as expect_column_values_to_be_between"
            )
        wanted = ARGUMENTS.get(name)
        if wanted and (not isinstance(arguments, dict) or set(arguments) != wanted):
            raise ValueError(f"{name} takes {{{', '.join(sorted(wanted))}}}, not {arguments!r}")
        return cls(name, arguments, severity)


class Column(BaseModel):
    """A column: name, DuckDB type, meaning, tests."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    name: str
    type: str
    description: str
    tests: tuple[Test, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _parse_tests(cls, data: Any) -> Any:
        return {**data, "tests": tuple(Test.parse(raw) for raw in data.get("tests") or ())}


class Contract(BaseModel):
    """What a table promises to its readers."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    name: str
    description: str
    group: str = ""
    owner: str = ""
    partitions: Literal["months"] | None = None
    ranges: str | None = None
    range_weight: float = Field(1.0, gt=0, le=100)
    optional: tuple[str, ...] = ()
    settings: dict[str, str] = Field(default_factory=dict)
    columns: tuple[Column, ...]
    tests: tuple[Test, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _parse_tests(cls, data: Any) -> Any:
        tests = tuple(Test.parse(raw) for raw in data.get("tests") or ())
        for test in tests:
            if test.name in COLUMN_TESTS:
                raise ValueError(f"{test.name} is a test of a column, not of the table")
            if test.name == "unique" and not isinstance(test.arguments, list):
                raise ValueError("unique of a table takes a list of columns")
        return {**data, "tests": tests}

    @property
    def column_types(self) -> dict[str, str]:
        """Column name → DuckDB type, in order."""
        return {column.name: column.type for column in self.columns}

    def empty_table_sql(self) -> str:
        """A query that yields the contract's columns and no row."""
        columns = ", ".join(f'CAST(NULL AS {c.type}) AS "{c.name}"' for c in self.columns)
        return f"SELECT {columns} WHERE false"

    def related_tables(self) -> set[str]:
        """The tables that `relationships` tests look into."""
        return {
            test.arguments["to"]
            for column in self.columns
            for test in column.tests
            if test.name == "relationships"
        }


def load_contract(path: Path) -> Contract:
    """Reads a contract; ContractError names the file and the place of what is wrong."""
    try:
        return Contract.model_validate(yaml.load(path.read_text(), Loader=LOADER))
    except (ValidationError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise ContractError(f"{path}: {error}") from error


def scan(files: Sequence[Path]) -> str:
    """The DuckDB table function that reads some Parquet files as one table."""
    names = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
    return f"read_parquet([{names}])"
