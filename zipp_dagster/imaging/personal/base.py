"""The interface of the personal baselines: a user's history in, images of prompts out."""

# ruff: noqa: TID253  (torch: this module's subject)
from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.generation import Fits, draw
from zipp_dagster.imaging.pipelines import LoadedPipeline


@dataclass(frozen=True)
class History:
    """What is known of a user: encoded images and prompts; `liked_images[i]` shows
    `liked_prompts[i]` where there are as many of both.
    """

    liked_images: Sequence[bytes] = ()
    liked_prompts: Sequence[str] = ()
    disliked_images: Sequence[bytes] = ()
    disliked_prompts: Sequence[str] = ()


@dataclass
class Fitted:
    """One user's personalisation: its method's state, and what it cost to make."""

    state: Any
    seconds: float
    cpu_seconds: float
    numbers: dict[str, float] = field(default_factory=dict)


class PersonalMethod(Protocol):
    """A method: `fit` once a user, then `draw` any prompts for that user.

    Both raise ValueError where the history or the pipeline's class lacks what the method needs.
    """

    name: str

    def fit(
        self, loaded: LoadedPipeline, history: History, settings: ImagingSettings, seed: int = 0
    ) -> Fitted:
        """Learns a user; `seed` decides what is random in it."""
        ...

    def draw(
        self,
        loaded: LoadedPipeline,
        fitted: Fitted,
        prompts: Sequence[str],
        seeds: Sequence[int],
        settings: ImagingSettings,
    ) -> np.ndarray:
        """Images of prompts for that user, uint8 [n, size, size, 3]; the pipeline stays as it was."""
        ...


def draw_batches(
    loaded: LoadedPipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: ImagingSettings,
    conditioning: Any = None,
) -> np.ndarray:
    """`generation.draw` in batches, smaller ones where they do not fit into memory.

    `conditioning` turns a batch of prompts into arguments. MemoryError where one image is too many.
    """

    def drawn(rows: slice) -> np.ndarray:
        batch = list(prompts[rows])
        given = None if conditioning is None else conditioning(batch)
        return draw(loaded, batch, seeds[rows], settings, given)

    parts = Fits(settings.batch_size).in_parts(len(prompts), drawn)
    return np.concatenate([part for _, part in parts])


@contextlib.contextmanager
def cost_of(fitted: Fitted) -> Iterator[None]:
    """Adds the wall and processor time of a block to a user's cost."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    fitted.seconds += time.perf_counter() - wall
    fitted.cpu_seconds += time.process_time() - cpu


def require_unet(loaded: LoadedPipeline, method: str) -> Any:
    """The pipeline's U-Net; ValueError for classes that have none."""
    unet = getattr(loaded.pipeline, "unet", None)
    if unet is None:
        raise ValueError(
            f"{method} needs a U-Net (Stable Diffusion 1.x, 2.x or XL); "
            f"{type(loaded.pipeline).__name__} has a transformer"
        )
    return unet


@torch.no_grad()
def encode_images(
    loaded: LoadedPipeline, images: Sequence[bytes], settings: ImagingSettings
) -> torch.Tensor:
    """Encoded images to the VAE's scaled latents, [n, channels, h, w], at the image size.

    They have the VAE's dtype, or float32 where it overflows in float16, as that of SDXL does. As many
    are encoded at once as are drawn at once; MemoryError where one does not fit.
    """

    def encoded(rows: slice) -> torch.Tensor:
        return _encoded(loaded, images[rows], settings.image_size)

    with _without_overflow(loaded.pipeline.vae):
        parts = Fits(settings.batch_size).in_parts(len(images), encoded)
        return torch.cat([part for _, part in parts])


def _encoded(loaded: LoadedPipeline, images: Sequence[bytes], size: int) -> torch.Tensor:
    pixels = []
    for data in images:
        with Image.open(io.BytesIO(data)) as image:
            small = image.convert("RGB")
            if small.size != (size, size):
                small = small.resize((size, size), Image.Resampling.BICUBIC)
        pixels.append(np.asarray(small, dtype=np.float32) / 127.5 - 1)
    vae = loaded.pipeline.vae
    batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).to(loaded.device, vae.dtype)
    latents = vae.encode(batch).latent_dist.mean
    if not latents.isfinite().all():
        raise FloatingPointError(
            f"{loaded.source} encodes images to values that are not numbers; set "
            "imaging.dtype=float32"
        )
    return (latents - (vae.config.shift_factor or 0.0)) * vae.config.scaling_factor


@contextlib.contextmanager
def _without_overflow(vae: Any) -> Iterator[None]:
    """A float16 VAE in float32 where its config says `force_upcast`, as pipelines decode with it."""
    upcast = vae.dtype == torch.float16 and vae.config.get("force_upcast", False)
    if upcast:
        vae.to(torch.float32)
    try:
        yield
    finally:
        if upcast:
            vae.to(torch.float16)
