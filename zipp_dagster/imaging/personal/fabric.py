"""FABRIC: attention feedback from a user's liked images, without any training.

Before each step the liked images, encoded and noised to that step, run through the U-Net with the
empty prompt; the inputs of their self-attention layers join the keys and values of the conditional
branch, those of disliked images the unconditional branch's, with a weight on their share of the
attention (von Rütte et al., FABRIC, 2023). Our own attention processors do this for any
`UNet2DConditionModel`, of SD and SDXL alike.
"""

# ruff: noqa: TID253  (torch: this module's subject)
from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.personal.base import (
    Fitted,
    History,
    cost_of,
    draw_batches,
    encode_images,
    require_unet,
)
from zipp_dagster.imaging.pipelines import LoadedPipeline

WEIGHT = 0.3
ACTIVE = 0.8  # share of the steps, from the first on


@dataclass
class Feedback:
    """Latents of the liked and disliked images, [n, channels, h, w], or None."""

    liked: torch.Tensor | None
    disliked: torch.Tensor | None


class _Memory:
    """What the processors share: whether they collect or feed, and the layers' inputs.

    `guided` says whether a step has both branches.
    """

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.collecting: str | None = None
        self.feeding = False
        self.guided = True
        self.inputs: dict[tuple[str, str], torch.Tensor] = {}


class FeedbackAttention:
    """Self-attention whose keys and values may include those of remembered images.

    The first half of a guided step's batch is the unconditional branch, as the pipelines order it;
    where guidance rests there is the conditional branch alone. Shapes: hidden states [2 n, tokens,
    width], at rest [n, tokens, width]; remembered inputs [images · tokens, width].
    """

    def __init__(self, layer: str, memory: _Memory) -> None:
        self.layer, self.memory = layer, memory

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The layer's output, shaped like its input."""
        if self.memory.collecting is not None:
            key = (self.layer, self.memory.collecting)
            self.memory.inputs[key] = hidden_states.reshape(-1, hidden_states.shape[-1])
        if not self.memory.feeding:
            return self._attend(attn, hidden_states, None)
        names = ("disliked", "liked") if self.memory.guided else ("liked",)
        branches = zip(names, hidden_states.chunk(len(names)), strict=True)
        outs = [self._attend(attn, x, self.memory.inputs.get((self.layer, b))) for b, x in branches]
        return torch.cat(outs)

    def _attend(self, attn: Any, x: torch.Tensor, extra: torch.Tensor | None) -> torch.Tensor:
        read, bias = x, None
        if extra is not None:
            read = torch.cat([x, extra.to(x.dtype).expand(len(x), *extra.shape)], 1)
            bias = torch.zeros(read.shape[1], dtype=x.dtype, device=x.device)
            # Adding log w to the scores weighs the remembered images' share of the softmax by w.
            bias[x.shape[1] :] = math.log(self.memory.weight)
        q, k, v = (
            part.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for part in (attn.to_q(x), attn.to_k(read), attn.to_v(read))
        )
        mask = None if bias is None else bias.to(q.dtype).expand(len(x), 1, x.shape[1], -1)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=attn.scale)
        out = out.transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](out)) / attn.rescale_output_factor


