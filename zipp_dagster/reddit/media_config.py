"""Settings of fetching images: from whom, how politely, within which limits."""

from __future__ import annotations

from pydantic import Field

from zipp_dagster.section import Section

HOSTS = (
    "i.redd.it",
    "preview.redd.it",
    "external-preview.redd.it",
    "i.reddituploads.com",
    "i.imgur.com",
    "imgur.com",
    "m.imgur.com",
)


class FetchSettings(Section):
    """How images are fetched; used only where `reddit.fetch_media` is on."""

    hosts: tuple[str, ...] = Field(
        HOSTS, description="Host names that may be asked, over https; a redirect stays among them."
    )
    over_18: bool = Field(False, description="Whether images of posts for adults are fetched too.")
    user_agent: str = Field(
        "zipp-dagster/0.1 (research; fetches each image once, honours Retry-After)",
        min_length=8,
        description="What servers are told; add an address where you can be reached.",
    )
    concurrency: int = Field(32, ge=1, le=512, description="Images in flight altogether.")
    per_host: int = Field(8, ge=1, le=64, description="Images in flight from one host.")
    attempts: int = Field(4, ge=1, le=20, description="Tries for an image before it is given up.")
    backoff_s: float = Field(
        1.0, ge=0, le=60, description="First wait before another try; doubles, with jitter."
    )
    longest_wait_s: float = Field(
        120.0, ge=0, description="Longest wait that a server may ask for (Retry-After)."
    )
    connect_s: float = Field(10.0, gt=0, description="Seconds to connect.")
    read_s: float = Field(20.0, gt=0, description="Seconds without a byte before giving up.")
    total_s: float = Field(120.0, gt=0, description="Seconds for one try, redirects included.")
    redirects: int = Field(4, ge=0, le=20, description="Redirects followed for one image.")
    most_unreachable: float = Field(
        0.1,
        ge=0,
        le=1,
        description="With a larger share of images that failed for now (not for good), the month is "
        "not published: repeat the run.",
    )
