"""Writes the ground truth of a world, keyed by author name, beside its dumps.

The only part of the package that turns truth into files; `truth.py` reads them, and only evaluation
code may import that. Tables are Parquet (zstd), the rest JSON.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from zipp_dagster.sampleworld.communities import Community
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.journal import Journal
from zipp_dagster.sampleworld.people import CONTEXTS, Person
from zipp_dagster.sampleworld.vocabulary import SUBJECT_CONTEXTS

TABLES = ("people", "tastes", "posts", "comments", "communities")
COUNTS, TARGET, SETTINGS = "counts.json", "target_population.json", "settings.json"

_STRING = pa.string()
PEOPLE_SCHEMA = pa.schema(
    [
        *((name, _STRING) for name in ("author", "age_band", "gender", "region", "country")),
        *((name, _STRING) for name in ("language", "profession")),
        ("hobbies", pa.list_(_STRING)),
        ("creator", pa.bool_()),
        *((name, pa.int64()) for name in ("comments", "image_posts", "text_posts")),
    ]
)
TASTES_SCHEMA = pa.schema(
    [
        *((name, _STRING) for name in ("author", "context", "palette", "medium", "mood")),
        *((name, _STRING) for name in ("shown_palette", "shown_medium", "shown_mood")),
        ("coupled", pa.bool_()),
    ]
)
POSTS_SCHEMA = pa.schema(
    [
        *((name, _STRING) for name in ("post_id", "author", "subreddit")),
        ("created_at", pa.timestamp("us")),
        *((name, _STRING) for name in ("title", "subject", "context", "palette", "medium", "mood")),
        ("on_taste", pa.bool_()),
        ("seed", pa.int64()),
        ("media_key", _STRING),
        ("has_media", pa.bool_()),
    ]
)
COMMENTS_SCHEMA = pa.schema(
    [(name, _STRING) for name in ("comment_id", "author", "subreddit", "signal", "context")]
)
COMMUNITIES_SCHEMA = pa.schema(
    [
        *((name, _STRING) for name in ("subreddit", "kind", "topic", "factor", "value")),
        *((name, pa.bool_()) for name in ("visual", "over_18", "sensitive")),
    ]
)
# Invented marginals for raking: older, less male, less Northern American than the platform.
TARGET_POPULATION: dict[str, object] = {
    "label": "synthetic",
    "description": "Invented target marginals of the sample world; no real population.",
    "marginals": {
        "age_band": {
            **{"18-24": 0.17, "25-34": 0.22, "35-44": 0.20},
            **{"45-54": 0.17, "55-64": 0.13, "65+": 0.11},
        },
        "gender": {"male": 0.49, "female": 0.49, "nonbinary": 0.02},
        "region": {
            **{"Africa": 0.14, "Asia": 0.36, "Europe": 0.18},
            **{"Latin America and the Caribbean": 0.13, "Northern America": 0.15, "Oceania": 0.04},
        },
        "language": {
            **{"English": 0.40, "Spanish": 0.10, "Hindi": 0.10, "Portuguese": 0.06},
            **{"German": 0.06, "French": 0.05, "Indonesian": 0.04, "Tagalog": 0.04},
            **{"Japanese": 0.03, "Polish": 0.03, "Italian": 0.03, "Turkish": 0.02},
            **{"Dutch": 0.02, "Arabic": 0.01, "Swahili": 0.01},
        },
        "profession": {
            **{"nurse": 0.07, "teacher": 0.07, "software developer": 0.06, "student": 0.12},
            **{"chef": 0.05, "electrician": 0.05, "truck driver": 0.06, "farmer": 0.07},
            **{"accountant": 0.05, "graphic designer": 0.03, "mechanic": 0.06},
            **{"retail worker": 0.11, "carpenter": 0.05, "lawyer": 0.02},
            **{"lab scientist": 0.02, "retired": 0.11},
        },
    },
}


def write_truth(
    folder: Path,
    settings: WorldSettings,
    people: list[Person],
    communities: list[Community],
    journal: Journal,
    counts: dict[str, object],
) -> None:
    """Writes every table and document of the ground truth into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "people": (PEOPLE_SCHEMA, _people(people, journal)),
        "tastes": (TASTES_SCHEMA, _tastes(people)),
        "posts": (POSTS_SCHEMA, _posts(communities, journal)),
        "comments": (COMMENTS_SCHEMA, _comments(communities, journal)),
        "communities": (COMMUNITIES_SCHEMA, _communities(communities)),
    }
    for name, (schema, rows) in tables.items():
        table = pa.Table.from_pylist(rows, schema=schema)
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
    documents = {
        COUNTS: counts,
        TARGET: TARGET_POPULATION,
        SETTINGS: settings.model_dump(mode="json"),
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _people(people: list[Person], journal: Journal) -> list[dict[str, object]]:
    kept_posts = [s for s in journal.submissions if s.deleted is None]
    comments = Counter(c.author for c in journal.comments if c.deleted is None)
    images = Counter(s.author for s in kept_posts if s.image is not None)
    texts = Counter(s.author for s in kept_posts if s.image is None)
    return [
        {
            "author": person.name,
            "age_band": person.age_band,
            "gender": person.gender,
            "region": person.country.region,
            "country": person.country.name,
            "language": person.country.language,
            "profession": person.profession.name,
            "hobbies": [hobby.name for hobby in person.hobbies],
            "creator": person.creator,
            "comments": comments[person.name],
            "image_posts": images[person.name],
            "text_posts": texts[person.name],
        }
        for person in people
    ]


def _tastes(people: list[Person]) -> list[dict[str, object]]:
    return [
        {
            "author": person.name,
            "context": context,
            **vars(person.tastes[context]),
            **{f"shown_{name}": value for name, value in vars(person.shown[context]).items()},
            "coupled": person.coupled[context],
        }
        for person in people
        for context in CONTEXTS
    ]


def _posts(communities: list[Community], journal: Journal) -> list[dict[str, object]]:
    return [
        {
            "post_id": post.id,
            "author": post.author,
            "subreddit": communities[post.community].name,
            "created_at": post.created * 1_000_000,
            "title": post.title,
            **vars(post.image.factors),
            "context": SUBJECT_CONTEXTS[post.image.factors.subject],
            "on_taste": post.image.on_taste,
            "seed": post.image.seed,
            "media_key": post.image.media_key,
            "has_media": post.image.has_media,
        }
        for post in journal.submissions
        if post.image is not None
    ]


def _comments(communities: list[Community], journal: Journal) -> list[dict[str, object]]:
    return [
        {
            "comment_id": comment.id,
            "author": comment.author,
            "subreddit": communities[comment.community].name,
            "signal": comment.said.signal,
            "context": comment.said.context,
        }
        for comment in journal.comments
        if comment.said is not None
    ]


def _communities(communities: list[Community]) -> list[dict[str, object]]:
    return [
        {
            "subreddit": community.name,
            "kind": community.kind,
            "topic": community.topic,
            "factor": community.factor,
            "value": community.value,
            "visual": community.visual,
            "over_18": community.over_18,
            "sensitive": community.sensitive,
        }
        for community in communities
    ]
