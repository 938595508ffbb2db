"""The image posts: whose prompt, which picture, where and when; and the media folder.

A title is its author's own prompt, a caption of the very factors that the picture is drawn from.
Factors follow `Person.tastes`; the community follows `Person.shown`, so that in the null world
not even the place of a post tells its style. Text posts are in `journal.py`.
"""

from __future__ import annotations

import hashlib
import io
import string
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from zipp_dagster.progress import Progress, silent
from zipp_dagster.sampleworld.activity import Month, Volume, event_times, only
from zipp_dagster.sampleworld.captions import caption
from zipp_dagster.sampleworld.communities import Community
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.people import STYLE_VALUES, Person, stream
from zipp_dagster.sampleworld.render import render
from zipp_dagster.sampleworld.vocabulary import SUBJECT_CONTEXTS, SUBJECTS, Factors

# Where a post goes if its community is not one of its context: to a style or an adult community.
_TO_STYLE, _TO_ADULT = 0.15, 0.05
_KEY_LETTERS = string.digits + string.ascii_lowercase


@dataclass(frozen=True)
class ImagePost:
    """One image submission before it has an id. `seed` draws the picture; truth keeps it."""

    person: int
    community: int
    created: int
    factors: Factors
    on_taste: bool
    title: str
    seed: int
    media_key: str
    url: str
    has_media: bool


def plan_image_posts(
    settings: WorldSettings,
    people: list[Person],
    communities: list[Community],
    memberships: list[dict[int, float]],
    volume: Volume,
    months: list[Month],
) -> list[ImagePost]:
    """All image posts, by person and time."""
    posts: list[ImagePost] = []
    keys: set[str] = set()
    for person in people:
        rng = stream(settings.seed, "image_posts", person.index)
        count = int(volume.image_posts[person.index])
        for created in event_times(months, count, rng):
            subject = _subject(person, rng)
            context = SUBJECT_CONTEXTS[subject]
            factors, on_taste = _factors(person, subject, settings.on_taste, rng)
            community = _community(person, context, communities, memberships[person.index], rng)
            title = caption(factors, rng)
            has_media = bool(rng.random() >= settings.missing_media_share)
            elsewhere = bool(rng.random() < 0.5)
            key = _key(rng, keys, 13)
            name = f"{key}.{settings.media_format}"
            url = f"https://i.redd.it/{name}"
            if not has_media and elsewhere:
                url = f"https://i.imgur.com/{key[:7]}.jpg"
            posts.append(
                ImagePost(
                    person=person.index,
                    community=community,
                    created=created,
                    factors=factors,
                    on_taste=on_taste,
                    title=title,
                    seed=int(rng.integers(2**62)),
                    media_key=url.rsplit("/", 1)[1],
                    url=url,
                    has_media=has_media,
                )
            )
    return posts


def write_media(
    posts: list[ImagePost], settings: WorldSettings, folder: Path, progress: Progress = silent
) -> int:
    """Draws the picture of every post that has one into `folder`; returns their bytes.

    Raises ValueError if two posts give the same bytes: they would count as one picture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seen: dict[str, str] = {}
    total = 0
    wanted = [post for post in posts if post.has_media]
    for done, post in enumerate(wanted, start=1):
        image = Image.fromarray(render(post.factors, post.seed, settings.image_size))
        buffer = io.BytesIO()
        if settings.media_format == "png":
            image.save(buffer, format="PNG", compress_level=6)
        else:
            image.save(buffer, format="JPEG", quality=92, subsampling=0)
        content = buffer.getvalue()
        digest = hashlib.sha256(content).hexdigest()
        if digest in seen:
            raise ValueError(
                f"pictures {seen[digest]} and {post.media_key} are the same bytes:"
                f" change world.seed ({settings.seed}) or raise world.image_size"
            )
        seen[digest] = post.media_key
        (folder / post.media_key).write_bytes(content)
        total += len(content)
        if done % 500 == 0 or done == len(wanted):
            progress(done, len(wanted), "pictures")
    return total


def _subject(person: Person, rng: np.random.Generator) -> str:
    weights = np.array(
        [
            person.subject_interest[s] * person.context_interest[SUBJECT_CONTEXTS[s]]
            for s in SUBJECTS
        ]
    )
    chosen = np.searchsorted(np.cumsum(weights), rng.random() * weights.sum(), side="right")
    return list(SUBJECTS)[int(chosen)]


def _factors(
    person: Person, subject: str, fidelity: float, rng: np.random.Generator
) -> tuple[Factors, bool]:
    """Their taste for this subject's context, or, off taste, any style at all."""
    taste = person.tastes[SUBJECT_CONTEXTS[subject]]
    on_taste = bool(rng.random() < fidelity)
    other = {name: values[int(rng.integers(len(values)))] for name, values in STYLE_VALUES.items()}
    chosen = {name: getattr(taste, name) for name in STYLE_VALUES} if on_taste else other
    return Factors(subject=subject, **chosen), on_taste


def _community(
    person: Person,
    context: str,
    communities: list[Community],
    shares: dict[int, float],
    rng: np.random.Generator,
) -> int:
    where, which = rng.random(), rng.random()
    taste = person.shown[context]
    of_context = [c for c in communities if c.kind == "context" and c.topic == context]
    options = only(shares, of_context)
    style = only(
        shares,
        [c for c in communities if c.kind == "style" and getattr(taste, str(c.factor)) == c.value],
    )
    adult = only(shares, [c for c in communities if c.kind == "adult"])
    if where < _TO_STYLE and style:
        options = style
    elif where > 1 - _TO_ADULT and adult:
        options = adult
    if not options:
        total = sum(c.popularity for c in of_context)
        options = {c.index: c.popularity / total for c in of_context}
    cumulative = np.cumsum(list(options.values()))
    position = int(np.searchsorted(cumulative, which * cumulative[-1], side="right"))
    return list(options)[min(position, len(options) - 1)]


def _key(rng: np.random.Generator, taken: set[str], length: int) -> str:
    while True:
        key = "".join(_KEY_LETTERS[int(i)] for i in rng.integers(36, size=length))
        if key[:7] not in taken:
            taken.add(key[:7])
            return key
