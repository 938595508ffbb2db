"""SQL models: one `.sql` file a table, its contract beside it, loaded as artifacts.

A model is one plain DuckDB query. It names its inputs as bare tables, and settings as
`getvariable('name')`, so that it also runs in a DuckDB shell. sqlglot gives the inputs, the
column lineage and the code version (of the normalised tree: comments and layout do not count).
This is not dbt: no macros, no incremental strategies; a monthly model is a partitioned asset.
A model whose contract says `ranges: user_id` may be computed in ranges of that key, see `run_model`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from zipp_dagster.fanout import IN_LINE, ONE_CORE, FanOut, Need, own_errors
from zipp_dagster.platform.contracts import Contract, load_contract, scan
from zipp_dagster.platform.kept_facts import kept, own_release
from zipp_dagster.progress import Progress, silent

PARQUET = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, DICTIONARY_SIZE_LIMIT 1000"
"""Level 1 as for the dumps' tables. Small dictionaries, because ids, texts, times and users repeat little, and
up to a fifth of a row group's values would be collected of each column for nothing."""

KEYS = 2**64
"""Values of a UBIGINT key. Pseudonyms are spread evenly over them: they are keyed hashes."""


class SqlModelError(Exception):
    """A model cannot be loaded or run; the message names the file and what to change."""


@dataclass(frozen=True)
class SqlModel:
    """A parsed model: its query, contract, inputs and code version."""

    name: str
    path: Path
    query: str
    contract: Contract
    inputs: tuple[str, ...]
    variables: tuple[str, ...]
    code_version: str

    def column_lineage(self, schemas: Mapping[str, Sequence[str]]) -> dict[str, list[list[str]]]:
        """Output column → [input table, input column] pairs, by sqlglot.

        `schemas` has the columns of the inputs. Takes some tens of milliseconds a column: called
        when a model is materialised, not when it is loaded.
        """
        import sqlglot
        from sqlglot.lineage import lineage

        schema = {table: dict.fromkeys(columns, "VARCHAR") for table, columns in schemas.items()}
        tree = sqlglot.parse_one(self.query, dialect="duckdb")
        found: dict[str, list[list[str]]] = {}
        for column in self.contract.columns:
            node = lineage(column.name, tree, schema=schema, dialect="duckdb")
            sources = set()
            for leaf in node.walk():
                if not leaf.downstream and isinstance(leaf.source, sqlglot.exp.Table):
                    sources.add((leaf.source.name, leaf.name.rsplit(".", 1)[-1].strip('"')))
            found[column.name] = [list(source) for source in sorted(sources)]
        return found


class QueryFacts(msgspec.Struct, frozen=True):
    """What loading a model needs to know of its query."""

    inputs: tuple[str, ...]
    variables: tuple[str, ...]
    selected: tuple[str, ...]
    sorted_by: str | None
    code_version: str


def load_models(folder: Path, facts_folder: Path | None = None) -> list[SqlModel]:
    """Loads every `.sql` below a folder; fails on a missing contract or a second statement."""
    return [load_model(path, facts_folder) for path in sorted(folder.rglob("*.sql"))]


def load_model(path: Path, facts_folder: Path | None = None) -> SqlModel:
    """Loads one model and checks its contract against the query.

    With a `facts_folder`, a query that was parsed before is not parsed again, see `kept_facts`.

    Raises:
        SqlModelError: on a syntax error, a missing contract, undeclared variables, or output
            columns that differ from the contract's.
    """
    beside = path.with_suffix(".yml")
    if not beside.is_file():
        raise SqlModelError(f"{path} has no contract: write {beside.name} beside it")
    contract = load_contract(beside)
    if contract.name != path.stem:
        raise SqlModelError(f"{beside}: name is {contract.name!r}, the model is {path.stem!r}")
    query = path.read_text()
    facts = kept(
        facts_folder, path, query.encode(), _reader(), QueryFacts, lambda: _read_query(path, query)
    )
    undeclared = set(facts.variables) - set(contract.settings)
    if undeclared:
        raise SqlModelError(
            f"{path} reads getvariable({', '.join(sorted(undeclared))}): name the setting under "
            f"`settings:` in {beside.name}"
        )
    _check_columns(path, facts, contract)
    _check_ranges(path, facts, contract)
    return SqlModel(
        path.stem, path, query, contract, facts.inputs, facts.variables, facts.code_version
    )


