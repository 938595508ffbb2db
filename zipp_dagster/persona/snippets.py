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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb.func import PythonUDFType

from zipp_dagster.persona import snippets_sql as sql
from zipp_dagster.persona import text_scan
from zipp_dagster.persona.config import SnippetSettings
from zipp_dagster.persona.contexts import split_community
from zipp_dagster.persona.guards import is_sensitive
from zipp_dagster.progress import Progress, silent

Tokenizer = Callable[[Sequence[str]], Sequence[int]]
"""Texts to their token counts, by the tokenizer of the model that will read them."""


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
    connection: duckdb.DuckDBPyConnection,
    inputs: SnippetInputs,
    settings: SnippetSettings,
    out_dir: Path,
    tokenizer: Tokenizer | None = None,
    progress: Progress = silent,
) -> SnippetReport:
    """Writes the persona_snippets table, one file a user range, ordered by user.

    `tokenizer` counts the tokens of each kept snippet; without one, words and marks are counted in
    SQL. Where there is more than one range, the sources are first split by range into a temporary
    folder beside the output, so that each row of them is read once however many ranges there are.
    """
    for name in ("comments", "subreddits"):
        if not getattr(inputs, name):
            raise ValueError(f"persona snippets need files of {name}: materialise that table first")
    out_dir.mkdir(parents=True, exist_ok=True)
    # A dot keeps the folder out of every listing of a version's files.
    scratch = out_dir / ".ranges"
    bits = _range_bits(inputs, settings)
    files: list[Path] = []
    people = users = snippets = tokens = 0
    with (
        token_counter(connection, tokenizer),
        _function(connection, sql.MARKS, text_scan.find_marks),
    ):
        excluded = _prepare(connection, inputs, settings)
        try:
            if bits:
                connection.execute("set preserve_insertion_order = false")
                # Rows held back for each range: half a million by default, whatever their size.
                connection.execute("set partitioned_write_flush_threshold = 100000")
                connection.execute(f"set partitioned_write_max_open_files = {2 ** (bits + 1)}")
                connection.execute(sql.partition_sources(str(scratch), bits))
            for user_range in range(2**bits):
                path = out_dir / f"part-{user_range:05d}.parquet"
                if not bits:
                    connection.execute(
                        "create or replace temp view zipp_range as select * from zipp_sources"
                    )
                elif not (scratch / f"user_range={user_range}").is_dir():
                    continue
                else:
                    connection.execute(sql.read_range(str(scratch), user_range))
                connection.execute(sql.snippets(settings))
                connection.execute(sql.copy_snippets(str(path)))
                row = connection.execute(sql.range_totals()).fetchone()
                assert row is not None
                people, users = people + row[0], users + row[1]
                snippets, tokens = snippets + row[2], tokens + row[3]
                files.append(path)
                shutil.rmtree(scratch / f"user_range={user_range}", ignore_errors=True)
                progress(user_range + 1, 2**bits, "user ranges")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            for name in ("zipp_snippets", "zipp_holdout", "zipp_excluded"):
                connection.execute(f"drop table if exists {name}")
            connection.execute("drop view if exists zipp_range")
            connection.execute("drop view if exists zipp_sources")
    return SnippetReport(tuple(files), users, snippets, tokens, people - users, excluded, 2**bits)


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


def _range_bits(inputs: SnippetInputs, settings: SnippetSettings) -> int:
    """Ranges are a power of two, so that a user's range is the head of the pseudonym."""
    rows = sum(
        pq.ParquetFile(file).metadata.num_rows
        for file in existing([*inputs.comments, *inputs.submissions])
    )
    wanted = math.ceil(rows / settings.rows_per_range)
    return min(12, max(0, math.ceil(math.log2(max(1, wanted)))))


def _prepare(
    connection: duckdb.DuckDBPyConnection, inputs: SnippetInputs, settings: SnippetSettings
) -> int:
    """The small tables, and the lazily read sources; returns how many communities stay out."""
    connection.execute(sql.word_macros())
    exclude_communities(connection, inputs.subreddits, settings)
    connection.execute(sql.holdout(existing(inputs.holdout)))
    connection.execute(sql.sources(existing(inputs.comments), existing(inputs.submissions)))
    row = connection.execute("select count(*) from zipp_excluded").fetchone()
    assert row is not None
    return int(row[0])
