"""Drawing images: content-addressed, batched, resumable.

A request is a prompt and a seed; its key also covers the model and the sampler settings, and each
key is drawn once. Finished batches go to a scratch directory at once, so that a killed run loses
one batch. Loading models is in `pipelines.py`; judging images is in `judge.py` and `encoders.py`.
"""

# ruff: noqa: TID253  (torch: this module's subject)
from __future__ import annotations

import contextlib
import hashlib
import io
import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.pipelines import LoadedPipeline, effective_dtype, is_truncated
from zipp_dagster.progress import Progress, silent

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


@dataclass(frozen=True)
class ImageRequest:
    """One image that somebody needs: which case and method, what prompt, which seed."""

    case_id: str
    method: str
    prompt: str
    seed: int


@dataclass
class GenerationSummary:
    """What a call of `generate` did; `files` hold the rows in the order of the requests."""

    requests: int
    distinct: int
    drawn: int
    resumed: int
    reused: int
    truncated: int
    seconds: float
    files: list[Path] = field(default_factory=list)


def request_key(model_version: str, prompt: str, seed: int, settings: ImagingSettings) -> str:
    """SHA-256 of everything that decides an image's bytes, as 64 hex digits."""
    parts = {
        "model": model_version,
        "prompt": prompt,
        "seed": seed,
        "steps": settings.steps,
        "guidance": settings.guidance,
        "guidance_rescale": settings.guidance_rescale,
        "scheduler": settings.scheduler,
        "size": settings.image_size,
        "dtype": effective_dtype(settings),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def draw(
    loaded: LoadedPipeline, prompts: Sequence[str], seeds: Sequence[int], settings: ImagingSettings
) -> np.ndarray:
    """One batch of images, uint8 [n, size, size, 3].

    Every image has a generator of its own, so that it does not depend on its batch beyond the
    rounding of matrix products.
    """
    known = loaded.arguments()
    options = {
        "num_inference_steps": settings.steps,
        "guidance_scale": settings.guidance,
        "height": settings.image_size,
        "width": settings.image_size,
        "output_type": "np",
    }
    if "guidance_rescale" in known:
        options["guidance_rescale"] = settings.guidance_rescale
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    precision: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    if loaded.autocast is not None:
        precision = torch.autocast("cpu", loaded.autocast)
    with torch.no_grad(), precision:
        out = loaded.pipeline(prompt=list(prompts), generator=generators, **options).images
    pixels = np.asarray(out, dtype=np.float32)
    if not np.isfinite(pixels).all():
        raise FloatingPointError(
            f"{loaded.source} drew values that are not numbers; set imaging.dtype=float32"
        )
    return np.round(pixels * 255).clip(0, 255).astype(np.uint8)


def encode_png(pixels: np.ndarray, provenance: Mapping[str, str] | None = None) -> bytes:
    """Lossless PNG bytes; the provenance becomes text chunks (never pass user text)."""
    info = PngInfo()
    for key, value in (provenance or {}).items():
        info.add_text(f"zipp:{key}", value)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def generate(
    requests: Sequence[ImageRequest],
    loaded: LoadedPipeline,
    settings: ImagingSettings,
    out_dir: Path,
    scratch: Path,
    progress: Progress = silent,
    existing: Sequence[Path] = (),
) -> GenerationSummary:
    """Draws what is missing and writes `part-*.parquet` (schema `TABLE`) under `out_dir`.

    `existing` are earlier Parquet files with `request_key` and `image`: their images are reused.
    `scratch` outlives a killed run; images found there are not drawn again. Delete it once the
    output is published.
    """
    started = time.perf_counter()
    keys = [request_key(loaded.version, r.prompt, r.seed, settings) for r in requests]
    distinct = dict(zip(keys, requests, strict=True))
    scratch.mkdir(parents=True, exist_ok=True)
    out_dir.mkdir(parents=True, exist_ok=True)
    places = _locate(sorted(scratch.glob("*.parquet")), distinct.keys())
    resumed = len(places)
    reusable = _locate(existing, distinct.keys() - places.keys())
    places.update(reusable)
    missing = [(key, request) for key, request in distinct.items() if key not in places]
    # Similar lengths need no sorting (captions are padded), so the order is that of the requests.
    for files in _draw_missing(missing, loaded, settings, scratch, progress):
        places.update(files)
    cut = {r.prompt: is_truncated(loaded.pipeline, r.prompt) for r in distinct.values()}
    shards = []
    for start in range(0, max(len(requests), 1), settings.shard_size):
        path = out_dir / f"part-{start // settings.shard_size:05d}.parquet"
        stop = start + settings.shard_size
        _write_shard(path, requests[start:stop], keys[start:stop], places, cut)
        shards.append(path)
    return GenerationSummary(
        requests=len(requests),
        distinct=len(distinct),
        drawn=len(missing),
        resumed=resumed,
        reused=len(reusable),
        truncated=sum(cut[r.prompt] for r in requests),
        seconds=time.perf_counter() - started,
        files=shards,
    )


def _locate(files: Sequence[Path], wanted: Collection[str]) -> dict[str, Path]:
    """Which file holds which of the wanted keys."""
    found: dict[str, Path] = {}
    for path in files:
        for key in pq.read_table(path, columns=["request_key"])["request_key"].to_pylist():
            if key in wanted:
                found[key] = path
    return found


def _draw_missing(
    missing: Sequence[tuple[str, ImageRequest]],
    loaded: LoadedPipeline,
    settings: ImagingSettings,
    scratch: Path,
    progress: Progress,
) -> Iterator[dict[str, Path]]:
    """Draws batch by batch; each finished batch is a file of its own in the scratch directory."""
    size, done = settings.batch_size, 0
    while done < len(missing):
        batch = missing[done : done + size]
        try:
            images = draw(
                loaded, [r.prompt for _, r in batch], [r.seed for _, r in batch], settings
            )
        except (torch.OutOfMemoryError, MemoryError) as error:
            if size == 1:
                raise MemoryError(
                    "one image does not fit: set imaging.offload or a dtype"
                ) from error
            size = max(1, size // 2)
            torch.cuda.empty_cache()
            continue
        rows = {
            "request_key": [key for key, _ in batch],
            "image": [
                encode_png(
                    pixels,
                    {
                        "model": loaded.version,
                        "prompt_sha256": hashlib.sha256(request.prompt.encode()).hexdigest(),
                        "seed": str(request.seed),
                    },
                )
                for pixels, (_, request) in zip(images, batch, strict=True)
            ],
        }
        path = scratch / f"{batch[0][0]}.parquet"
        temporary = path.with_suffix(".partial")
        pq.write_table(pa.table(rows, schema=_SCRATCH), temporary, compression="zstd")
        temporary.replace(path)
        done += len(batch)
        progress(done, len(missing), "images")
        yield {key: path for key, _ in batch}


def _write_shard(
    path: Path,
    requests: Sequence[ImageRequest],
    keys: Sequence[str],
    places: Mapping[str, Path],
    cut: Mapping[str, bool],
) -> None:
    images: dict[str, bytes] = {}
    wanted = set(keys)
    for file in sorted({places[key] for key in wanted}):
        table = pq.read_table(file, columns=["request_key", "image"])
        pairs = zip(table["request_key"].to_pylist(), table["image"].to_pylist(), strict=True)
        images.update((key, image) for key, image in pairs if key in wanted)
    columns = {
        "case_id": [r.case_id for r in requests],
        "method": [r.method for r in requests],
        "prompt": [r.prompt for r in requests],
        "seed": [r.seed for r in requests],
        "request_key": list(keys),
        "truncated": [cut[r.prompt] for r in requests],
        "image": [images[key] for key in keys],
    }
    pq.write_table(pa.table(columns, schema=TABLE), path, compression="zstd")
