"""Comments and submissions of a generated year as Parquet, in the schema of the lake's tables.

Users and communities are heavy-tailed, and each user has some favourite communities. What is
written is `Texts`: of a few words where only structure is measured, sentences where texts are read.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sentences import drawn_sentences, titles

from zipp_dagster.platform.contracts import load_contract
from zipp_dagster.platform.sql_models import literal

ROOT = Path(__file__).parents[1]
KINDS = ("comments", "submissions")
EVENTS_A_USER = 31
"""As in the paper's graph: 682 M events of 22 M users."""

COMMUNITIES = 40_000
SUBMISSIONS_SHARE = 0.12
"""Posts among the events: 1.8 G of 14.7 G in the dumps of 2015 to 2022."""

EVENTS_SQL = """
WITH numbers AS (
    SELECT i,
        hash(4 * i + 1) / 18446744073709551616.0 AS a,
        hash(4 * i + 2) / 18446744073709551616.0 AS b,
        hash(4 * i + 3) / 18446744073709551616.0 AS c
    FROM range({first}, {last}) AS r(i)
),
authors AS (
    -- Heavy-tailed: the busiest percent of users writes a fifth of everything. Each has some
    -- favourite communities, and returns to the first ones most.
    SELECT *,
        CAST(floor({users} * pow(a, 3)) AS BIGINT) AS author,
        CAST(floor(40 * pow(b, 3)) AS BIGINT) AS favourite
    FROM numbers
),
places AS (
    SELECT *,
        hash(64 * author + favourite) / 18446744073709551616.0 AS d,
        CAST(floor({communities} * pow(d, 3)) AS BIGINT) AS place
    FROM authors
)
SELECT
    lower(to_base(i, 36)) AS id, hash(author) AS user_id, 'community_' || place AS subreddit, {columns},
    CAST(floor(1 / (0.002 + c)) AS BIGINT) - 1 AS score,
    TIMESTAMP '{month}-01' + to_seconds(CAST(floor(c * 28 * 86400) AS BIGINT)) AS created_at,
    {more}
    false AS is_bot
FROM places
"""
COLUMNS = {
    "comments": "'t3_' || lower(to_base(i // 40, 36)) AS link_id, "
    "'t1_' || lower(to_base(i // 3, 36)) AS parent_id, {body} AS body",
    "submissions": "{title} AS title, '' AS selftext, CAST(NULL AS VARCHAR) AS url, "
    "'i.redd.it' AS domain, CASE WHEN i % 3 = 0 THEN i || '.png' END AS media_key",
}
MORE = {
    "comments": "",
    "submissions": "CAST(i % 50 AS BIGINT) AS num_comments, i % 20 = 0 AS over_18, i % 3 = 0 AS is_image,",
}


@dataclass(frozen=True)
class Texts:
    """SQL for a comment's body and a submission's title from its number `i`, and its variables."""

    body: str
    title: str
    variables: dict[str, list[str]]


CHEAP = Texts("'a comment with the number ' || i", "'a title with the number ' || i", {})
"""A few words and a number: as fast as can be. All titles of a user are the same prompt."""


@cache
def written(count: int = 8192) -> Texts:
    """Sentences and captions, each with a number of its own: some 90 and 50 characters."""
    return Texts(
        f"getvariable('bodies')[1 + CAST(hash(i) % {count} AS INTEGER)] || ' (take ' || i || ').'",
        f"getvariable('titles')[1 + CAST(hash(i) % {count} AS INTEGER)] || ' ' || i",
        {"bodies": drawn_sentences(count), "titles": titles(count)},
    )


@dataclass(frozen=True)
class Year:
    """So many events of so many users in so many months; month by month the same on every run."""

    events: int
    users: int
    communities: int
    months: tuple[str, ...]
    texts: Texts

    def write(self, month: str, folder: Path, threads: int = 2) -> None:
        """Writes `<kind>/<month>/part-*.parquet` of both kinds below a folder, a part a thread.

        DuckDB counts up to a number with one thread: each part is a query of its own.
        """
        import duckdb

        number = self.months.index(month)
        first, last = (self.events * n // len(self.months) for n in (number, number + 1))
        split = last - int((last - first) * SUBMISSIONS_SHARE)
        parts = [
            (kind, start + (end - start) * n // threads, start + (end - start) * (n + 1) // threads,
             folder / kind / month / f"part-{n:05}.parquet")
            for kind, start, end in (("comments", first, split), ("submissions", split, last))
            for n in range(threads)
        ]  # fmt: skip
        for *_, path in parts:
            path.parent.mkdir(parents=True, exist_ok=True)
        with (
            duckdb.connect(config={"threads": threads, "memory_limit": "2GB"}) as connection,
            ThreadPoolExecutor(threads) as pool,
        ):
            for done in [
                pool.submit(self._part, connection.cursor(), month, *part) for part in parts
            ]:
                done.result()

    def _part(
        self, connection: Any, month: str, kind: str, first: int, last: int, path: Path
    ) -> None:
        for name, values in self.texts.variables.items():
            connection.execute(f"SET VARIABLE {name} = {literal(values)}")
        texts = {"body": self.texts.body, "title": self.texts.title}
        query = EVENTS_SQL.format(
            first=first,
            last=last,
            users=self.users,
            communities=self.communities,
            columns=COLUMNS[kind].format(**texts),
            month=month,
            more=MORE[kind],
        )
        # The order of the tables' columns is that of their contracts.
        contract = ROOT / "assets" / "contracts" / f"{kind}.yml"
        names = ", ".join(load_contract(contract).column_types)
        connection.execute(
            f"COPY (SELECT {names} FROM ({query})) TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
        )


def months(count: int) -> tuple[str, ...]:
    """The first months of 2024 on, as `YYYY-MM`."""
    return tuple(f"{2024 + n // 12}-{1 + n % 12:02}" for n in range(count))
