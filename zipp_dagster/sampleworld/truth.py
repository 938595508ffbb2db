"""Reads the ground truth of a sample world. For evaluation only: an import contract holds that.

Nothing else in the package imports this module, and no asset before evaluation may. Authors are
named as in the dumps; the caller maps them to pseudonyms. Written by `truth_writer.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from zipp_dagster.sampleworld.truth_writer import COUNTS, SETTINGS, TABLES, TARGET


@dataclass(frozen=True)
class Truth:
    """The tables and documents of one world's `truth/` folder.

    `people`: author, age_band, gender, region, country, language, profession, hobbies, creator,
    comments, image_posts, text_posts. `tastes`: author, context, palette, medium, mood, the same
    three with the prefix `shown_` (what text and communities reveal), coupled. `posts`: post_id,
    author, subreddit, created_at, title, subject, context, palette, medium, mood, on_taste, seed,
    media_key, has_media. `comments`: comment_id, author, subreddit, signal, context.
    `communities`: subreddit, kind, topic, factor, value, visual, over_18, sensitive.
    `counts`: per dump file lines = kept + deleted + duplicates + rejected, and bots; `authors`.
    `target_population`: label, description, marginals (dimension → category → share).
    """

    people: pa.Table
    tastes: pa.Table
    posts: pa.Table
    comments: pa.Table
    communities: pa.Table
    counts: dict[str, object]
    target_population: dict[str, object]
    settings: dict[str, object]

    def taste(self, author: str, context: str) -> dict[str, str]:
        """The true palette, medium and mood of an author for a context; KeyError if unknown."""
        return self._taste_index[author, context]

    @cached_property
    def _taste_index(self) -> dict[tuple[str, str], dict[str, str]]:
        columns = ("palette", "medium", "mood")
        return {
            (row["author"], row["context"]): {name: row[name] for name in columns}
            for row in self.tastes.to_pylist()
        }


def read_truth(folder: Path) -> Truth:
    """The ground truth in a world's `truth/` folder.

    Raises FileNotFoundError, naming the file, where one is missing.
    """
    for name in (*(f"{table}.parquet" for table in TABLES), COUNTS, TARGET, SETTINGS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder / name} is missing: {folder} is no ground truth of a sample world;"
                " generate the world again"
            )
    documents = {
        name: json.loads((folder / name).read_text(encoding="utf-8"))
        for name in (COUNTS, TARGET, SETTINGS)
    }
    return Truth(
        **{table: pq.read_table(folder / f"{table}.parquet") for table in TABLES},
        counts=documents[COUNTS],
        target_population=documents[TARGET],
        settings=documents[SETTINGS],
    )
