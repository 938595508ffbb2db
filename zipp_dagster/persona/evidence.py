"""Which of a person's words a persona may rest on, under a token budget.

All in DuckDB: the budget is shared over a person's communities in proportion to a ranking, and each
community's share is filled with its best snippets (`snippets.py`). One file of snippets is handled
after the other, so that memory does not grow with the number of users. Building personas from the
evidence is in `personas.py`; the SQL is in `evidence_sql.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa

from zipp_dagster.persona import evidence_sql as sql
from zipp_dagster.persona.config import PersonaSettings, SnippetSettings
from zipp_dagster.persona.snippets import (
    Tokenizer,
    exclude_communities,
    existing,
    token_counter,
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
    connection: duckdb.DuckDBPyConnection,
    inputs: EvidenceInputs,
    settings: PersonaSettings,
    floor: SnippetSettings,
    out_dir: Path,
    tokenizer: Tokenizer | None = None,
    users: Collection[int] | None = None,
    progress: Progress = silent,
) -> EvidenceReport:
    """Writes the persona_evidence table, ordered by user, community rank and snippet rank.

    One file for each snippet file, under `out_dir`. `tokenizer` counts the names of communities and
    must be the one that counted the snippets. With `users`, only their evidence. Source: paper
    section on evidence extraction; sharing by softmax of dot products, the snippet score and the
    second round are ours.
    """
    for name in ("snippets", "rankings", "subreddits"):
        if not getattr(inputs, name):
            raise ValueError(f"persona evidence needs files of {name}: materialise it first")
    out_dir.mkdir(parents=True, exist_ok=True)
    snippets, rankings = existing(inputs.snippets), existing(inputs.rankings)
    exclude_communities(connection, inputs.subreddits, floor)
    if users is not None:
        connection.register(
            "zipp_users", pa.table({"user_id": pa.array(sorted(users), pa.uint64())})
        )
        connection.execute("create or replace temp table zipp_only as select * from zipp_users")
        connection.unregister("zipp_users")
    with token_counter(connection, tokenizer):
        connection.execute(sql.name_tokens(rankings))
    files: list[Path] = []
    totals: list[np.ndarray] = []
    people = 0
    for number, file in enumerate(snippets):
        connection.execute(sql.people(file, users is not None))
        row = connection.execute(
            "select count(*), min(user_id), max(user_id) from zipp_people"
        ).fetchone()
        assert row is not None
        people += row[0]
        low, high = row[1] or 0, row[2] or 0
        connection.execute(
            sql.ranked_communities(rankings, settings, _WEIGHTS[settings.ranking], low, high)
        )
        connection.execute(sql.chosen_snippets(file, settings))
        path = out_dir / f"part-{number:05d}.parquet"
        connection.execute(sql.copy_evidence(str(path)))
        columns = connection.execute(sql.totals()).fetchnumpy()
        totals.append(np.stack([columns[name] for name in ("n", "snippets", "tokens")]))
        files.append(path)
        progress(number + 1, len(snippets), "user ranges")
    for name in ("evidence", "communities", "excluded", "people", "names", "only"):
        connection.execute(f"drop table if exists zipp_{name}")
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