class Fabric:
    """Attention feedback as a personal method; `images` bounds its cost."""

    name = "fabric"

    def __init__(self, weight: float = WEIGHT, active: float = ACTIVE, images: int = 4) -> None:
        if not 0 < weight <= 1:
            raise ValueError(f"fabric: weight {weight} is outside (0, 1]")
        self.weight, self.active, self.images = weight, active, images

    def fit(
        self, loaded: LoadedPipeline, history: History, settings: ImagingSettings, seed: int = 0
    ) -> Fitted:
        """Encodes the first liked and disliked images; ValueError without any."""
        require_unet(loaded, "fabric")
        liked, disliked = list(history.liked_images), list(history.disliked_images)
        if not liked and not disliked:
            raise ValueError("fabric: the user's history has no images")
        fitted = Fitted(None, 0.0, 0.0)
        with cost_of(fitted):
            parts = [
                encode_images(loaded, images[: self.images], settings) if images else None
                for images in (liked, disliked)
            ]
            fitted.state = Feedback(*parts)
        return fitted

    def draw(
        self,
        loaded: LoadedPipeline,
        fitted: Fitted,
        prompts: Sequence[str],
        seeds: Sequence[int],
        settings: ImagingSettings,
    ) -> np.ndarray:
        """Images of prompts under feedback, uint8 [n, size, size, 3]."""
        with self.feedback(loaded, fitted.state, settings):
            return draw_batches(loaded, prompts, seeds, settings)

    @contextlib.contextmanager
    def feedback(
        self, loaded: LoadedPipeline, feedback: Feedback, settings: ImagingSettings
    ) -> Iterator[None]:
        """Puts the processors and the extra pass in place, and takes them out again."""
        unet = require_unet(loaded, "fabric")
        memory = _Memory(self.weight)
        before, plain_forward = dict(unet.attn_processors), unet.forward
        own_forward = unet.__dict__.get("forward")  # of an offloading hook, perhaps
        # `attn1` is what diffusers calls a transformer block's self-attention.
        ours = {
            name: FeedbackAttention(name, memory) if ".attn1." in name else processor
            for name, processor in before.items()
        }
        alphas = loaded.pipeline.scheduler.alphas_cumprod
        # U-Net calls of one image follow the schedule from the noisiest time down: the share of
        # the steps that are done is read off the timestep's place in it.
        first_inactive = self._first_inactive_time(loaded, settings)

        null_prompt: dict[str, Any] = {}

        def forward(sample: torch.Tensor, timestep: Any, **given: Any) -> Any:
            time = float(timestep)
            memory.inputs.clear()
            memory.guided = bool(loaded.pipeline.do_classifier_free_guidance)
            if memory.guided:
                null_prompt.update(_null_prompt(given))
            if time > first_inactive:
                if not null_prompt:
                    raise ValueError("fabric needs guidance: set imaging.guidance above 1")
                sides = {"liked": feedback.liked}
                if memory.guided:
                    sides["disliked"] = feedback.disliked
                for branch, latents in sides.items():
                    if latents is not None:
                        noisy = _noised(latents, alphas, time).to(sample)
                        memory.collecting = branch
                        try:
                            plain_forward(noisy, timestep, **_repeated(null_prompt, len(noisy)))
                        finally:
                            memory.collecting = None
                memory.feeding = True
            try:
                return plain_forward(sample, timestep, **given)
            finally:
                memory.feeding = False

        unet.set_attn_processor(ours)
        unet.forward = forward
        try:
            yield
        finally:
            if own_forward is None:
                del unet.forward
            else:
                unet.forward = own_forward
            unet.set_attn_processor(before)

    def _first_inactive_time(self, loaded: LoadedPipeline, settings: ImagingSettings) -> float:
        scheduler = type(loaded.pipeline.scheduler).from_config(loaded.pipeline.scheduler.config)
        scheduler.set_timesteps(settings.steps)
        times = [float(t) for t in scheduler.timesteps]
        count = round(self.active * len(times))
        return times[count] if count < len(times) else -1.0


def _noised(latents: torch.Tensor, alphas: torch.Tensor, time: float) -> torch.Tensor:
    """Latents at a time of the variance-preserving process, with noise that is always the same."""
    signal = float(alphas[min(round(time), len(alphas) - 1)])
    noise = torch.randn(latents.shape, generator=torch.Generator("cpu").manual_seed(0))
    return signal**0.5 * latents + (1 - signal) ** 0.5 * noise.to(latents)


def _null_prompt(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a guided U-Net call, with the unconditional branch's first row alone."""
    out = dict(given) | {"return_dict": False, "timestep_cond": None}
    out["encoder_hidden_states"] = given["encoder_hidden_states"][:1]
    if given.get("added_cond_kwargs"):
        added = given["added_cond_kwargs"]
        out["added_cond_kwargs"] = {key: value[:1] for key, value in added.items()}
    return out


def _repeated(null_prompt: dict[str, Any], count: int) -> dict[str, Any]:
    """The same arguments for `count` images."""

    def rows(value: torch.Tensor) -> torch.Tensor:
        return value.expand(count, *value.shape[1:])

    out = dict(null_prompt)
    out["encoder_hidden_states"] = rows(out["encoder_hidden_states"])
    if out.get("added_cond_kwargs"):
        out["added_cond_kwargs"] = {
            key: rows(value) for key, value in out["added_cond_kwargs"].items()
        }
    return out
