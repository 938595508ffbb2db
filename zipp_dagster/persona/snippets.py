"""What people wrote, cleaned, scored and counted once: the candidates of every persona's evidence.

Comments and text posts, never the titles of image posts (those are past prompts) and never anything
of the hold-out. Sensitive and over-18 communities stay out, and people below the activity floor.
Token counts are stored, so that another ranking or budget reads them and counts nothing. Users are
handled in ranges, so that memory does not grow with their number. Choosing among them under a
budget is `evidence.py`; the SQL is in `snippets_sql.py`.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb.func import PythonUDFType

from zipp_dagster.fanout import IN_LINE, ONE_CORE, FanOut, Need, own_errors
from zipp_dagster.persona import snippets_sql as sql
from zipp_dagster.persona import text_scan
from zipp_dagster.persona.config import SnippetSettings
from zipp_dagster.persona.contexts import split_community
from zipp_dagster.persona.guards import is_sensitive
from zipp_dagster.progress import Progress, silent

Tokenizer = Callable[[Sequence[str]], Sequence[int]]
"""Texts to their token counts, by the tokenizer of the model that will read them."""

TokenizerLoader = Callable[[], Tokenizer | None]
"""Loads a tokenizer where it is used, which may be another process; None counts words and marks."""

Opening = Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]


def words_and_marks() -> None:
    """No tokenizer: words and marks are counted."""
    return None


@dataclass(frozen=True)
class SnippetReport:
    """What was kept of whom: files in the order of users, people, snippets and their tokens."""

    files: tuple[Path, ...]
    users: int
    snippets: int
    tokens: int
    below_floor: int
    excluded_communities: int
    ranges: int


@dataclass(frozen=True)
class SnippetInputs:
    """Parquet files of the tables that snippets are taken from; the last two may be empty."""

    comments: Sequence[Path]
    subreddits: Sequence[Path]
    submissions: Sequence[Path] = ()
    holdout: Sequence[Path] = ()


def write_snippets(
    opening: Opening,
    inputs: SnippetInputs,
    settings: SnippetSettings,
    out_dir: Path,
    tokenizer: TokenizerLoader = words_and_marks,
    progress: Progress = silent,
    fan_out: FanOut = IN_LINE,
    need: Need = ONE_CORE,
    users: Collection[int] | None = None,
) -> SnippetReport:
    """Writes the persona_snippets table, one file a user range, ordered by user.

    `opening` gives a DuckDB connection; each range is an item of `fan_out`. `tokenizer` loads what
    counts the tokens of each kept snippet; without one, words and marks are counted in SQL. Where
    there is more than one range, the sources are first split by range into a temporary folder beside
    the output, so that each row of them is read once however many ranges there are. With `users`, only
    what they wrote.
    """
    for name in ("comments", "subreddits"):
        if not getattr(inputs, name):
            raise ValueError(f"persona snippets need files of {name}: materialise that table first")
    out_dir.mkdir(parents=True, exist_ok=True)
    # A dot keeps the folder out of every listing of a version's files.
    scratch = out_dir / ".ranges"
    wanted = None if users is None else tuple(sorted(users))
    source = _Source(opening, inputs, settings, tokenizer, 0, scratch, wanted)
    bits = _range_bits(source)
    source = replace(source, bits=bits)
    files: list[Path] = []
    excluded = people = active = snippets = tokens = 0
    try:
        if bits:
            _split(source)
        ranges = [n for n in range(2**bits) if not bits or source.folder(n).is_dir()]
        items = [(source, n, out_dir / f"part-{n:05d}.parquet") for n in ranges]
        with own_errors():
            parts = fan_out.stream(partial(_opened, source), select_range, items, need=need)
            for (_, number, path), part in zip(items, parts):
                excluded = part[0]
                people, active = people + part[1], active + part[2]
                snippets, tokens = snippets + part[3], tokens + part[4]
                files.append(path)
                shutil.rmtree(source.folder(number), ignore_errors=True)
                progress(number + 1, 2**bits, "user ranges")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return SnippetReport(tuple(files), active, snippets, tokens, people - active, excluded, 2**bits)


@dataclass(frozen=True)
class _Source:
    """What all user ranges have in common; `bits` of the user id say which range."""

    opening: Opening
    inputs: SnippetInputs
    settings: SnippetSettings
    tokenizer: TokenizerLoader
    bits: int
    scratch: Path
    users: tuple[int, ...] | None

    def folder(self, user_range: int) -> Path:
        """Where the rows of a range are, if there is more than one."""
        return self.scratch / f"user_range={user_range}"


@contextmanager
def _opened(source: _Source) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the functions and small tables that every range is read with."""
    with (
        source.opening() as connection,
        token_counter(connection, source.tokenizer()),
        _function(connection, sql.MARKS, text_scan.find_marks),
    ):
        if source.bits:
            connection.execute("set preserve_insertion_order = false")
        _prepare(connection, source)
        try:
            yield connection
        finally:
            for name in (
                "zipp_usable",
                "zipp_snippets",
                "zipp_holdout",
                "zipp_excluded",
                "zipp_only",
            ):
                connection.execute(f"drop table if exists {name}")
            connection.execute("drop view if exists zipp_range")
            connection.execute("drop view if exists zipp_sources")


