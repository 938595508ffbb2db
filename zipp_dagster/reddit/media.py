"""The images behind image posts, from a folder or fetched, stored as a table with their facts.

The bytes stay as they were found. What is no still image, too large or damaged is a counted
failure with a reason, never an exception and never a row. How images are fetched: `media_fetch`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from zipp_dagster.progress import Progress, silent
from zipp_dagster.reddit.image_facts import ImageFacts, UnusableImageError, inspect_image
from zipp_dagster.reddit.images import image_address
from zipp_dagster.reddit.media_cache import MediaCache, Result, may_pass
from zipp_dagster.reddit.media_fetch import Fetcher

SIMILAR_BITS = 3
"""Pictures whose difference hashes differ in at most so many of 64 bits are called similar."""

_FLUSH_BYTES = 32 * 1024 * 1024
_BANDS = 4  # with at most 3 differing bits, one of four bands of 16 is equal

MEDIA_SCHEMA = pa.schema(
    [
        ("post_id", pa.string()),
        ("media_key", pa.string()),
        ("sha256", pa.string()),
        ("dhash", pa.uint64()),
        ("duplicate_of", pa.string()),
        ("similar_to", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("image", pa.binary()),
    ]
)
FAILURES_SCHEMA = pa.schema(
    [("post_id", pa.string()), ("media_key", pa.string()), ("reason", pa.string())]
)


class MediaError(ValueError):
    """The media folder cannot be used, or too many images could not be fetched for now."""


class NothingNewError(Exception):
    """Of the images that failed for now, not one was there when they were asked for again."""


@dataclass
class MediaReport:
    """What became of the image posts: `posts = collected + failed`."""

    posts: int = 0
    collected: int = 0
    failed: int = 0
    distinct_images: int = 0
    similar_images: int = 0
    image_bytes: int = 0
    failure_reasons: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """The report as plain values, for metadata."""
        return asdict(self)


@dataclass(frozen=True)
class ImagePost:
    """A post and where its image is to be found."""

    post_id: str
    key: str
    url: str
    over_18: bool


Load = Callable[[ImagePost], tuple[ImageFacts, bytes]]


class Duplicates:
    """Finds earlier posts with the same or a similar picture; posts come in a fixed order."""

    def __init__(self) -> None:
        self._by_hash: dict[str, str] = {}
        self._bands: list[dict[int, list[tuple[int, str]]]] = [
            defaultdict(list) for _ in range(_BANDS)
        ]

    def place(self, post_id: str, facts: ImageFacts) -> tuple[str | None, str | None]:
        """The first post with the same bytes, and the first with a similar picture (None: neither)."""
        same = self._by_hash.setdefault(facts.sha256, post_id)
        if same != post_id:
            return same, same
        near = self._near(facts.dhash)
        if near is None:  # only what is unlike all before is compared with: lists stay short
            for band, part in enumerate(_parts(facts.dhash)):
                self._bands[band][part].append((facts.dhash, post_id))
        return None, near

    @property
    def distinct(self) -> int:
        """How many different contents there were."""
        return len(self._by_hash)

    def _near(self, dhash: int) -> str | None:
        for band, part in enumerate(_parts(dhash)):
            for other, post_id in self._bands[band].get(part, ()):
                if (dhash ^ other).bit_count() <= SIMILAR_BITS:
                    return post_id
        return None


def _parts(dhash: int) -> list[int]:
    return [dhash >> (16 * band) & 0xFFFF for band in range(_BANDS)]


def image_posts(submission_parquets: Iterable[Path]) -> Iterator[ImagePost]:
    """The image posts of a submissions table; bots' posts are left out, as nothing reads them."""
    for path in submission_parquets:
        columns = ["id", "media_key", "is_image", "is_bot", "url", "over_18"]
        for row in pq.read_table(path, columns=columns).to_pylist():
            if row["is_image"] and not row["is_bot"] and row["media_key"] is not None:
                yield ImagePost(row["id"], row["media_key"], row["url"] or "", row["over_18"])


def collect_media(
    submission_parquets: Iterable[Path],
    media_dir: Path,
    out_dir: Path,
    progress: Progress = silent,
    *,
    max_bytes: int = 20 * 1024 * 1024,
    max_pixels: int = 50_000_000,
) -> MediaReport:
    """Writes `part-00000.parquet` (the media table) and `failures.parquet` from a folder.

    Args:
        submission_parquets: part files of the submissions table.
        media_dir: flat folder with one file a `media_key`.
        out_dir: an existing, empty directory.
        progress: gets image posts.
        max_bytes: larger files fail as `too_large`.
        max_pixels: larger images fail as `too_many_pixels`.

    Raises:
        MediaError: the folder does not exist.
    """
    if not media_dir.is_dir():
        raise MediaError(f"media folder {media_dir} does not exist; set reddit.media_dir")

    def load(post: ImagePost) -> tuple[ImageFacts, bytes]:
        data = _read_image(media_dir, post.key, max_bytes)
        return inspect_image(data, max_pixels), data

    return _write(sorted(image_posts(submission_parquets), key=_order), load, out_dir, progress)


