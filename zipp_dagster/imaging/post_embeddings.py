"""Image posts as embeddings, streamed: the pictures of all months never sit in memory at once.

What lives here: joining posts with their pictures, and averages by user. What does not: the image
encoder (`encoders`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32

from zipp_dagster.fanout import IN_LINE, ONE_CORE, FanOut, Need, own_errors
from zipp_dagster.progress import Progress, silent

BATCH_IMAGES = 512

SCHEMA = pa.schema(
    [
        ("post_id", pa.string()),
        ("user_id", pa.uint64()),
        ("subreddit", pa.string()),
        ("sha256", pa.string()),
        ("embedding", pa.list_(pa.float32())),
    ]
)


class ImageEmbedder(Protocol):
    """Encoded images in, unit vectors out."""

    def embed_images(self, images: Sequence[bytes]) -> Float32[np.ndarray, "images dim"]:
        """One row an image."""
        ...


def embed_posts(
    connection: duckdb.DuckDBPyConnection,
    post_files: Sequence[Path],
    media_files: Sequence[Path],
    opening: Callable[[], AbstractContextManager[ImageEmbedder]],
    out_file: Path,
    *,
    progress: Progress = silent,
    fan_out: FanOut = IN_LINE,
    need: Need = ONE_CORE,
) -> int:
    """Embed the picture of every post that has one; return the rows written, ordered by post.

    Args:
        connection: an open DuckDB connection.
        post_files: Parquet files of `image_posts`.
        media_files: Parquet files of `media`.
        opening: loads an encoder of any width; rows are float32.
        out_file: the Parquet file to write.
        progress: told images.
        fan_out: batches of images are its items.
        need: what an encoder keeps busy.

    Raises:
        ValueError: an embedding is not finite.
    """
    posts, media = [str(path) for path in post_files], [str(path) for path in media_files]
    source = (
        "FROM read_parquet($posts) AS p INNER JOIN read_parquet($media) AS m "
        "ON m.post_id = p.post_id AND m.sha256 = p.sha256"
    )
    files = {"posts": posts, "media": media}
    total = int(connection.execute(f"SELECT count(*) {source}", files).fetchall()[0][0])
    reader: Any = connection.execute(
        f"SELECT p.post_id, p.user_id, p.subreddit, p.sha256, m.image {source} ORDER BY p.post_id",
        files,
    ).to_arrow_reader(BATCH_IMAGES)
    rows = 0
    waiting: deque[pa.RecordBatch] = deque()

    def images() -> Iterator[list[bytes]]:
        for batch in reader:
            waiting.append(batch.drop_columns(["image"]))
            yield [bytes(value) for value in batch["image"].to_pylist()]

    with (
        own_errors(),
        pq.ParquetWriter(out_file, SCHEMA, compression="zstd", store_schema=False) as writer,
    ):
        for vectors in fan_out.stream(opening, embed_batch, images(), need=need):
            batch = waiting.popleft()
            if not np.isfinite(vectors).all():
                bad = batch["post_id"][int(np.argmax(~np.isfinite(vectors).all(axis=1)))]
                raise ValueError(f"the embedding of post {bad}'s image is not finite")
            columns = [batch[name] for name in SCHEMA.names[:-1]]
            embedded = pa.array(list(vectors), SCHEMA.field("embedding").type)
            writer.write_table(pa.table([*columns, embedded], schema=SCHEMA))
            rows += batch.num_rows
            progress(rows, total, "images")
    return rows


def embed_batch(
    encoder: ImageEmbedder, images: Sequence[bytes]
) -> Float32[np.ndarray, "images dim"]:
    """One batch, one row an image."""
    return np.asarray(encoder.embed_images(images), dtype=np.float32)


def average_by_user(
    connection: duckdb.DuckDBPyConnection, embedding_files: Sequence[Path], out_file: Path
) -> int:
    """Write user_id, images and the unit-length mean embedding; return the users."""
    files = [str(path) for path in embedding_files]
    target = str(out_file).replace("'", "''")
    written = connection.execute(
        f"""
        COPY (
            WITH parts AS (
                SELECT user_id, post_id, unnest(embedding) AS value,
                    generate_subscripts(embedding, 1) AS position
                FROM read_parquet($files)
            ),
            means AS (
                SELECT user_id, position, avg(value) AS value, count(*) AS images
                FROM parts GROUP BY user_id, position
            ),
            vectors AS (
                SELECT user_id, max(images) AS images, list(value ORDER BY position) AS mean,
                    sqrt(sum(value * value)) AS norm
                FROM means GROUP BY user_id
            )
            SELECT user_id, images,
                CAST(list_transform(mean, lambda x: x / greatest(norm, 1e-12)) AS FLOAT[]) AS embedding
            FROM vectors ORDER BY user_id
        ) TO '{target}' (FORMAT parquet, COMPRESSION zstd)
        """,
        {"files": files},
    ).fetchall()
    return int(written[0][0])