@cache
def _reader() -> str:
    return f"sqlglot {version('sqlglot')} {own_release(__file__)}"


def _read_query(path: Path, query: str) -> QueryFacts:
    """Parses a query; SqlModelError for anything but one SELECT."""
    import sqlglot
    from sqlglot import exp

    try:
        statements = [s for s in sqlglot.parse(query, dialect="duckdb") if s is not None]
    except sqlglot.ParseError as error:
        raise SqlModelError(f"{path}: {error}") from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise SqlModelError(f"{path} must hold one SELECT, and nothing else")
    tree = statements[0]
    ctes = {cte.alias for cte in tree.find_all(exp.CTE)}
    order = tree.args.get("order")
    normal = tree.sql(dialect="duckdb", comments=False, normalize=True)
    return QueryFacts(
        inputs=tuple(sorted({t.name for t in tree.find_all(exp.Table) if t.name} - ctes)),
        variables=_variables(tree),
        selected=tuple(tree.named_selects),
        sorted_by=order.expressions[0].this.name if order is not None else None,
        code_version=hashlib.sha256(normal.encode()).hexdigest()[:16],
    )


def check_references(models: Sequence[SqlModel], others: Sequence[str]) -> None:
    """Fails on an input that is neither a model nor one of the other assets."""
    known = {model.name for model in models} | set(others)
    for model in models:
        for name in model.inputs:
            if name not in known:
                near = ", ".join(sorted(known))
                raise SqlModelError(
                    f"{model.path} reads {name!r}, which no asset makes; known: {near}"
                )
        for name in model.contract.optional:
            if name not in model.inputs:
                raise SqlModelError(
                    f"{model.path.with_suffix('.yml')}: optional {name!r} is not an input of the query"
                )
        for name in model.contract.related_tables() - set(model.inputs):
            raise SqlModelError(
                f"{model.path.with_suffix('.yml')}: a relationship to {name!r}, which the query does not read"
            )


def run_model(
    model: SqlModel,
    inputs: Mapping[str, Sequence[Path]],
    empty: Mapping[str, Contract],
    variables: Mapping[str, Any],
    opening: Callable[[], AbstractContextManager[Any]],
    out: Path,
    ranges: int = 1,
    progress: Progress = silent,
    fan_out: FanOut = IN_LINE,
    need: Need = ONE_CORE,
) -> int:
    """Runs a model over Parquet files and writes `part-*.parquet`; returns its rows.

    With `ranges` above one the query runs once for each of so many equal ranges of the key that
    the contract names under `ranges`, and each run writes one part: the inputs that have this
    column are views of the range, the others are whole. Parts in their order are the same rows in
    the same order as of one run, because the query is sorted by the key first.

    `opening` gives a DuckDB connection; each range is an item of `fan_out`. `empty` has the contracts
    of the inputs that were skipped: they are read as empty tables.
    """
    key = model.contract.ranges
    if ranges > 1 and key is None:
        raise SqlModelError(f"{model.path.with_suffix('.yml')} does not say `ranges: <column>`")
    query = RangeQuery(
        model.query.strip().rstrip(";"),
        {name: _body(inputs.get(name) or (), empty.get(name)) for name in model.inputs},
        {name: literal(value) for name, value in variables.items()},
        key,
        ranges,
        out,
    )
    rows = 0
    items = ((query, number) for number in range(ranges))
    with own_errors():
        for done, copied in enumerate(fan_out.stream(opening, run_range, items, need=need), 1):
            rows += copied
            progress(done, ranges, model.name)
    return rows


