"""Settings of the sample world: how many people, communities and months, how dirty the dumps."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from zipp_dagster.section import Section


class WorldSettings(Section):
    """Sizes, seed and noise of the generated Reddit. The same settings give the same bytes."""

    seed: int = Field(7, ge=0, description="Every random choice follows from this number.")
    people: int = Field(2000, ge=20, le=200_000, description="Authors, bots not counted.")
    communities: int = Field(120, ge=12, le=5_000, description="Subreddits of all kinds.")
    months: int = Field(3, ge=1, le=36, description="Monthly dump pairs (RC and RS) to write.")
    start_month: str = Field(
        "2024-01",
        pattern=r"^20\d\d-(0[1-9]|1[0-2])$",
        description="The first month, as YYYY-MM.",
    )
    taste_coupling: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Probability that what a person's text and communities show about a taste is"
        " their own taste, not that of a random other person; 0 makes the null world.",
    )
    comments_per_person: float = Field(
        38.0, ge=1, le=1_000, description="Mean comments a person over all months; heavy-tailed."
    )
    image_posts_per_person: float = Field(
        4.0, ge=0.5, le=100, description="Mean image posts a person; most come from creators."
    )
    text_posts_per_person: float = Field(
        2.5, ge=0, le=100, description="Mean self and link posts a person over all months."
    )
    creators_share: float = Field(
        0.3, gt=0, le=1, description="Share of people who post images often."
    )
    on_taste: float = Field(
        0.85, ge=0, le=1, description="Probability that an image post follows its author's taste."
    )
    image_size: int = Field(64, ge=16, le=512, description="Side of the square pictures, pixels.")
    media_format: Literal["png", "jpg"] = Field("png", description="File format of the pictures.")
    missing_media_share: float = Field(
        0.03, ge=0, le=1, description="Share of image posts whose file is not in the media folder."
    )
    deleted_share: float = Field(
        0.02, ge=0, le=0.5, description="Deleted records, as a share of the people's records."
    )
    duplicate_share: float = Field(
        0.004, ge=0, le=0.5, description="Repeated records, as a share of the people's records."
    )
    bot_share: float = Field(
        0.012, ge=0, le=0.5, description="Records by bots, as a share of the people's records."
    )
    bad_lines_per_file: int = Field(
        12, ge=0, le=10_000, description="Undecodable lines in each dump file."
    )

    @model_validator(mode="after")
    def _months_end_before_2100(self) -> Self:
        year, month = int(self.start_month[:4]), int(self.start_month[5:])
        if year + (month - 1 + self.months) / 12 > 2100:
            raise ValueError(
                f"start_month {self.start_month} plus {self.months} months passes 2100: lower one"
            )
        return self
