"""Settings of the `warehouse` section: what the SQL models of `dbt_like_sql/` may use and do."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from zipp_dagster.section import Section


class WarehouseSettings(Section):
    """Limits of the SQL engine, the few numbers that the models read, and what the checks allow."""

    operational: ClassVar[frozenset[str]] = frozenset(
        {
            "memory_limit",
            "threads",
            "row_bytes",
            "most_rejected",
            "most_duplicates",
            "most_outside_month",
            "least_volume",
            "most_volume",
            "volume_months",
        }
    )

    memory_limit: str = Field(
        "2GB",
        pattern=r"^\d+(\.\d+)?\s?(MB|GB|TB|MiB|GiB|TiB)$",
        description="Memory that a query may use before it spills to disk, such as 2GB.",
    )
    threads: int = Field(2, ge=1, le=256, description="Threads of a query.")
    row_bytes: int = Field(
        128,
        ge=1,
        le=1_000_000,
        description="Memory that one input row of a grouped model may need; a model over more rows "
        "than half of the memory holds is computed in ranges of users.",
    )
    half_life_days: float = Field(
        30.0,
        gt=0,
        le=36_500,
        description="Age in days at which the recency of an interaction has fallen to one half.",
    )
    document_chars: int = Field(
        6000, ge=200, le=1_000_000, description="Longest document of a community, in characters."
    )
    document_titles: int = Field(
        60, ge=1, le=10_000, description="Titles sampled into a community's document, at most."
    )
    document_comments: int = Field(
        60, ge=1, le=10_000, description="Comments sampled into a community's document, at most."
    )
    snippet_chars: int = Field(
        240, ge=20, le=10_000, description="Characters kept of one sampled title or comment."
    )
    over_18_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="A community with this share of over-18 posts or more is over-18 itself.",
    )

    bot_min_events: int = Field(
        100,
        ge=3,
        le=1_000_000,
        description="Comments and posts in a month below which no account is called automatic.",
    )
    bot_events_per_day: float = Field(
        300.0,
        gt=0,
        le=100_000,
        description="Events per active day from which an account is automatic.",
    )
    bot_text_chars: int = Field(
        20, ge=1, le=10_000, description="Comments shorter than this do not count as repetitions."
    )
    bot_repeated_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of comments with a word-for-word copy from which an account is automatic.",
    )
    bot_gap_variation: float = Field(
        0.3,
        ge=0,
        le=10,
        description="An account is automatic if the gaps between its events vary less than this "
        "(standard deviation over mean; 1 is random, people have more, a clock near 0).",
    )

    most_rejected: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of rejected lines above which a dump is damaged and not used.",
    )
    most_duplicates: float = Field(
        0.02, ge=0, le=1, description="Share of duplicate lines above which a dump is suspicious."
    )
    most_outside_month: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of records of another month above which a dump is not used.",
    )
    least_volume: float = Field(
        0.5, ge=0, le=1, description="Rows below this multiple of earlier months' median warn."
    )
    most_volume: float = Field(
        2.0, ge=1, le=1000, description="Rows above this multiple of earlier months' median warn."
    )
    volume_months: int = Field(
        12, ge=1, le=120, description="Earlier months whose median a month's rows are held against."
    )
