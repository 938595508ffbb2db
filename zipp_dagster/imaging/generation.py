"""Drawing images: content-addressed, batched, resumable.

A request is a prompt and a seed; its key also covers the model and the sampler settings, and each
key is drawn once. Finished batches go to a scratch directory at once, so that a killed run loses
at most the batch that it was drawing. Files of results are in `image_files.py`, loading models in
`pipelines.py`, judging images in `judge.py` and `encoders.py`.
"""

# ruff: noqa: TID253  (torch: this module's subject)
from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from zipp_dagster.fanout import FanOut, Need, own_errors
from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.guidance import GuidanceRest
from zipp_dagster.imaging.image_files import (
    ImageRequest,
    encode_png,
    locate,
    save_batch,
    write_shards,
)
from zipp_dagster.imaging.lanes import in_lanes, lane_count
from zipp_dagster.imaging.pipelines import LoadedPipeline, effective_dtype, is_truncated
from zipp_dagster.progress import Progress, silent

Part = TypeVar("Part")


@dataclass
class GenerationSummary:
    """What a call of `generate` did; `files` hold the rows, method by method."""

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
        "guidance_rest": settings.guidance_rest,
        "scheduler": settings.scheduler,
        "scheduler_options": settings.scheduler_options,
        "size": settings.image_size,
        "dtype": effective_dtype(settings),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def draw(
    loaded: LoadedPipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: ImagingSettings,
    conditioning: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """One batch of images, uint8 [n, size, size, 3].

    Every image has a generator of its own, so that it does not depend on its batch beyond the
    rounding of matrix products. `conditioning` (a pipeline's arguments, such as states of a text
    encoder) takes the place of the prompts' own.
    """
    known = loaded.arguments()
    options: dict[str, Any] = {
        "num_inference_steps": settings.steps,
        "guidance_scale": settings.guidance,
        "height": settings.image_size,
        "width": settings.image_size,
        "output_type": "np",
    }
    if "guidance_rescale" in known:
        options["guidance_rescale"] = settings.guidance_rescale
    start, end = settings.guidance_rest
    if start < end and "callback_on_step_end" in known:
        rest = GuidanceRest(loaded.pipeline, start, end)
        options |= {
            "callback_on_step_end": rest,
            "callback_on_step_end_tensor_inputs": rest.tensor_inputs,
        }
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    with torch.no_grad(), loaded.precision():
        given = {"prompt": list(prompts)} if conditioning is None else dict(conditioning)
        out = loaded.pipeline(**given, generator=generators, **options).images
    pixels = np.asarray(out, dtype=np.float32)
    if not np.isfinite(pixels).all():
        raise FloatingPointError(
            f"{loaded.source} drew values that are not numbers; set imaging.dtype=float32"
        )
    return np.round(pixels * 255).clip(0, 255).astype(np.uint8)


def generate(
    requests: Sequence[ImageRequest],
    loaded: LoadedPipeline,
    settings: ImagingSettings,
    out_dir: Path,
    scratch: Path,
    progress: Progress = silent,
    existing: Sequence[Path] = (),
    elsewhere: Elsewhere | None = None,
) -> GenerationSummary:
    """Draws what is missing and writes `part-METHOD-NNNNN.parquet` (schema `TABLE`) to `out_dir`.

    `existing` are earlier Parquet files with `request_key` and `image`: their images are reused.
    `scratch` outlives a killed run; images found there are not drawn again. Delete it once the
    output is published. With `elsewhere`, other processes draw, each with a pipeline of its own;
    `loaded` then only says which model it is.
    """
    started = time.perf_counter()
    keys = [request_key(loaded.version, r.prompt, r.seed, settings) for r in requests]
    distinct = dict(zip(keys, requests, strict=True))
    scratch.mkdir(parents=True, exist_ok=True)
    out_dir.mkdir(parents=True, exist_ok=True)
    places = locate(sorted(scratch.glob("*.parquet")), distinct.keys())
    resumed = len(places)
    reusable = locate(existing, distinct.keys() - places.keys())
    places.update(reusable)
    missing = [(key, request) for key, request in distinct.items() if key not in places]
    # Similar lengths need no sorting (captions are padded), so the order is that of the requests.
    for files in _draw_missing(missing, loaded, settings, scratch, progress, elsewhere):
        places.update(files)
    cut = {r.prompt: is_truncated(loaded.pipeline, r.prompt) for r in distinct.values()}
    return GenerationSummary(
        requests=len(requests),
        distinct=len(distinct),
        drawn=len(missing),
        resumed=resumed,
        reused=len(reusable),
        truncated=sum(cut[r.prompt] for r in requests),
        seconds=time.perf_counter() - started,
        files=write_shards(requests, keys, places, cut, out_dir, settings.shard_size),
    )


def _draw_missing(
    missing: Sequence[tuple[str, ImageRequest]],
    loaded: LoadedPipeline,
    settings: ImagingSettings,
    scratch: Path,
    progress: Progress,
    elsewhere: Elsewhere | None,
) -> Iterator[dict[str, Path]]:
    """Draws batch by batch; each finished batch is a file of its own in the scratch directory."""
    size = settings.batch_size
    batches = [missing[at : at + size] for at in range(0, len(missing), size)]
    results: Iterator[dict[str, Path]]
    if elsewhere is not None:
        items = ((tuple(batch), settings, scratch) for batch in batches)
        opening = partial(_opened, elsewhere.load, size)
        results = elsewhere.fan_out.stream(opening, draw_elsewhere, items, need=elsewhere.need)
    else:
        fits = Fits(size)
        results = in_lanes(
            loaded,
            lane_count(loaded, settings),
            batches,
            lambda lane, batch: draw_batch(lane, fits, batch, settings, scratch),
        )
    done = 0
    with own_errors():
        for places in results:
            done += len(places)
            progress(done, len(missing), "images")
            yield places


Batch = Sequence[tuple[str, ImageRequest]]
"""Requests with their keys."""


@dataclass(frozen=True)
class Elsewhere:
    """An engine whose processes load the pipeline themselves, and what one keeps busy there."""

    fan_out: FanOut
    load: Callable[[], LoadedPipeline]
    need: Need


@contextlib.contextmanager
def _opened(load: Callable[[], LoadedPipeline], size: int) -> Iterator[tuple[LoadedPipeline, Fits]]:
    yield load(), Fits(size)


def draw_elsewhere(
    state: tuple[LoadedPipeline, Fits], item: tuple[Batch, ImagingSettings, Path]
) -> dict[str, Path]:
    """`draw_batch` as a mapped function."""
    (lane, fits), (batch, settings, scratch) = state, item
    return draw_batch(lane, fits, batch, settings, scratch)


def draw_batch(
    lane: LoadedPipeline, fits: Fits, batch: Batch, settings: ImagingSettings, scratch: Path
) -> dict[str, Path]:
    """Draws a batch, in parts where it does not fit; returns the file of each key."""

    def drawn(rows: slice) -> np.ndarray:
        part = batch[rows]
        return draw(lane, [r.prompt for _, r in part], [r.seed for _, r in part], settings)

    places: dict[str, Path] = {}
    for rows, images in fits.in_parts(len(batch), drawn):
        pictures = {
            key: encode_png(pixels, _provenance(lane, request, key, settings))
            for pixels, (key, request) in zip(images, batch[rows], strict=True)
        }
        places.update(dict.fromkeys(pictures, save_batch(pictures, scratch)))
    return places


@dataclass
class Fits:
    """How many images fit into memory at once, as far as is known."""

    images: int

    def in_parts(self, count: int, work: Callable[[slice], Part]) -> Iterator[tuple[slice, Part]]:
        """`work` on `count` rows, as many at once as fit; MemoryError where one row does not."""
        done = 0
        while done < count:
            rows = slice(done, min(done + self.images, count))
            try:
                part = work(rows)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                self.less_than(rows.stop - rows.start, error)
                continue
            done = rows.stop
            yield rows, part

    def less_than(self, tried: int, error: BaseException) -> None:
        """Halves the number; MemoryError where one image was too many."""
        if tried == 1:
            raise MemoryError(
                "one image does not fit into memory: set imaging.offload, imaging.attention="
                "sliced, a smaller imaging.image_size or a shorter imaging.dtype"
            ) from error
        self.images = max(1, min(self.images, tried) // 2)
        free_memory()


def free_memory() -> None:
    """Gives back what PyTorch keeps of an accelerator's memory without using it."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the batch was too large: PyTorch on a CPU has no class for it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return "not enough memory" in str(error) or "can't allocate memory" in str(error)


def _provenance(
    loaded: LoadedPipeline, request: ImageRequest, key: str, settings: ImagingSettings
) -> dict[str, str]:
    """What an image says about itself; the prompt only as a hash, as it is a person's text."""
    return {
        "request": key,
        "model": loaded.version,
        "prompt_sha256": hashlib.sha256(request.prompt.encode()).hexdigest(),
        "seed": str(request.seed),
        "scheduler": type(loaded.pipeline.scheduler).__name__,
        "steps": str(settings.steps),
        "guidance": str(settings.guidance),
        "guidance_rest": "{} to {}".format(*settings.guidance_rest),
        "dtype": effective_dtype(settings),
    }