def fetch_media(
    submission_parquets: Iterable[Path],
    fetcher: Fetcher,
    cache: MediaCache,
    out_dir: Path,
    progress: Progress = silent,
    *,
    over_18: bool = False,
    most_unreachable: float = 0.1,
    failed_before: Path | None = None,
) -> MediaReport:
    """The same tables, their images fetched from where the posts point to.

    Deleted and erased posts are not in the submissions; those for adults are asked for only with
    `over_18`, and fail as `over_18` otherwise.

    With `failed_before`, the `failures.parquet` of these very posts, what may have passed since is
    asked for first, and the rest only if some of it has.

    Raises:
        NothingNewError: with `failed_before`, if none of it has passed.
        MediaError: a larger share than `most_unreachable` failed for now. What was fetched is in
            the cache: repeat the run.
    """
    posts = sorted(image_posts(submission_parquets), key=_order)
    wanted = {
        post.post_id: image_address(post.url, post.key)
        for post in posts
        if over_18 or not post.over_18
    }
    results: dict[str, Result] = {}
    if failed_before is not None:
        rows = pq.read_table(failed_before, columns=["post_id", "reason"]).to_pylist()
        passing = {row["post_id"] for row in rows if may_pass(row["reason"])}
        results = fetcher.fetch([url for post, url in wanted.items() if post in passing], progress)
        if all(result.facts is None for result in results.values()):
            raise NothingNewError(f"{len(results)} images that failed for now failed again")
    results |= fetcher.fetch([url for url in wanted.values() if url not in results], progress)
    waiting = [r.reason for r in results.values() if r.facts is None and not r.permanent]
    if len(waiting) > most_unreachable * len(results):
        reasons = ", ".join(f"{n} {reason}" for reason, n in Counter(waiting).most_common(3))
        raise MediaError(
            f"{len(waiting)} of {len(results)} images could not be fetched for now ({reasons}). What was "
            "fetched is kept: run again when the network answers, or raise "
            "reddit.fetch.most_unreachable"
        )

    def load(post: ImagePost) -> tuple[ImageFacts, bytes]:
        if post.post_id not in wanted:
            raise UnusableImageError("over_18")
        result = results[wanted[post.post_id]]
        if result.facts is None:
            raise UnusableImageError(result.reason)
        return result.facts, cache.read(result.facts)

    return _write(posts, load, out_dir, silent)


def cached_addresses(submission_parquets: Iterable[Path]) -> Iterator[str]:
    """The addresses that some submissions' images are fetched from: what a cache may keep."""
    for post in image_posts(submission_parquets):
        yield image_address(post.url, post.key)


def _order(post: ImagePost) -> tuple[str, str]:
    return post.post_id, post.key


def _write(
    posts: Sequence[ImagePost], load: Load, out_dir: Path, progress: Progress
) -> MediaReport:
    """Writes both tables, one row group of bounded size after another."""
    report = MediaReport(posts=len(posts))
    reasons: Counter[str] = Counter()
    duplicates = Duplicates()
    rows: list[tuple] = []
    failures: list[tuple[str, str, str]] = []
    waiting = 0
    with pq.ParquetWriter(
        out_dir / "part-00000.parquet", MEDIA_SCHEMA, compression="zstd", use_dictionary=False
    ) as writer:
        for done, post in enumerate(posts, 1):
            try:
                facts, data = load(post)
            except UnusableImageError as error:
                reasons[str(error)] += 1
                failures.append((post.post_id, post.key, str(error)))
            else:
                same, near = duplicates.place(post.post_id, facts)
                report.similar_images += near is not None and same is None
                hashes = (facts.sha256, facts.dhash, same, near, facts.width, facts.height)
                rows.append((post.post_id, post.key, *hashes, data))
                report.image_bytes += len(data)
                waiting += len(data)
            if waiting >= _FLUSH_BYTES:
                writer.write_table(_table(rows, MEDIA_SCHEMA))
                rows, waiting = [], 0
            progress(done, len(posts), "images")
        writer.write_table(_table(rows, MEDIA_SCHEMA))
    pq.write_table(
        _table(failures, FAILURES_SCHEMA), out_dir / "failures.parquet", compression="zstd"
    )
    report.failed, report.collected = len(failures), len(posts) - len(failures)
    report.distinct_images = duplicates.distinct
    report.failure_reasons = dict(sorted(reasons.items()))
    return report


def _read_image(media_dir: Path, key: str, max_bytes: int) -> bytes:
    path = media_dir / key
    # The key comes from a stranger's url: it may name a file of this folder and nothing else.
    if Path(key).name != key or key.startswith(".") or path.is_symlink():
        raise UnusableImageError("unsafe_name")
    if not path.is_file():
        raise UnusableImageError("missing")
    if path.stat().st_size > max_bytes:
        raise UnusableImageError("too_large")
    return path.read_bytes()


def _table(rows: list[tuple], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows)) if rows else [()] * len(schema)
    return pa.table(
        [pa.array(column, kind.type) for column, kind in zip(columns, schema)], schema=schema
    )
