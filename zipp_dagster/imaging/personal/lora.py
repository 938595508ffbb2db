"""A LoRA on the U-Net for every user: the customary fine-tuning, as upper bound and for its cost.

Low-rank updates of the attention projections (peft), trained on the user's liked images with their
prompts by the model's own denoising objective. Nothing else of the pipeline changes; the adapter is
named by the fit and taken off after drawing. Whatever the U-Net's precision, what is trained is
float32: in float16 AdamW's epsilon is zero.
"""

# ruff: noqa: TID253  (torch, diffusers, peft: this module's subject)
from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from diffusers.training_utils import cast_training_params
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.generation import Fits
from zipp_dagster.imaging.lanes import is_small
from zipp_dagster.imaging.personal.base import (
    Fitted,
    History,
    cost_of,
    draw_batches,
    encode_images,
    require_unet,
)
from zipp_dagster.imaging.personal.text_states import TextStates, text_states
from zipp_dagster.imaging.pipelines import LoadedPipeline

_ADAPTER = "zipp_user"
_EMPTY_SHARE = 0.1


@dataclass
class UserLora:
    """One user's low-rank weights, by name."""

    weights: dict[str, torch.Tensor]
    config: LoraConfig

    @property
    def size(self) -> int:
        """Bytes of the weights."""
        return sum(w.numel() * w.element_size() for w in self.weights.values())


@dataclass(frozen=True)
class _Batch:
    """One step's examples: noisy latents, times, captions' states and what is to be predicted."""

    noisy: torch.Tensor
    times: torch.Tensor
    shown: torch.Tensor
    pooled: torch.Tensor | None
    target: torch.Tensor


