"""Training of the small denoiser: a `UNet2DConditionModel` on 8 x 8 latents.

Velocity prediction with a zero-terminal-SNR schedule. Latents come from a pool that grows while
training goes on (rendered and encoded once, stored as .npy); captions are drawn afresh every step.
The exponential mean of the weights is what gets saved as the model.
"""

# ruff: noqa: TID253  (diffusers: this module's subject)
from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from transformers import CLIPTokenizer

from zipp_dagster.imaging.basis import LATENT_CHANNELS, LatentBasis
from zipp_dagster.imaging.config import TrainingSettings
from zipp_dagster.imaging.dataset import (
    draw_captions,
    draw_factors,
    draw_images,
    labels,
    to_model_range,
    training_factors,
)
from zipp_dagster.imaging.loop import Outcome, Plan, restore, train
from zipp_dagster.imaging.tokenizer import encode
from zipp_dagster.imaging.train_clip import WIDTH, TextTower
from zipp_dagster.progress import Progress, silent
from zipp_dagster.sampleworld.vocabulary import FACTOR_NAMES, FACTOR_VALUES, Factors

LATENT_SIZE = 8
_EMPTY_SHARE = 0.1

SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "clip_sample": False,
    "set_alpha_to_one": True,
    "steps_offset": 0,
}


def new_unet(seed: int) -> Any:
    """An untrained `UNet2DConditionModel`: 96 channels at 8 x 8 and 128 at 4 x 4."""
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(96, 128),
        layers_per_block=1,
        attention_head_dim=4,
        norm_num_groups=16,
        cross_attention_dim=WIDTH,
        use_linear_projection=True,
    )


class LatentPool:
    """Latents of training pictures with their factors, built block by block and kept on disk."""

    def __init__(self, directory: Path, basis: LatentBasis, settings: TrainingSettings) -> None:
        self.directory = directory
        self.basis = basis
        self.settings = settings
        self.latents: list[np.ndarray] = []
        self.factors: list[np.ndarray] = []
        directory.mkdir(parents=True, exist_ok=True)

    def grow(self, blocks: int) -> None:
        """Makes sure that the first `blocks` blocks exist and are loaded."""
        while len(self.latents) < min(blocks, self.settings.pool_blocks):
            index = len(self.latents)
            latents = self.directory / f"latents-{index:03d}.npy"
            factors = self.directory / f"factors-{index:03d}.npy"
            if not factors.exists():
                self._draw(index, latents, factors)
            self.latents.append(np.load(latents, mmap_mode="r"))
            self.factors.append(np.load(factors))

    @torch.no_grad()
    def _draw(self, index: int, latents: Path, factors: Path) -> None:
        rng = np.random.default_rng([self.settings.seed, 4, index])
        parts, names = [], []
        remaining = self.settings.pool_block
        while remaining > 0:
            drawn = draw_factors(training_factors(), rng, min(64, remaining))
            pixels = torch.from_numpy(to_model_range(draw_images(drawn, rng)))
            parts.append(self.basis.encode(pixels).to(torch.float16).numpy())
            names.append(labels(drawn).astype(np.int8))
            remaining -= len(drawn)
        np.save(latents, np.concatenate(parts))
        np.save(factors, np.concatenate(names))  # last: its presence says that the block is whole

    def take(self, rng: np.random.Generator, count: int, blocks: int) -> tuple[Tensor, np.ndarray]:
        """Latents float32 [count, 32, 8, 8] and factor indices [count, 4]."""
        available = min(blocks, len(self.latents))
        block = int(rng.integers(available))
        rows = np.sort(rng.integers(self.settings.pool_block, size=count))
        return (
            torch.from_numpy(self.latents[block][rows].astype(np.float32)),
            self.factors[block][rows],
        )


def factors_of(row: np.ndarray) -> Factors:
    """The factors of a row of indices."""
    names = zip(FACTOR_NAMES, row, strict=True)
    return Factors(*(list(FACTOR_VALUES[name])[int(i)] for name, i in names))


def train_unet(
    tokenizer: CLIPTokenizer,
    text: TextTower,
    basis: LatentBasis,
    directory: Path,
    settings: TrainingSettings,
    deadline: float | None = None,
    progress: Progress = silent,
) -> tuple[Any, Outcome]:
    """Trains the denoiser; returns the running mean of its weights."""
    unet = new_unet(settings.seed)
    average = copy.deepcopy(unet).requires_grad_(False)
    unet.set_attn_processor(AttnProcessor())  # faster backward than SDPA at this size
    pool = LatentPool(directory / "pool", basis, settings)
    scheduler: Any = DDIMScheduler(**SCHEDULE)
    alphas: Tensor = scheduler.alphas_cumprod
    amp = settings.precision == "bf16"
    count = settings.unet_batch

    def step_loss(step: int) -> tuple[Tensor, dict[str, float]]:
        rng = np.random.default_rng([settings.seed, 5, step])
        blocks = min(settings.pool_blocks, 1 + step // settings.pool_growth)
        pool.grow(blocks)
        latents, rows = pool.take(rng, count, blocks)
        captions = draw_captions([factors_of(row) for row in rows], rng, drop=0.06)
        empty = rng.random(count) < _EMPTY_SHARE
        captions = ["" if gone else c for gone, c in zip(empty, captions, strict=True)]
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=amp):
            ids = torch.from_numpy(encode(tokenizer, captions))
            states = text.text_model(input_ids=ids).last_hidden_state
        times = torch.from_numpy(rng.permutation(count)) + torch.from_numpy(rng.random(count))
        times = (times * (1000 / count)).long().clamp(0, 999)  # stratified over the schedule
        noise = torch.randn_like(latents)
        signal = alphas[times].sqrt().float().view(-1, 1, 1, 1)
        sigma = (1 - alphas[times]).sqrt().float().view(-1, 1, 1, 1)
        noisy = signal * latents + sigma * noise
        velocity = signal * noise - sigma * latents
        with torch.autocast("cpu", torch.bfloat16, enabled=amp):
            out = unet(noisy, times, encoder_hidden_states=states, return_dict=False)[0]
        return F.mse_loss(out.float(), velocity), {"blocks": float(blocks)}

    plan = Plan(settings.unet_steps, count, 1.2e-3, warmup=200, decay=0.25, averaging=0.998)
    outcome = train(
        "unet",
        unet,
        step_loss,
        plan,
        directory,
        seed=settings.seed + 5,
        save_every_s=settings.save_every_s,
        deadline=deadline,
        average=average,
        progress=progress,
    )
    return average, outcome


def load_unet(directory: Path) -> tuple[Any, int]:
    """The running mean of a saved state, frozen, and its step."""
    unet = new_unet(0)
    step = restore(directory / "state.safetensors", unet, average=True)
    return unet.eval().requires_grad_(False), step