def _split(source: _Source) -> None:
    """The sources by range, in one pass."""
    with _opened(source) as connection:
        # Rows held back for each range: half a million by default, whatever their size.
        connection.execute("set partitioned_write_flush_threshold = 100000")
        connection.execute(f"set partitioned_write_max_open_files = {2 ** (source.bits + 1)}")
        connection.execute(sql.partition_sources(str(source.scratch), source.bits))


def select_range(
    connection: duckdb.DuckDBPyConnection, item: tuple[_Source, int, Path]
) -> tuple[int, int, int, int, int]:
    """Writes the snippets of one range.

    Returns excluded communities, and of the range: people, people above the floor, snippets, tokens.
    """
    source, user_range, out_file = item
    if source.bits:
        connection.execute(sql.read_range(str(source.scratch), user_range))
    else:
        connection.execute("create or replace temp view zipp_range as select * from zipp_sources")
    connection.execute(sql.usable(source.settings))
    connection.execute(sql.snippets(source.settings))
    connection.execute("drop table zipp_usable")
    connection.execute(sql.copy_snippets(str(out_file)))
    row = connection.execute(sql.range_totals()).fetchone()
    excluded = connection.execute("select count(*) from zipp_excluded").fetchone()
    assert row is not None and excluded is not None
    return int(excluded[0]), row[0], row[1], row[2], row[3]


def count_words(texts: Iterable[str]) -> list[int]:
    """Token counts without a tokenizer: words and marks, as `text_scan.count_tokens`."""
    return list(text_scan.count_tokens(pa.array(texts, pa.string())).to_pylist())


@contextmanager
def token_counter(
    connection: duckdb.DuckDBPyConnection, tokenizer: Tokenizer | None
) -> Iterator[None]:
    """Makes `zipp_tokens(text)` known to a connection: by a tokenizer, or words and marks."""

    def count(texts: Any) -> Any:
        if tokenizer is None:
            return text_scan.count_tokens(texts)
        return pa.array([int(n) for n in tokenizer(texts.to_pylist())], pa.int32())

    with _function(connection, sql.TOKENS, count):
        yield


@contextmanager
def _function(
    connection: duckdb.DuckDBPyConnection, name: str, function: Callable[[Any], Any]
) -> Iterator[None]:
    """A function of texts to whole numbers that a connection knows for a while."""
    connection.create_function(name, function, ["VARCHAR"], "INTEGER", type=PythonUDFType.ARROW)
    try:
        yield
    finally:
        connection.remove_function(name)


def exclude_communities(
    connection: duckdb.DuckDBPyConnection, subreddits: Sequence[Path], settings: SnippetSettings
) -> None:
    """Table zipp_excluded: by the flags of the subreddits table, and by the words of their names."""
    connection.execute(sql.excluded_communities(existing(subreddits), settings))
    if settings.include_sensitive:
        return
    names = pq.read_table(existing(subreddits), columns=["subreddit"])["subreddit"].unique()
    found = [n for n in names.to_pylist() if n and is_sensitive(split_community(n))]
    connection.register("zipp_names_found", pa.table({"subreddit": pa.array(found, pa.string())}))
    connection.execute(
        "insert into zipp_excluded select subreddit from zipp_names_found "
        "where subreddit not in (select subreddit from zipp_excluded)"
    )
    connection.unregister("zipp_names_found")


def existing(files: Sequence[Path]) -> list[str]:
    """The files as text. Raises FileNotFoundError that names the one that is missing."""
    for file in files:
        if not Path(file).exists():
            raise FileNotFoundError(f"{file} does not exist: materialise its table first")
    return [str(file) for file in files]


def only_users(connection: duckdb.DuckDBPyConnection, users: Sequence[int]) -> None:
    """Table zipp_only: the users that are asked for."""
    connection.register("zipp_users", pa.table({"user_id": pa.array(users, pa.uint64())}))
    connection.execute("create or replace temp table zipp_only as select * from zipp_users")
    connection.unregister("zipp_users")


def _range_bits(source: _Source) -> int:
    """Ranges are a power of two, so that a user's range is the head of the pseudonym.

    By the rows of the files; where only some users are asked for, by the rows that are theirs.
    """
    if source.users is None:
        files = existing([*source.inputs.comments, *source.inputs.submissions])
        rows = sum(pq.ParquetFile(file).metadata.num_rows for file in files)
    else:
        with _opened(source) as connection:
            row = connection.execute("select count(*) from zipp_sources").fetchone()
        assert row is not None
        rows = int(row[0])
    wanted = math.ceil(rows / source.settings.rows_per_range)
    return min(12, max(0, math.ceil(math.log2(max(1, wanted)))))


def _prepare(connection: duckdb.DuckDBPyConnection, source: _Source) -> None:
    """The small tables, and the lazily read sources."""
    inputs, some = source.inputs, source.users is not None
    connection.execute(sql.word_macros())
    exclude_communities(connection, inputs.subreddits, source.settings)
    connection.execute(sql.holdout(existing(inputs.holdout)))
    if source.users is not None:
        only_users(connection, source.users)
    connection.execute(sql.sources(existing(inputs.comments), existing(inputs.submissions), some))
