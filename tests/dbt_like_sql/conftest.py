"""Runs the SQL models in their order over hand-made tables, in plain DuckDB."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import duckdb
import pytest
import yaml

from zipp_dagster.platform.sql_models import SqlModel, literal, load_models

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "dbt_like_sql"
VARIABLES: dict[str, object] = {
    "benchmark_users": 10,
    "development_users": 0,
    "holdout_posts": 1,
    "min_history_posts": 1,
    "min_comments": 1,
    "leak_token_f1": 0.8,
    "seed": 7,
    "half_life_days": 10.0,
    "snippet_chars": 100,
    "document_titles": 10,
    "document_comments": 10,
    "document_chars": 1000,
    "sensitive_communities": {"depression": "health", "gonewild": "adult"},
    "over_18_share": 0.5,
    "bot_min_events": 100,
    "bot_events_per_day": 300.0,
    "bot_text_chars": 20,
    "bot_repeated_share": 0.5,
    "bot_gap_variation": 0.3,
    "month": None,
}
DEFAULTS: dict[str, dict[str, object]] = {
    "comments": {
        "user_id": 1,
        "subreddit": "pics",
        "link_id": None,
        "parent_id": None,
        "body": "hello",
        "score": 1,
        "created_at": "2020-01-01",
        "is_bot": False,
    },
    "submissions": {
        "user_id": 1,
        "subreddit": "pics",
        "title": "a title",
        "selftext": "",
        "url": None,
        "domain": None,
        "media_key": None,
        "score": 1,
        "num_comments": 0,
        "over_18": False,
        "is_image": False,
        "created_at": "2020-01-01",
        "is_bot": False,
    },
    "media": {
        **{"media_key": "a.png", "dhash": 5, "duplicate_of": None, "similar_to": None},
        **{"width": 1, "height": 1, "image": b""},
    },
}


@cache
def in_order() -> tuple[SqlModel, ...]:
    """The models, each after its inputs."""
    models = {model.name: model for model in load_models(MODELS)}
    order = TopologicalSorter({name: sorted(model.inputs) for name, model in models.items()})
    return tuple(models[name] for name in order.static_order() if name in models)


@pytest.fixture
def build() -> Callable[..., Callable[[str], list[tuple]]]:
    """`build(comments=[…], submissions=[…], media=[…], settings=…)` returns a query function."""

    def make(
        comments: list[dict] = (),
        submissions: list[dict] = (),
        media: list[dict] = (),
        **changes: object,
    ) -> Callable[[str], list[tuple]]:
        connection = duckdb.connect()
        rows = {"comments": comments, "submissions": submissions, "media": media}
        for table, given in rows.items():
            columns = yaml.safe_load((ROOT / f"assets/contracts/{table}.yml").read_text())[
                "columns"
            ]
            typed = ", ".join(f"{c['name']} {c['type']}" for c in columns)
            connection.execute(f"CREATE TABLE {table} ({typed})")
            for number, row in enumerate(given):
                full = {"id": f"{table[0]}{number}"} | DEFAULTS[table] | row
                values = [full[c["name"]] for c in columns]
                marks = ", ".join("?" * len(values))
                connection.execute(f"INSERT INTO {table} VALUES ({marks})", values)
        for name, value in (VARIABLES | changes).items():
            connection.execute(f"SET VARIABLE {name} = {literal(value)}")
        for model in in_order():
            connection.execute(f"CREATE TABLE {model.name} AS {model.query}")
        return lambda query: connection.execute(query).fetchall()

    return make


@pytest.fixture
def picture() -> Callable[..., dict]:
    """An image post: `picture("p1", "a fox", day=3)`."""

    def make(post_id: str, title: str, day: int = 1, **changes: object) -> dict:
        return {
            "id": post_id,
            "title": title,
            "created_at": f"2020-01-{day:02}",
            "is_image": True,
            "media_key": f"{post_id}.png",
        } | changes

    return make


@pytest.fixture
def image() -> Callable[..., dict]:
    """The media row of a post; posts with the same `letter` have the same picture."""

    def make(post_id: str, letter: str) -> dict:
        return {"post_id": post_id, "sha256": letter * 64}

    return make
