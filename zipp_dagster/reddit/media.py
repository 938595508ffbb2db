"""The images behind image posts: taken from a folder, verified, hashed, stored as a table.

The bytes stay as they were found. A file that is no still image, too large or damaged is a
counted failure with a reason, never an exception and never a row.
"""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, UnidentifiedImageError

from zipp_dagster.progress import Progress, silent

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # decided by content, whatever the file is called
_FLUSH_BYTES = 32 * 1024 * 1024

MEDIA_SCHEMA = pa.schema(
    [
        ("post_id", pa.string()),
        ("media_key", pa.string()),
        ("sha256", pa.string()),
        ("dhash", pa.uint64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("image", pa.binary()),
    ]
)
FAILURES_SCHEMA = pa.schema(
    [("post_id", pa.string()), ("media_key", pa.string()), ("reason", pa.string())]
)


class MediaError(ValueError):
    """The media folder cannot be used."""


class UnusableImageError(ValueError):
    """A file is no image that can be kept; the message is the short reason that is counted."""


@dataclass
class MediaReport:
    """What became of the image posts: `posts = collected + failed`."""

    posts: int = 0
    collected: int = 0
    failed: int = 0
    distinct_images: int = 0
    image_bytes: int = 0
    failure_reasons: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """The report as plain values, for metadata."""
        return asdict(self)


@dataclass(frozen=True)
class ImageFacts:
    """Content hash, perceptual hash and size of an image."""

    sha256: str
    dhash: int
    width: int
    height: int


def difference_hash(image: Image.Image) -> int:
    """64-bit dHash: whether brightness rises from each cell to its right neighbour, 8 × 9 cells."""
    cells = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.LANCZOS))
    bits = (cells[:, 1:] > cells[:, :-1]).reshape(-1)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def inspect_image(data: bytes, max_pixels: int) -> ImageFacts:
    """Decodes an image completely and describes it.

    Raises:
        UnusableImageError: `not_an_image`, `too_many_pixels` or `damaged_image`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise UnusableImageError("too_many_pixels") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise UnusableImageError("not_an_image") from None
    with image:
        # The header's claim is checked before a single pixel is decoded.
        if image.width * image.height > max_pixels:
            raise UnusableImageError("too_many_pixels")
        try:
            image.load()
            fingerprint = difference_hash(image)
        except (OSError, ValueError, SyntaxError, EOFError):
            raise UnusableImageError("damaged_image") from None
        return ImageFacts(sha256(data).hexdigest(), fingerprint, image.width, image.height)


def collect_media(
    submission_parquets: Iterable[Path],
    media_dir: Path,
    out_dir: Path,
    progress: Progress = silent,
    *,
    max_bytes: int = 20 * 1024 * 1024,
    max_pixels: int = 50_000_000,
) -> MediaReport:
    """Writes `part-00000.parquet` (the media table) and `failures.parquet`.

    Bots' posts are left out, as nothing reads them.

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
    posts = sorted(_image_posts(submission_parquets))
    report = MediaReport(posts=len(posts))
    reasons: Counter[str] = Counter()
    hashes: set[str] = set()
    rows: list[tuple] = []
    failures: list[tuple[str, str, str]] = []
    waiting = 0
    with pq.ParquetWriter(
        out_dir / "part-00000.parquet", MEDIA_SCHEMA, compression="zstd", use_dictionary=False
    ) as writer:
        for done, (post_id, key) in enumerate(posts, 1):
            try:
                data = _read_image(media_dir, key, max_bytes)
                facts = inspect_image(data, max_pixels)
            except UnusableImageError as error:
                reasons[str(error)] += 1
                failures.append((post_id, key, str(error)))
            else:
                rows.append(
                    (post_id, key, facts.sha256, facts.dhash, facts.width, facts.height, data)
                )
                hashes.add(facts.sha256)
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
    report.distinct_images = len(hashes)
    report.failure_reasons = dict(sorted(reasons.items()))
    return report


def _image_posts(parquets: Iterable[Path]) -> Iterator[tuple[str, str]]:
    for path in parquets:
        table = pq.read_table(path, columns=["id", "media_key", "is_image", "is_bot"])
        for row in table.to_pylist():
            if row["is_image"] and not row["is_bot"] and row["media_key"] is not None:
                yield row["id"], row["media_key"]


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
