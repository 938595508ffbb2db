"""Settings of the studio: where it listens, where votes go, what it lets through."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from zipp_dagster.section import Section


class StudioSettings(Section):
    """The web page. Loopback by default; docs/studio.md says how to publish it safely."""

    # Nothing of the web page comes out of an asset: all of it is operational.
    operational: ClassVar[frozenset[str]] = frozenset(
        {
            *("host", "port", "allowed_hosts", "database_url", "safety_filter", "blocked_terms"),
            *("max_prompt_chars", "max_persona_chars", "queue_limit", "draw_timeout_s"),
            *("drawing_threads", "shown_personas"),
        }
    )

    host: str = Field("127.0.0.1", description="Address that the studio binds to.")
    port: int = Field(8765, ge=0, le=65535, description="Port of the studio; 0 = any free one.")
    allowed_hosts: tuple[str, ...] = Field(
        ("127.0.0.1", "localhost", "[::1]"),
        description="Host names that requests may carry; add your public name behind a proxy.",
    )
    database_url: str | None = Field(
        None,
        description="SQLAlchemy URL of the studies and votes, such as postgresql://user:password"
        "@host/name; empty: a SQLite file below ZIPP_HOME.",
    )
    safety_filter: bool = Field(
        True, description="Refuse prompts and personas with sexual, violent or hateful words."
    )
    blocked_terms: tuple[str, ...] = Field(
        (), description="Further words or phrases that the safety filter refuses."
    )
    max_prompt_chars: int = Field(300, ge=10, le=5000, description="Longest prompt.")
    max_persona_chars: int = Field(2000, ge=100, le=20_000, description="Longest persona text.")
    queue_limit: int = Field(
        24,
        ge=1,
        description="Visitors who may wait for a picture at once; more are asked to retry.",
    )
    draw_timeout_s: float = Field(
        120.0, gt=0, description="Seconds after which a visitor's picture counts as failed."
    )
    drawing_threads: int = Field(1, ge=1, le=256, description="Threads of the drawing process.")
    shown_personas: int = Field(
        24, ge=0, le=500, description="Mined personas offered in the Personalise room."
    )


class RaterSettings(Section):
    """Simulated raters, who vote where there are no people (sample world only).

    A rater's utility of a picture is the mean probability, by the factor classifier, that it has
    the palette, medium and mood that the rater truly likes for the subject.
    """

    noise: float = Field(
        0.15, gt=0.0, description="Scale of the logistic noise on a difference of utilities."
    )
    tie_share: float = Field(
        0.3, ge=0.0, lt=1.0, description="Share of ties where both pictures are worth the same."
    )
    lapse: float = Field(
        0.05, ge=0.0, lt=1.0, description="Share of votes that are cast without looking."
    )
    seed: int = Field(5, ge=0, description="Seed of the raters' noise.")
