"""The latent space of the small generator: principal components of 8 x 8 pixel patches.

A linear basis needs seconds to fit and no training, so that the U-Net can learn while the
autoencoder's decoder still does. The autoencoder (`train_vae.py`) learns both directions of this
map: its encoder to reproduce the codes, its decoder to draw from them what a linear map would blur.
"""

# ruff: noqa: TID253  (torch: this module's subject)
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from zipp_dagster.imaging.dataset import (
    draw_factors,
    draw_images,
    to_model_range,
    training_factors,
)

PATCH = 8
LATENT_CHANNELS = 32


@dataclass(frozen=True)
class LatentBasis:
    """`mean` [192], `to_codes` [192, 32] and `from_codes` [32, 192] of flattened patches."""

    mean: Tensor
    to_codes: Tensor
    from_codes: Tensor

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels in -1..1 [n, 3, h, w] to codes [n, 32, h / 8, w / 8]."""
        patches = F.pixel_unshuffle(pixels, PATCH).permute(0, 2, 3, 1)
        return ((patches - self.mean) @ self.to_codes).permute(0, 3, 1, 2).contiguous()

    def decode(self, codes: Tensor) -> Tensor:
        """The linear picture of codes: what the decoder must at least do."""
        patches = codes.permute(0, 2, 3, 1) @ self.from_codes + self.mean
        return F.pixel_shuffle(patches.permute(0, 3, 1, 2), PATCH)

    def save(self, path: Path) -> None:
        """Writes the three arrays as safetensors."""
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({k: getattr(self, k).contiguous() for k in self.__dataclass_fields__}, path)

    @classmethod
    def load(cls, path: Path) -> LatentBasis:
        """Reads what `save` wrote."""
        return cls(**load_file(path))


def fit_basis(seed: int, samples: int = 2048) -> LatentBasis:
    """Fits the basis on training pictures (held-out combinations are not among them).

    Codes are half-whitened (variance ** 0.5 of each component, 1 on average): full whitening would
    make the U-Net spend as much on components that hardly change the picture as on its shapes.
    """
    rng = np.random.default_rng([seed, 30])
    images = draw_images(draw_factors(training_factors(), rng, samples), rng)
    patches = F.pixel_unshuffle(torch.from_numpy(to_model_range(images)), PATCH)
    flat = patches.permute(0, 2, 3, 1).reshape(-1, 3 * PATCH * PATCH).double()
    mean = flat.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov((flat - mean).T))
    values = values.flip(0)[:LATENT_CHANNELS]
    vectors = vectors.flip(1)[:, :LATENT_CHANNELS]
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    vectors = vectors * largest.sign()  # an eigenvector's sign is free: fix it
    gains = values**-0.25
    gains = gains / (values * gains**2).mean().sqrt()
    return LatentBasis(
        mean=mean.float(),
        to_codes=(vectors * gains).float(),
        from_codes=(vectors / gains).T.contiguous().float(),
    )
