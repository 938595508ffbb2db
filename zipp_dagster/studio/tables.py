"""The tables of the studio's database, for SQLite and PostgreSQL alike.

Pictures are kept in the database: then withdrawal deletes everything of a participant in one
transaction, and a backup is one file. Times are ISO 8601 texts in UTC.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()


def _owner(column: str = "participant") -> Column[str]:
    """A reference whose row goes when the participant goes."""
    return Column(
        column,
        String,
        ForeignKey("studio_participants.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    )


studies = Table(
    "studio_studies",
    metadata,
    Column("name", String, primary_key=True),
    Column("config", Text, nullable=False),
    Column("created_at", String, nullable=False),
)

participants = Table(
    "studio_participants",
    metadata,
    Column("id", String, primary_key=True),
    Column("study", String, ForeignKey("studio_studies.name"), nullable=False, index=True),
    # Only a hash: who reads the database cannot take a participant's place.
    Column("token_sha256", String, nullable=False, unique=True),
    Column("consent_at", String, nullable=False),
    Column("consent_sha256", String, nullable=False),
    Column("intake", Text, nullable=False),
    Column("persona_text", Text, nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("finished_at", String),
)

pairs = Table(
    "studio_pairs",
    metadata,
    Column("id", String, primary_key=True),
    _owner(),
    Column("position", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("seed", String, nullable=False),
    Column("left_method", String, nullable=False),
    Column("right_method", String, nullable=False),
    # planned → ready, or void: both sides turned out the same picture.
    Column("state", String, nullable=False),
    Column("shown_at", String),
    UniqueConstraint("participant", "position"),
    CheckConstraint("kind in ('vote', 'attention')"),
    CheckConstraint("state in ('planned', 'ready', 'void')"),
)
Index("studio_pairs_state", pairs.c.state)

pictures = Table(
    "studio_pictures",
    metadata,
    Column("id", String, primary_key=True),
    Column("pair", String, ForeignKey("studio_pairs.id", ondelete="CASCADE"), nullable=False),
    Column("side", String, nullable=False),
    Column("audit", Text, nullable=False),
    Column("png", LargeBinary, nullable=False),
    UniqueConstraint("pair", "side"),
    CheckConstraint("side in ('left', 'right')"),
)

votes = Table(
    "studio_votes",
    metadata,
    # One vote a pair, whatever is sent twice.
    Column("pair", String, ForeignKey("studio_pairs.id", ondelete="CASCADE"), primary_key=True),
    _owner(),
    Column("choice", String, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("flags", String, nullable=False),
    Column("audit", Text, nullable=False),
    Column("created_at", String, nullable=False),
    CheckConstraint("choice in ('left', 'right', 'tie')"),
)

rating_items = Table(
    "studio_rating_items",
    metadata,
    Column("study", String, ForeignKey("studio_studies.name"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("persona_id", String, nullable=False),
    Column("persona", Text, nullable=False),
    Column("evidence", Text, nullable=False),
)

ratings = Table(
    "studio_ratings",
    metadata,
    Column(
        "participant",
        String,
        ForeignKey("studio_participants.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("position", Integer, primary_key=True),
    Column("accuracy", Integer, nullable=False),
    Column("coherence", Integer, nullable=False),
    Column("completeness", Integer, nullable=False),
    Column("created_at", String, nullable=False),
    *(
        CheckConstraint(f"{name} between 1 and 5")
        for name in ("accuracy", "coherence", "completeness")
    ),
)
