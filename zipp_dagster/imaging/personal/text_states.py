"""Prompts as a text encoder's states, for pipelines with classifier-free guidance (SD, SDXL, SD 3).

ViPer and DrUM change these states; the pipeline then takes them in the place of a prompt. Unchanged
states draw what the prompt draws: each pipeline makes its own unconditional branch, which for SDXL
is no text but zeros.
"""

# ruff: noqa: TID253  (torch: this module's subject)
from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from zipp_dagster.imaging.pipelines import LoadedPipeline, denoiser


@dataclass
class TextStates:
    """States of prompts [n, tokens, width], of their unconditional branch, and what is pooled, if
    anything, [n, width].
    """

    prompt: torch.Tensor
    negative: torch.Tensor
    pooled: torch.Tensor | None = None
    negative_pooled: torch.Tensor | None = None

    def arguments(self, loaded: LoadedPipeline) -> dict[str, Any]:
        """As a pipeline's keyword arguments, in the place of `prompt`, in its denoiser's dtype."""
        found = {
            "prompt_embeds": self.prompt,
            "negative_prompt_embeds": self.negative,
            "pooled_prompt_embeds": self.pooled,
            "negative_pooled_prompt_embeds": self.negative_pooled,
        }
        dtype = denoiser(loaded.pipeline).dtype
        return {key: value.to(dtype) for key, value in found.items() if value is not None}


@torch.no_grad()
def text_states(loaded: LoadedPipeline, prompts: Sequence[str]) -> TextStates:
    """States of prompts and of the unconditional branch that plain drawing has, float32.

    Raises ValueError for a pipeline without an unconditional branch (FLUX embeds its guidance).
    """
    out = _encode(loaded, prompts, do_classifier_free_guidance=True)
    return TextStates(*(part.float() for part in out))


@torch.no_grad()
def prompt_states(loaded: LoadedPipeline, prompts: Sequence[str]) -> torch.Tensor:
    """States of prompts alone, float32 [n, tokens, width]; raises as `text_states` does."""
    return _encode(loaded, prompts, do_classifier_free_guidance=False)[0].float()


def _encode(loaded: LoadedPipeline, prompts: Sequence[str], **options: Any) -> Any:
    encode = loaded.pipeline.encode_prompt
    known = inspect.signature(encode).parameters
    if "do_classifier_free_guidance" not in known:
        raise ValueError(
            f"{type(loaded.pipeline).__name__} has no unconditional branch, which this method needs"
        )
    texts = list(prompts)
    options |= {name: texts for name in ("prompt_2", "prompt_3") if name in known}
    with loaded.precision():
        return encode(prompt=texts, device=loaded.device, num_images_per_prompt=1, **options)
