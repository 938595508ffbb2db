"""Images as files: PNG bytes with provenance, batches of a running job, Parquet shards of a result.

Shards hold one method each (never one user): `part-METHOD-NNNNN.parquet`, in row groups of so many bytes,
so that a reader holds some pictures and not a shard. No model is loaded here.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from zipp_dagster.imaging.stored_images import StoredImages

TABLE = pa.schema(
    [
        pa.field("case_id", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("request_key", pa.string(), nullable=False),
        pa.field("truncated", pa.bool_(), nullable=False),
        pa.field("image", pa.binary(), nullable=False),
    ]
)
_SCRATCH = pa.schema([pa.field("request_key", pa.string()), pa.field("image", pa.binary())])
ROW_GROUP_BYTES = 32 << 20
"""Pictures of a row group together, at least: 512 small ones are one group, of 1,024 pixels 23."""
_TEXTS = ["case_id", "method", "prompt", "request_key"]
_SLICE = 16
"""Rows of a shard that are fetched at once."""


@dataclass(frozen=True)
class ImageRequest:
    """One image that somebody needs: which case and method, what prompt, which seed."""

    case_id: str
    method: str
    prompt: str
    seed: int


def encode_png(pixels: np.ndarray, provenance: Mapping[str, str] | None = None) -> bytes:
    """Lossless PNG bytes; the provenance becomes text chunks (never pass user text)."""
    info = PngInfo()
    for key, value in (provenance or {}).items():
        info.add_text(f"zipp:{key}", value)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def save_batch(images: Mapping[str, bytes], scratch: Path) -> Path:
    """Writes one finished batch (request key to image) under a name of its own, atomically."""
    path = scratch / f"{next(iter(images))}.parquet"
    temporary = path.with_suffix(".partial")
    columns = {"request_key": list(images), "image": list(images.values())}
    pq.write_table(pa.table(columns, schema=_SCRATCH), temporary, compression="zstd")
    temporary.replace(path)
    return path


def locate(files: Sequence[Path], wanted: Collection[str]) -> dict[str, Path]:
    """Which file holds which of the wanted keys."""
    found: dict[str, Path] = {}
    for path in files:
        for key in pq.read_table(path, columns=["request_key"])["request_key"].to_pylist():
            if key in wanted:
                found[key] = path
    return found


def write_shards(
    requests: Sequence[ImageRequest],
    keys: Sequence[str],
    places: Mapping[str, Path],
    cut: Mapping[str, bool],
    out_dir: Path,
    shard_size: int,
) -> list[Path]:
    """Writes the rows of all requests, method by method, up to `shard_size` rows a file.

    `places` says which file holds a key's image, `cut` whether a prompt was truncated. Without any
    request one empty file says so.
    """
    methods: dict[str, list[int]] = {}
    for position, request in enumerate(requests):
        methods.setdefault(request.method, []).append(position)
    shards = []
    for method, rows in methods.items():
        name = re.sub(r"[^A-Za-z0-9_]+", "-", method)
        for number, start in enumerate(range(0, len(rows), shard_size)):
            part = rows[start : start + shard_size]
            path = out_dir / f"part-{name}-{number:05d}.parquet"
            if path in shards:
                raise ValueError(f"two methods share the file name {path.name}: rename {method!r}")
            _write_shard(path, [requests[i] for i in part], [keys[i] for i in part], places, cut)
            shards.append(path)
    if not shards:
        shards = [out_dir / "part-none-00000.parquet"]
        _write_shard(shards[0], [], [], places, cut)
    return shards


def _write_shard(
    path: Path,
    requests: Sequence[ImageRequest],
    keys: Sequence[str],
    places: Mapping[str, Path],
    cut: Mapping[str, bool],
) -> None:
    wanted = set(keys)
    stored = StoredImages(sorted({places[key] for key in wanted}), ["request_key"], wanted)
    with pq.ParquetWriter(path, TABLE, compression="zstd", use_dictionary=_TEXTS) as writer:
        rows: list[dict[str, object]] = []
        waiting = 0
        for start in range(0, len(requests), _SLICE):
            some = keys[start : start + _SLICE]
            for request, key, image in zip(
                requests[start : start + _SLICE], some, stored.several(some), strict=True
            ):
                rows.append(
                    {
                        "case_id": request.case_id,
                        "method": request.method,
                        "prompt": request.prompt,
                        "seed": request.seed,
                        "request_key": key,
                        "truncated": cut[request.prompt],
                        "image": image,
                    }
                )
                waiting += len(image)
            if waiting >= ROW_GROUP_BYTES:
                writer.write_table(pa.Table.from_pylist(rows, schema=TABLE))
                rows, waiting = [], 0
        if rows or not requests:
            writer.write_table(pa.Table.from_pylist(rows, schema=TABLE))
