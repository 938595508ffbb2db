"""Settings of the `reddit` section: where dumps and media are, the key, the reviewed lists."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr

from zipp_dagster.reddit.media_config import FetchSettings
from zipp_dagster.reddit.name_lists import packaged_categories, packaged_names
from zipp_dagster.section import Section


class RedditSettings(Section):
    """What is read, under which key authors become pseudonyms, and which lists flag content."""

    operational: ClassVar[frozenset[str]] = frozenset(
        {
            "dumps_dir",
            "media_dir",
            "pseudonym_key",
            "pseudonym_key_file",
            "erasures_file",
            "sensitive_communities",
            "fetch_media",  # `media` alone depends on these: see its fingerprint
            "fetch",
            "max_image_mib",
            "max_image_megapixels",
        }
    )

    dumps_dir: Path | None = Field(
        None, description="Folder of RC_/RS_YYYY-MM.zst files; empty: the sample world's own dumps."
    )
    media_dir: Path | None = Field(
        None, description="Folder of the images that submissions point to; empty: no media."
    )
    fetch_media: bool = Field(
        False,
        description="Whether images are fetched from where posts point to, if media_dir is empty.",
    )
    fetch: FetchSettings = FetchSettings()
    pseudonym_key: SecretStr | None = Field(
        None,
        description="Secret (16 characters or more) that turns user names into pseudonyms; "
        "empty: a key file is generated outside the lake.",
    )
    pseudonym_key_file: Path | None = Field(
        None, description="Where the generated key is kept; empty: beside the lake, never in it."
    )
    erasures_file: Path | None = Field(
        None, description="JSON-lines file of tombstones; empty: beside the lake."
    )
    bots: tuple[str, ...] = Field(
        default_factory=lambda: packaged_names("bots.txt"),
        description="Account names (lower case) whose records are flagged as automatic.",
    )
    sensitive_communities: dict[str, str] = Field(
        default_factory=lambda: packaged_categories("sensitive_communities.txt"),
        description="Communities (lower case) and the category that makes each sensitive, such as "
        "health or politics: kept out of evidence unless allowed. The category adult also makes a "
        "community over-18.",
    )
    max_image_mib: int = Field(
        20, ge=1, le=512, description="Image files larger than this many MiB are refused."
    )
    max_image_megapixels: int = Field(
        50, ge=1, le=1000, description="Images with more million pixels than this are refused."
    )
