"""Settings of the `warehouse` section: what the SQL models of `dbt_like_sql/` may use and do."""

from __future__ import annotations

from pydantic import Field

from zipp_dagster.section import Section


class WarehouseSettings(Section):
    """Limits of the SQL engine, and the few numbers that the models read."""

    memory_limit: str = Field(
        "2GB",
        pattern=r"^\d+(\.\d+)?\s?(MB|GB|TB|MiB|GiB|TiB)$",
        description="Memory that a query may use before it spills to disk, such as 2GB.",
    )
    threads: int = Field(2, ge=1, le=256, description="Threads of a query.")
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
        60, ge=0, le=10_000, description="Titles sampled into a community's document, at most."
    )
    document_comments: int = Field(
        60, ge=0, le=10_000, description="Comments sampled into a community's document, at most."
    )
    snippet_chars: int = Field(
        240, ge=20, le=10_000, description="Characters kept of one sampled title or comment."
    )
