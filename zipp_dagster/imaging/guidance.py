"""Classifier-free guidance that rests in the middle of the steps.

A guided step calls the denoiser for two branches, with and without the prompt. The first step
settles what is drawn and the last ones its texture; between them guidance does more harm than good
to shapes (compare Kynkäänniemi et al., Applying Guidance in a Limited Interval, 2024), and a step
without it costs half.
"""

# ruff: noqa: TID253  (torch: this module's subject)
from __future__ import annotations

from typing import Any

import torch

# What diffusers pipelines hand to a callback with both branches in one tensor, unguided half first.
_BOTH_BRANCHES = frozenset(
    {"prompt_embeds", "pooled_prompt_embeds", "add_text_embeds", "add_time_ids"}
)


class GuidanceRest:
    """A diffusers step callback for one call of a pipeline.

    Steps whose place (0 = the first, 1 = after the last) lies in `[start, end)` run without
    guidance; the first one is always guided, as callbacks run after a step. Where a pipeline does
    not guide by a second branch (FLUX, a scale of 1), nothing changes.
    """

    def __init__(self, pipeline: Any, start: float, end: float) -> None:
        self.start, self.end = start, end
        self.tensor_inputs = sorted(_BOTH_BRANCHES & set(pipeline._callback_tensor_inputs))
        self._guided: dict[str, torch.Tensor] | None = None
        self._scale = 0.0

    def __call__(
        self, pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        """The conditioning of the step that follows `step`."""
        if self._guided is None:
            if not getattr(pipeline, "do_classifier_free_guidance", False):
                return tensors
            self._guided, self._scale = dict(tensors), pipeline._guidance_scale
        if self.start <= (step + 1) / pipeline.num_timesteps < self.end:
            # diffusers' own switch: see its SDCFGCutoffCallback, which is for one prompt only.
            pipeline._guidance_scale = 0.0
            return {name: both.chunk(2)[1] for name, both in self._guided.items()}
        pipeline._guidance_scale = self._scale
        return dict(self._guided)
