"""Which of a person's words a persona may rest on, under a token budget.

All in DuckDB: the budget is shared over a person's communities in proportion to a ranking, and each
community's share is filled with its best snippets. Snippets are comments and text posts, never the
titles of image posts (those are past prompts) and never anything of the hold-out. Sensitive and
over-18 communities stay out, and people below the activity floor. Users are handled in ranges, so
that memory does not grow with their number. Building personas from it is in `personas.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
from duckdb.func import PythonUDFType

from zipp_dagster.persona import evidence_sql as sql
from zipp_dagster.persona.config import PersonaSettings
from zipp_dagster.progress import Progress, silent

Tokenizer = Callable[[Sequence[str]], Sequence[int]]
"""Texts to their token counts, by the tokenizer of the model that will read them."""

_WEIGHTS: Final = {
    "attention": "attention",
    "tfidf": "tfidf",
    "count": "count",
    # Dot products have no unit and may be negative: softmax of the z-score within the person, so
    # that a share depends on how far a community stands out and not on the model's scale.
    "dot": "exp(least(coalesce((dot - avg(dot) over person) / "
    "nullif(stddev_pop(dot) over person, 0), 0), 8))",
}


@dataclass(frozen=True)
class EvidenceReport:
    """What `collect_evidence` chose and left out; people and rows, and the files written."""

    files: tuple[Path, ...]
    users: int
    rows: int
    snippets: int
    tokens: int
    median_tokens: float
    below_floor: int
    without_communities: int
    excluded_communities: int
    ranking: str
    token_budget: int


@dataclass(frozen=True)
class EvidenceInputs:
    """Parquet files of the tables that evidence is taken from; `holdout` may be empty."""

    rankings: Sequence[Path]
    comments: Sequence[Path]
    submissions: Sequence[Path]
    subreddits: Sequence[Path]
    holdout: Sequence[Path] = ()


def collect_evidence(
    connection: duckdb.DuckDBPyConnection,
    inputs: EvidenceInputs,
    settings: PersonaSettings,
    out_dir: Path,
    tokenizer: Tokenizer | None = None,
    progress: Progress = silent,
) -> EvidenceReport:
    """Writes the persona_evidence table, ordered by user, community rank and snippet rank.

    One file a user range under `out_dir`. `tokenizer` counts tokens of candidate snippets; without
    one, words and marks are counted in SQL. Source: paper section on evidence extraction; sharing
    by softmax of dot products, the snippet score and the second round are ours.
    """
    for name in ("rankings", "comments", "subreddits"):
        if not getattr(inputs, name):
            raise ValueError(
                f"persona evidence needs files of {name}: materialise that table first"
            )
    out_dir.mkdir(parents=True, exist_ok=True)
    _prepare(connection, inputs, settings, tokenizer)
    files: list[Path] = []
    bits = max(0, math.ceil(math.log2(settings.buckets)))
    for bucket in range(2**bits):
        path = out_dir / f"part-{bucket:05d}.parquet"
        low, high = bucket << (64 - bits), ((bucket + 1) << (64 - bits)) - 1
        connection.execute(sql.chosen_snippets(settings, low, high))
        connection.execute(sql.copy_evidence(str(path)))
        files.append(path)
        progress(bucket + 1, 2**bits, "user ranges")
    report = _report(connection, files, settings)
    for name in ("zipp_evidence", "zipp_communities", "zipp_excluded", "zipp_holdout"):
        connection.execute(f"drop table if exists {name}")
    connection.execute("drop view if exists zipp_sources")
    if tokenizer is not None:
        connection.remove_function(sql.TOKENIZER)
    return report


def count_words(texts: Iterable[str]) -> list[int]:
    """Token counts without a tokenizer: words and marks. The same rule as the SQL default."""
    return [len(sql.TOKEN_PATTERN_PYTHON.findall(text)) for text in texts]


def _prepare(
    connection: duckdb.DuckDBPyConnection,
    inputs: EvidenceInputs,
    settings: PersonaSettings,
    tokenizer: Tokenizer | None,
) -> None:
    """The small tables and the lazily read sources that every user range uses."""
    if tokenizer is not None:

        def count(texts: Any) -> Any:
            return pa.array([int(n) for n in tokenizer(texts.to_pylist())], pa.int32())

        connection.create_function(
            sql.TOKENIZER,
            count,
            ["VARCHAR"],
            "INTEGER",
            type=PythonUDFType.ARROW,
        )
    connection.execute(sql.token_macro(tokenizer is not None))
    connection.execute(sql.word_macros())
    connection.execute(
        sql.excluded_communities(_names(inputs.subreddits), settings),
    )
    connection.execute(
        sql.ranked_communities(_names(inputs.rankings), settings, _WEIGHTS[settings.ranking])
    )
    connection.execute(sql.holdout(_names(inputs.holdout)))
    connection.execute(sql.sources(_names(inputs.comments), _names(inputs.submissions)))


def _names(files: Sequence[Path]) -> list[str]:
    for file in files:
        if not Path(file).exists():
            raise FileNotFoundError(f"{file} does not exist: materialise its table first")
    return [str(file) for file in files]


def _report(
    connection: duckdb.DuckDBPyConnection, files: Sequence[Path], settings: PersonaSettings
) -> EvidenceReport:
    row = connection.execute(sql.totals([str(file) for file in files])).fetchone()
    seen = connection.execute(sql.left_out([str(file) for file in files], settings)).fetchone()
    excluded = connection.execute("select count(*) from zipp_excluded").fetchone()
    assert row is not None and seen is not None and excluded is not None
    users, rows, snippets, tokens, median = row
    return EvidenceReport(
        files=tuple(files),
        users=users,
        rows=rows,
        snippets=snippets,
        tokens=tokens,
        median_tokens=float(median),
        below_floor=seen[0],
        without_communities=seen[1],
        excluded_communities=excluded[0],
        ranking=settings.ranking,
        token_budget=settings.token_budget,
    )
