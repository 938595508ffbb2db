"""Small invented people: their evidence as bundles, and the tables that evidence is taken from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zipp_dagster.persona.bundles import EvidenceBundle, Snippet


@dataclass(frozen=True)
class Tables:
    """Files of the tables that snippets and evidence are taken from."""

    rankings: list[Path]
    comments: list[Path]
    subreddits: list[Path]
    submissions: list[Path] = field(default_factory=list)
    holdout: list[Path] = field(default_factory=list)


EVIDENCE_SCHEMA = pa.schema(
    [
        ("user_id", pa.uint64()),
        ("subreddit", pa.string()),
        ("community_rank", pa.int32()),
        ("share", pa.float64()),
        ("snippet_id", pa.string()),
        ("text", pa.string()),
        ("tokens", pa.int32()),
        ("reason", pa.string()),
    ]
)


@pytest.fixture
def bundle() -> Callable[..., EvidenceBundle]:
    """A person who wrote these texts in one community."""

    def make(*texts: str, community: str = "CasualTalk", user: int = 1) -> EvidenceBundle:
        snippets = tuple(Snippet(f"c{i}", community, text) for i, text in enumerate(texts))
        return EvidenceBundle(user, ((community, 1.0),), snippets, 10 * len(texts))

    return make


@pytest.fixture
def evidence_file(tmp_path: Path) -> Callable[[dict[int, Sequence[str]]], Path]:
    """A persona_evidence file of people (user_id to texts) who all write in r/CasualTalk."""

    def write(people: dict[int, Sequence[str]]) -> Path:
        rows: list[dict[str, Any]] = []
        for user, texts in sorted(people.items()):
            row = {"user_id": user, "subreddit": "CasualTalk", "community_rank": 1, "share": 1.0}
            rows.append(row | {"text": "r/CasualTalk", "tokens": 3, "reason": "community"})
            rows += [
                row | {"snippet_id": f"u{user}c{i}", "text": t, "tokens": 5, "reason": "share"}
                for i, t in enumerate(texts)
            ]
        path = tmp_path / "evidence.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=EVIDENCE_SCHEMA), path)
        return path

    return write


@pytest.fixture
def reddit(tmp_path: Path) -> Callable[..., Tables]:
    """The inputs of evidence: rows of comments and posts as dicts, sensible defaults elsewhere."""

    def write(
        comments: Sequence[dict[str, Any]],
        posts: Sequence[dict[str, Any]] = (),
        rankings: Sequence[dict[str, Any]] | None = None,
        sensitive: Sequence[str] = (),
        over_18: Sequence[str] = (),
        holdout: Sequence[dict[str, Any]] = (),
    ) -> Tables:
        day = datetime(2020, 1, 1)
        filled = [
            {"id": f"c{i}", "user_id": 1, "subreddit": "cats", "link_id": "t3_x", "score": 1}
            | {"created_at": day, "body": ""}
            | comment
            for i, comment in enumerate(comments)
        ]
        filled_posts = [
            {"id": f"p{i}", "user_id": 1, "subreddit": "cats", "title": "", "selftext": ""}
            | {"score": 1, "created_at": day, "is_image": False, "over_18": False}
            | post
            for i, post in enumerate(posts)
        ]
        pairs = sorted({(r["user_id"], r["subreddit"]) for r in [*filled, *filled_posts]})
        if rankings is None:
            rankings = [{"user_id": u, "subreddit": s} for u, s in pairs]
        ranked = [
            {"attention": 1.0, "dot": 1.0, "tfidf": 1.0, "count": 1} | ranking
            for ranking in rankings
        ]
        names = sorted({s for _, s in pairs})
        communities = [
            {"subreddit": s, "sensitive": s in sensitive, "over_18_share": float(s in over_18)}
            for s in names
        ]
        held = [
            {"user_id": 1, "post_id": "h", "title": "", "sha256": None, "created_at": day} | row
            for row in holdout
        ]
        return Tables(
            rankings=[_write(tmp_path / "rankings.parquet", ranked)],
            comments=[_write(tmp_path / "comments.parquet", filled)],
            submissions=[_write(tmp_path / "submissions.parquet", filled_posts)] if posts else [],
            subreddits=[_write(tmp_path / "subreddits.parquet", communities)],
            holdout=[_write(tmp_path / "holdout.parquet", held)] if held else [],
        )

    return write


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    columns["user_id"] = pa.array(columns["user_id"], pa.uint64()) if "user_id" in columns else None
    table = pa.table({name: values for name, values in columns.items() if values is not None})
    pq.write_table(table, path)
    return path