@dataclass(frozen=True)
class RangeQuery:
    """A model's query over bodies of views, with variables as literals, in ranges of a key."""

    query: str
    bodies: Mapping[str, str]
    variables: Mapping[str, str]
    key: str | None
    ranges: int
    out: Path


def run_range(connection: Any, item: tuple[RangeQuery, int]) -> int:
    """Writes the part of one range; returns its rows. What was there of it is written anew."""
    model, number = item
    for name, value in model.variables.items():
        connection.execute(f"SET VARIABLE {name} = {value}")
    for name, body in model.bodies.items():
        split = model.ranges > 1 and model.key in _columns(connection, body)
        within = f" WHERE {_within(model.key, number, model.ranges)}" if split else ""
        connection.execute(f'CREATE OR REPLACE VIEW "{name}" AS {body}{within}')
    part = model.out / f"part-{number:0{len(str(model.ranges - 1))}}.parquet"
    target = str(part).replace("'", "''")
    copied = connection.execute(f"COPY ({model.query}\n) TO '{target}' ({PARQUET})")
    return int(copied.fetchone()[0])


def input_rows(model: SqlModel, inputs: Mapping[str, Sequence[Path]]) -> int:
    """Rows of all inputs, read from the files' footers."""
    import pyarrow.parquet as parquet

    files = [path for name in model.inputs for path in inputs.get(name) or ()]
    return sum(parquet.read_metadata(path).num_rows for path in files)


def _body(files: Sequence[Path], contract: Contract | None) -> str:
    if files or contract is None:
        return f"SELECT * FROM {scan(files)}"
    return contract.empty_table_sql()


def _columns(connection: Any, body: str) -> list[str]:
    return [row[0] for row in connection.execute(f"DESCRIBE {body}").fetchall()]


def _within(key: str | None, number: int, ranges: int) -> str:
    """The condition of one range. Plain bounds, so that row groups outside are never read."""
    low, high = KEYS * number // ranges, KEYS * (number + 1) // ranges - 1
    return f'"{key}" BETWEEN {low}::UBIGINT AND {high}::UBIGINT'


def _variables(tree: Any) -> tuple[str, ...]:
    """The names in getvariable('…'), which sqlglot keeps as an anonymous function."""
    from sqlglot import exp

    calls = [call for call in tree.find_all(exp.Anonymous) if call.name.lower() == "getvariable"]
    return tuple(sorted({call.expressions[0].name for call in calls}))


def _check_columns(path: Path, facts: QueryFacts, contract: Contract) -> None:
    selected, promised = list(facts.selected), [column.name for column in contract.columns]
    if "*" not in selected and selected != promised:
        raise SqlModelError(f"{path} selects {selected}, its contract promises {promised}")


def _check_ranges(path: Path, facts: QueryFacts, contract: Contract) -> None:
    """A model in ranges is sorted by its key first, else its parts were in no order."""
    if contract.ranges is None:
        return
    if contract.column_types.get(contract.ranges) != "UBIGINT":
        raise SqlModelError(
            f"{path.with_suffix('.yml')}: ranges: {contract.ranges} is no UBIGINT column of the contract"
        )
    if facts.sorted_by != contract.ranges:
        raise SqlModelError(f"{path} is computed in ranges: sort it by {contract.ranges} first")


def literal(value: Any) -> str:
    """A setting as a DuckDB literal; mappings become MAPs."""
    if isinstance(value, dict):
        if not value:
            return "CAST(MAP {} AS MAP(VARCHAR, VARCHAR))"
        pairs = (f"{literal(key)}: {literal(item)}" for key, item in value.items())
        return "MAP {" + ", ".join(pairs) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple | frozenset | set):
        ordered = sorted(value) if isinstance(value, frozenset | set) else value
        return "[" + ", ".join(literal(item) for item in ordered) + "]"
    if value is None:
        return "NULL"
    return "'" + str(value).replace("'", "''") + "'"
