"""Training of the small autoencoder: 64 x 64 pixels to 8 x 8 latents of 32 channels.

The latent space is given (`basis.py`); the decoder learns to draw from its codes, the encoder to
reproduce them. The result is a plain `AutoencoderKL` of scaling factor 1. Training both towards a
free latent space took several times longer to reach the same sharpness.
"""

# ruff: noqa: TID253  (diffusers: this module's subject)
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from zipp_dagster.imaging.basis import LATENT_CHANNELS, LatentBasis
from zipp_dagster.imaging.config import TrainingSettings
from zipp_dagster.imaging.dataset import (
    IMAGE_SIZE,
    draw_factors,
    draw_images,
    to_model_range,
    training_factors,
)
from zipp_dagster.imaging.loop import Outcome, Plan, restore, train
from zipp_dagster.progress import Progress, silent

_LEVELS = (16, 32, 64, 96)
# Noise on the codes that the decoder sees: about the error of a sampled latent, so that it forgives
# it.
_CODE_NOISE = 0.04


def new_vae(seed: int) -> Any:
    """An untrained `AutoencoderKL` whose residual branches start at zero.

    One normalisation group: with several, of a few channels each, absolute brightness is lost at
    every layer and colours take long to learn.
    """
    torch.manual_seed(seed)
    vae: Any = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * len(_LEVELS),
        up_block_types=("UpDecoderBlock2D",) * len(_LEVELS),
        block_out_channels=_LEVELS,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=1,
        sample_size=IMAGE_SIZE,
        scaling_factor=1.0,
        mid_block_add_attention=False,
    )
    with torch.no_grad():
        for name, part in vae.named_modules():
            if name.endswith("conv2") and isinstance(part, torch.nn.Conv2d):
                part.weight.zero_()
        # The posterior is a point for all practical purposes; these rows get no gradient.
        vae.quant_conv.weight[LATENT_CHANNELS:] = 0.0
        vae.quant_conv.bias[LATENT_CHANNELS:] = -12.0
    return vae


def reconstruction_loss(out: Tensor, pixels: Tensor) -> Tensor:
    """L1 + 0.5 MSE + 0.5 L1 of gradients + L1 of 4 x 4 averages."""
    loss = F.l1_loss(out, pixels) + 0.5 * F.mse_loss(out, pixels)
    for axis in (2, 3):
        loss = loss + 0.5 * F.l1_loss(out.diff(dim=axis), pixels.diff(dim=axis))
    return loss + F.l1_loss(F.avg_pool2d(out, 4), F.avg_pool2d(pixels, 4))


def train_vae(
    basis: LatentBasis,
    directory: Path,
    settings: TrainingSettings,
    deadline: float | None = None,
    progress: Progress = silent,
) -> tuple[Any, Outcome]:
    """Trains the autoencoder; its state lies under `directory`."""
    vae = new_vae(settings.seed)
    pool = training_factors()
    half = settings.vae_batch // 2

    def step_loss(step: int) -> tuple[Tensor, dict[str, float]]:
        rng = np.random.default_rng([settings.seed, 3, step])
        images = draw_images(draw_factors(pool, rng, settings.vae_batch), rng)
        pixels = torch.from_numpy(to_model_range(images))
        codes = basis.encode(pixels)
        noisy = codes + _CODE_NOISE * torch.randn_like(codes)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
            out = vae.decode(noisy).sample.float()
            # The encoder's task is easier: half of the batch is enough for it.
            read = vae.encode(pixels[:half]).latent_dist.mean.float()
        error = F.mse_loss(out.detach(), pixels)
        reading = F.mse_loss(read, codes[:half])
        loss = reconstruction_loss(out, pixels) + reading
        return loss, {
            "psnr": float(10 * torch.log10(4 / error)),
            "linear_psnr": float(10 * torch.log10(4 / F.mse_loss(basis.decode(codes), pixels))),
            "encoder_error": float(reading.detach()),
        }

    plan = Plan(settings.vae_steps, settings.vae_batch, 2e-3, warmup=100, weight_decay=1e-4)
    outcome = train(
        "vae",
        vae,
        step_loss,
        plan,
        directory,
        seed=settings.seed + 3,
        save_every_s=settings.save_every_s,
        deadline=deadline,
        progress=progress,
    )
    return vae, outcome


def load_vae(directory: Path) -> Any:
    """The `AutoencoderKL` of a saved state, frozen."""
    vae = new_vae(0)
    restore(directory / "state.safetensors", vae)
    return vae.eval().requires_grad_(False)
