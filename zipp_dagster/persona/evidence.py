"""Which of a person's words a persona may rest on, under a token budget.

All in DuckDB: the budget is shared over a person's communities in proportion to a ranking, and each
community's share is filled with its best snippets (`snippets.py`). One file of snippets is handled
after the other, so that memory does not grow with the number of users. Building personas from the
evidence is in `personas.py`; the SQL is in `evidence_sql.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import duckdb
import numpy as np

from zipp_dagster.fanout import IN_LINE, ONE_CORE, FanOut, Need, own_errors
from zipp_dagster.persona import evidence_sql as sql
from zipp_dagster.persona.config import PersonaSettings, SnippetSettings
from zipp_dagster.persona.snippets import (
    Opening,
    TokenizerLoader,
    exclude_communities,
    existing,
    only_users,
    token_counter,
    words_and_marks,
)
from zipp_dagster.progress import Progress, silent

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
    without_communities: int
    ranking: str
    token_budget: int


@dataclass(frozen=True)
class EvidenceInputs:
    """Parquet files of snippets (in the order of users), rankings and communities."""

    snippets: Sequence[Path]
    rankings: Sequence[Path]
    subreddits: Sequence[Path]


def collect_evidence(
    opening: Opening,
    inputs: EvidenceInputs,
    settings: PersonaSettings,
    floor: SnippetSettings,
    out_dir: Path,
    tokenizer: TokenizerLoader = words_and_marks,
    users: Collection[int] | None = None,
    progress: Progress = silent,
    fan_out: FanOut = IN_LINE,
    need: Need = ONE_CORE,
) -> EvidenceReport:
    """Writes the persona_evidence table, ordered by user, community rank and snippet rank.

    `opening` gives a DuckDB connection. One file for each snippet file, under `out_dir`; each is an
    item of `fan_out`. `tokenizer` loads what counts the names of communities, which must be what
    counted the snippets. With `users`, only their evidence. Source: paper section on evidence
    extraction; sharing by softmax of dot products, the snippet score and the second round are ours.
    """
    for name in ("snippets", "rankings", "subreddits"):
        if not getattr(inputs, name):
            raise ValueError(f"persona evidence needs files of {name}: materialise it first")
    out_dir.mkdir(parents=True, exist_ok=True)
    snippets, rankings = existing(inputs.snippets), existing(inputs.rankings)
    source = _Source(
        opening,
        inputs.subreddits,
        tuple(rankings),
        settings,
        floor,
        tokenizer,
        None if users is None else tuple(sorted(users)),
    )
    items = [
        (source, file, out_dir / f"part-{number:05d}.parquet")
        for number, file in enumerate(snippets)
    ]
    totals: list[np.ndarray] = []
    people = 0
    with own_errors():
        parts = fan_out.stream(partial(_opened, source), choose, items, need=need)
        for number, (of_file, chosen) in enumerate(parts, 1):
            people += of_file
            totals.append(chosen)
            progress(number, len(items), "user ranges")
    files = [path for _, _, path in items]
    found = np.concatenate(totals, axis=1) if totals else np.zeros((3, 0))
    return EvidenceReport(
        files=tuple(files),
        users=found.shape[1],
        rows=int(found[0].sum()),
        snippets=int(found[1].sum()),
        tokens=int(found[2].sum()),
        median_tokens=float(np.median(found[2])) if found.shape[1] else 0.0,
        without_communities=people - found.shape[1],
        ranking=settings.ranking,
        token_budget=settings.token_budget,
    )


@dataclass(frozen=True)
class _Source:
    """What all files of snippets have in common."""

    opening: Opening
    subreddits: Sequence[Path]
    rankings: Sequence[str]
    settings: PersonaSettings
    floor: SnippetSettings
    tokenizer: TokenizerLoader
    users: tuple[int, ...] | None


@contextmanager
def _opened(source: _Source) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the small tables that every file is read with."""
    with source.opening() as connection:
        exclude_communities(connection, source.subreddits, source.floor)
        if source.users is not None:
            only_users(connection, source.users)
        with token_counter(connection, source.tokenizer()):
            connection.execute(sql.name_tokens(source.rankings))
        try:
            yield connection
        finally:
            for name in ("evidence", "communities", "excluded", "people", "names", "only"):
                connection.execute(f"drop table if exists zipp_{name}")


def choose(
    connection: duckdb.DuckDBPyConnection, item: tuple[_Source, str, Path]
) -> tuple[int, np.ndarray]:
    """Writes the evidence of one file of snippets; returns its people, and the totals of each user.

    Totals are [3, users]: rows, snippets, tokens.
    """
    source, file, out_file = item
    settings = source.settings
    connection.execute(sql.people(file, source.users is not None))
    row = connection.execute(
        "select count(*), min(user_id), max(user_id) from zipp_people"
    ).fetchone()
    assert row is not None
    low, high = row[1] or 0, row[2] or 0
    weights = _WEIGHTS[settings.ranking]
    connection.execute(sql.ranked_communities(source.rankings, settings, weights, low, high))
    connection.execute(sql.chosen_snippets(file, settings))
    connection.execute(sql.copy_evidence(str(out_file)))
    columns = connection.execute(sql.totals()).fetchnumpy()
    return row[0], np.stack([columns[name] for name in ("n", "snippets", "tokens")])
