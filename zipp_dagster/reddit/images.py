"""Which submissions are image posts, and under what file name their image is known.

Only stills count: animations, videos, albums and galleries are other kinds of posts.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from zipp_dagster.reddit.records import Submission

IMAGE_HOSTS = frozenset(
    {
        "i.redd.it",
        "preview.redd.it",
        "external-preview.redd.it",
        "i.reddituploads.com",
        "i.imgur.com",
    }
)
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
MOVING_SUFFIXES = (".gif", ".gifv", ".mp4", ".webm", ".mov")

_SAFE_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_IMGUR_PAGE = re.compile(r"[A-Za-z0-9]{5,8}")
# Most submissions point to a host without images: they are sorted out before any parsing.
_WORTH_A_LOOK = re.compile(r"imgur\.com|redd\.it|reddituploads|\.(?:jpe?g|png|webp|bmp)\b", re.I)


def image_url(submission: Submission) -> str | None:
    """The url that a submission points to, with the entities of old dumps resolved."""
    url = submission.url or submission.url_overridden_by_dest
    return url.replace("&amp;", "&") if url else None


def media_key(submission: Submission) -> str | None:
    """File name of the image behind an image post (`abc123.png`); None for any other post."""
    if submission.is_self:
        return None
    return key_of_url(image_url(submission), submission.post_hint)


def key_of_url(url: str | None, post_hint: str | None) -> str | None:
    """File name of the image that a post links to; None where it is no image post.

    A post is an image post by its host (`i.redd.it`, `i.imgur.com`, …), by the suffix of its url,
    by an imgur page of one image (its key gets `.jpg`), or by Reddit's own `post_hint`.
    """
    if url is None:
        return None
    hinted = post_hint == "image"
    if not hinted and not _WORTH_A_LOOK.search(url):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    host, path = (parts.hostname or "").removeprefix("www."), parts.path.rstrip("/")
    key = path.rsplit("/", 1)[-1]
    lower = key.lower()
    if not _SAFE_KEY.fullmatch(key) or lower.endswith(MOVING_SUFFIXES):
        return None
    if host in ("imgur.com", "m.imgur.com") and path.count("/") == 1 and "." not in key:
        return f"{key}.jpg" if _IMGUR_PAGE.fullmatch(key) else None
    if hinted or host in IMAGE_HOSTS or lower.endswith(IMAGE_SUFFIXES):
        return key
    return None


def image_address(url: str, key: str) -> str:
    """Where the image of an image post is fetched: https, and the file itself for an imgur page.

    Anything that cannot be parsed is returned as it is, for the fetcher to refuse.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    host = (parts.hostname or "").lower().removeprefix("www.")
    if host in ("imgur.com", "m.imgur.com"):
        return f"https://i.imgur.com/{key}"
    scheme = "https" if parts.scheme in ("http", "") else parts.scheme
    return urlunsplit((scheme, parts.netloc, parts.path, parts.query, ""))