class Lora:
    """Fine-tuning as a personal method, on the first `images` liked images.

    What a step of `batch` examples learns does not depend on how many of them fit into memory at
    once; the denoiser's activations are computed again for the gradients, unless it is small.
    """

    name = "lora"

    def __init__(
        self,
        rank: int = 8,
        steps: int = 150,
        batch: int = 8,
        rate: float = 2e-3,
        images: int = 64,
    ) -> None:
        self.rank, self.steps, self.batch, self.rate = rank, steps, batch, rate
        self.images = images

    def fit(
        self, loaded: LoadedPipeline, history: History, settings: ImagingSettings, seed: int = 0
    ) -> Fitted:
        """Trains the user's adapter; ValueError unless there is one prompt for each image.

        FloatingPointError where the loss is not a number, MemoryError where one image is too many.
        """
        unet = require_unet(loaded, "lora")
        images, prompts = history.liked_images, history.liked_prompts
        if not images or len(images) != len(prompts):
            raise ValueError(
                f"lora: {len(images)} liked images and {len(prompts)} prompts; it needs one prompt "
                "for each image, and at least one"
            )
        images, prompts = images[: self.images], prompts[: self.images]
        fitted = Fitted(None, 0.0, 0.0)
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.rank,
            target_modules=["to_q", "to_k", "to_v", "to_out.0"],
            init_lora_weights="gaussian",
        )
        with cost_of(fitted):
            latents = encode_images(loaded, images, settings).float()
            states = text_states(loaded, prompts)
            torch.manual_seed(seed)
            with _adapter(unet, config), _training(unet, checkpointing=not is_small(loaded)):
                cast_training_params(unet)
                losses = self._train(loaded, unet, latents, states, seed)
                weights = get_peft_model_state_dict(unet, adapter_name=_ADAPTER)
                weights = {k: v.detach().cpu().clone() for k, v in weights.items()}
        fitted.state = UserLora(weights, config)
        first, last = (
            np.mean(losses[: len(losses) // 4 or 1]),
            np.mean(losses[-(len(losses) // 4 or 1) :]),
        )
        fitted.numbers = {
            "parameters": float(sum(w.numel() for w in weights.values())),
            "bytes": float(fitted.state.size),
            "loss_first_quarter": float(first),
            "loss_last_quarter": float(last),
        }
        return fitted

    def _train(
        self,
        loaded: LoadedPipeline,
        unet: Any,
        latents: torch.Tensor,
        states: TextStates,
        seed: int,
    ) -> list[float]:
        schedule: Any = DDPMScheduler.from_config(
            loaded.pipeline.scheduler.config, clip_sample=False
        )
        weights = [p for p in unet.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(weights, lr=self.rate, weight_decay=0.0)
        device, losses, fits = latents.device, [], Fits(self.batch)
        # Gradients through float16 layers are mostly below the smallest float16.
        scaler = torch.amp.GradScaler(device.type, enabled=unet.dtype == torch.float16)
        for step in range(self.steps):
            rng = np.random.default_rng([seed, 12, step])
            generator = torch.Generator("cpu").manual_seed(seed * 1_000_003 + step)
            rows = torch.from_numpy(rng.integers(len(latents), size=self.batch)).to(device)
            empty = torch.from_numpy(rng.random(self.batch) < _EMPTY_SHARE).to(device)
            clean = latents[rows]
            noise = torch.randn(clean.shape, generator=generator).to(clean)
            last = schedule.config.num_train_timesteps
            times = torch.from_numpy(rng.integers(last, size=self.batch)).to(device)
            noisy = schedule.add_noise(clean, noise, times)
            shown, pooled = _captions(states, rows, empty)
            target = _target(schedule, clean, noise, times)
            batch = _Batch(noisy, times, shown, pooled, target)
            ask = partial(_gradients, loaded, unet, weights, scaler, batch)
            shares = [share for _, share in fits.in_parts(self.batch, ask)]
            losses.append(sum(loss for loss, _ in shares))
            if not np.isfinite(losses[-1]):
                raise FloatingPointError(
                    f"lora: {loaded.source} has a loss of {losses[-1]} in step {step + 1}; set "
                    "imaging.dtype=float32"
                )
            for weight, *parts in zip(weights, *(found for _, found in shares), strict=True):
                weight.grad = sum(parts[1:], parts[0])
            scaler.unscale_(optimiser)
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            for group in optimiser.param_groups:
                group["lr"] = self.rate * min(1.0, (step + 1) / 10)
            scaler.step(optimiser)
            scaler.update()
        return losses

    def draw(
        self,
        loaded: LoadedPipeline,
        fitted: Fitted,
        prompts: Sequence[str],
        seeds: Sequence[int],
        settings: ImagingSettings,
    ) -> np.ndarray:
        """Images of prompts with the user's weights, uint8 [n, size, size, 3]."""
        unet = require_unet(loaded, "lora")
        with _adapter(unet, fitted.state.config):
            set_peft_model_state_dict(unet, fitted.state.weights, adapter_name=_ADAPTER)
            return draw_batches(loaded, prompts, seeds, settings)


def _precision(loaded: LoadedPipeline, unet: Any) -> contextlib.AbstractContextManager[object]:
    """What a training step runs under: the U-Net's own precision where that is a short one."""
    if unet.dtype in (torch.float16, torch.bfloat16):
        return torch.autocast(torch.device(loaded.device).type, unet.dtype)
    return loaded.precision()


def _gradients(
    loaded: LoadedPipeline,
    unet: Any,
    weights: Sequence[Any],
    scaler: Any,
    batch: _Batch,
    rows: slice,
) -> tuple[float, Sequence[torch.Tensor]]:
    """Some rows' share of a batch's mean squared error, and of the scaled gradients."""
    noisy, target = batch.noisy[rows], batch.target[rows]
    pooled = None if batch.pooled is None else batch.pooled[rows]
    with _precision(loaded, unet):
        out = unet(
            noisy.to(unet.dtype),
            batch.times[rows],
            encoder_hidden_states=batch.shown[rows].to(unet.dtype),
            added_cond_kwargs=_added(loaded, noisy, pooled),
            return_dict=False,
        )[0].float()
    loss = F.mse_loss(out, target) * (len(noisy) / len(batch.noisy))
    return float(loss.detach()), torch.autograd.grad(scaler.scale(loss), weights)


@contextlib.contextmanager
def _training(unet: Any, checkpointing: bool) -> Iterator[None]:
    """Training mode, with gradient checkpointing if asked for and known to the U-Net's class."""
    switch = (
        checkpointing
        and unet._supports_gradient_checkpointing
        and not unet.is_gradient_checkpointing
    )
    unet.train()
    if switch:
        unet.enable_gradient_checkpointing()
    try:
        yield
    finally:
        if switch:
            unet.disable_gradient_checkpointing()
        unet.eval()


@contextlib.contextmanager
def _adapter(unet: Any, config: LoraConfig) -> Iterator[None]:
    """A trainable adapter on a frozen U-Net, gone again afterwards."""
    trainable = [p for p in unet.parameters() if p.requires_grad]
    unet.requires_grad_(False)
    unet.add_adapter(config, adapter_name=_ADAPTER)
    try:
        yield
    finally:
        unet.unload_lora()
        for parameter in trainable:
            parameter.requires_grad_(True)


def _target(
    schedule: Any, clean: torch.Tensor, noise: torch.Tensor, times: torch.Tensor
) -> torch.Tensor:
    kind = schedule.config.prediction_type
    if kind == "v_prediction":
        return schedule.get_velocity(clean, noise, times)
    if kind == "epsilon":
        return noise
    raise ValueError(f"lora: prediction type {kind!r} is neither epsilon nor v_prediction")


def _captions(
    states: TextStates, rows: torch.Tensor, empty: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """States [n, tokens, width] and pooled [n, width] of some rows; where `empty`, unconditional."""
    shown = torch.where(empty.view(-1, 1, 1), states.negative[rows], states.prompt[rows])
    if states.pooled is None or states.negative_pooled is None:
        return shown, None
    pooled = torch.where(empty.view(-1, 1), states.negative_pooled[rows], states.pooled[rows])
    return shown, pooled


def _added(
    loaded: LoadedPipeline, latents: torch.Tensor, pooled: torch.Tensor | None
) -> dict[str, torch.Tensor] | None:
    """SDXL's second conditioning: the pooled text and the picture's size."""
    if pooled is None:
        return None
    height, width = (side * loaded.pipeline.vae_scale_factor for side in latents.shape[2:])
    sizes = torch.tensor([[height, width, 0, 0, height, width]], dtype=latents.dtype)
    return {
        "text_embeds": pooled.to(latents),
        "time_ids": sizes.expand(len(latents), -1).to(latents.device),
    }


def fingerprint(lora: UserLora) -> str:
    """SHA-256 of a user's weights, as 64 hex digits: what an image's provenance names."""
    digest = hashlib.sha256()
    for name in sorted(lora.weights):
        digest.update(name.encode())
        digest.update(lora.weights[name].contiguous().float().numpy().tobytes())
    return digest.hexdigest()
