"""Settings of the graph stage: which communities count, and how links are held out."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from zipp_dagster.section import Section


class GraphSettings(Section):
    """How interactions become a graph and a link split."""

    operational: ClassVar[frozenset[str]] = frozenset({"batch_rows"})

    min_subreddit_users: int = Field(
        1, ge=1, description="Communities with fewer active users are left out of the graph."
    )
    batch_rows: int = Field(
        500_000, ge=1_000, description="Rows per record batch while the graph is built."
    )
    split: Literal["temporal", "random"] = Field(
        "temporal",
        description="Which links are held out: each user's last-joined communities or random ones.",
    )
    min_communities: int = Field(
        3, ge=3, description="Users with fewer communities keep all their links as messages."
    )
    unseen_share: float = Field(
        0.1,
        ge=0.0,
        le=0.9,
        description="Share of users that training never sees at all, chosen by a hash of user ids.",
    )
    seed: int = Field(0, ge=0, description="Seed of ties, the random split and the unseen users.")
