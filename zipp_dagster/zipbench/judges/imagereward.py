"""ImageReward (Xu et al., arXiv 2304.05977): BLIP reads picture and prompt, an MLP gives the reward.

The published file is the authors' own state dict; it is read into transformers' BLIP parts, whose
sizes follow from the tensors.
"""

# ruff: noqa: TID253  (torch: this module's subject)
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer, BlipTextConfig, BlipVisionConfig, BlipVisionModel
from transformers.models.blip.modeling_blip_text import BlipTextModel

from zipp_dagster.imaging.encoders import Preparation
from zipp_dagster.imaging.pipelines import pick_device
from zipp_dagster.zipbench.config import JudgeSettings
from zipp_dagster.zipbench.judges.loading import checkpoint_file

FILE = "ImageReward.pt"
TOKENIZER = "bert-base-uncased"
MEAN, SPREAD = 0.16717362830052426, 1.0333394966054072
"""The authors' normalisation of the raw reward."""
_TEXT_TOKENS = 35
_PIXELS = Preparation(
    224, 224, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
)
_HEAD = 64
_BATCH = 32
_VISION = (
    (r"^cls_token$", "embeddings.class_embedding"),
    (r"^pos_embed$", "embeddings.position_embedding"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embedding."),
    (r"^blocks\.", "encoder.layers."),
    (r"\.attn\.qkv\.", ".self_attn.qkv."),
    (r"\.attn\.proj\.", ".self_attn.projection."),
    (r"\.norm1\.", ".layer_norm1."),
    (r"\.norm2\.", ".layer_norm2."),
    (r"^norm\.", "post_layernorm."),
)


class ImageReward:
    """The reward of a picture for a prompt, normalised as the authors do."""

    def __init__(self, model: str, settings: JudgeSettings) -> None:
        """Loads the state dict without running any pickled code. OSError without the file."""
        path = checkpoint_file(model, settings.revision, FILE)
        state = torch.load(path, map_location="cpu", weights_only=True)
        self._device = pick_device(settings.device)
        # Moving and evaluating are decorated in transformers, beyond a type checker.
        parts: list[Any] = list(build(state))
        self._vision, self._text, self._head = (p.to(self._device).eval() for p in parts)
        self._tokenizer = AutoTokenizer.from_pretrained(settings.tokenizer or TOKENIZER)
        side = int(self._vision.config.image_size)
        self._pixels = Preparation(side, side, _PIXELS.mean, _PIXELS.spread)
        self.name = f"imagereward:{path.stem}"

    @torch.no_grad()
    def score(self, prompts: Sequence[str], images: Sequence[bytes]) -> NDArray[np.float64]:
        """Rewards float64 [n]: about zero on average over the authors' data."""
        rewards = []
        for start in range(0, len(prompts), _BATCH):
            pixels = self._pixels.apply(images[start : start + _BATCH]).to(self._device)
            seen = self._vision(pixel_values=pixels).last_hidden_state
            text = self._tokenizer(
                list(prompts[start : start + _BATCH]),
                padding="max_length",
                truncation=True,
                max_length=_TEXT_TOKENS,
                return_tensors="pt",
            ).to(self._device)
            read = self._text(
                input_ids=text["input_ids"],
                attention_mask=text["attention_mask"],
                encoder_hidden_states=seen,
                encoder_attention_mask=torch.ones(seen.shape[:2], device=self._device),
            ).last_hidden_state[:, 0]
            rewards.append(((self._head(read)[:, 0] - MEAN) / SPREAD).double().cpu().numpy())
        return np.concatenate(rewards) if rewards else np.zeros(0)


def build(
    state: Mapping[str, torch.Tensor],
) -> tuple[BlipVisionModel, BlipTextModel, torch.nn.Sequential]:
    """Vision, text and reward head from the authors' state dict.

    RuntimeError names tensors that are missing or left over.
    """
    parts: dict[str, dict[str, torch.Tensor]] = {"vision": {}, "text": {}, "head": {}}
    for key, value in state.items():
        if key.startswith("blip.visual_encoder."):
            name = key.removeprefix("blip.visual_encoder.")
            for pattern, replacement in _VISION:
                name = re.sub(pattern, replacement, name)
            parts["vision"][name] = value
        elif key.startswith("blip.text_encoder."):
            if not key.endswith("position_ids"):  # a constant, stored by older BERTs
                parts["text"][key.removeprefix("blip.text_encoder.")] = value
        elif key.startswith("mlp.layers."):
            parts["head"][key.removeprefix("mlp.layers.")] = value
    vision = BlipVisionModel(_vision_config(parts["vision"]))
    text = BlipTextModel(
        _text_config(parts["text"], vision.config.hidden_size), add_pooling_layer=False
    )
    head = _head(parts["head"])
    for module, name in ((vision, "vision"), (text, "text"), (head, "head")):
        module.load_state_dict(parts[name], strict=True)
    return vision, text, head


def _head(state: Mapping[str, torch.Tensor]) -> torch.nn.Sequential:
    """The authors' MLP: linear layers with dropouts between, which are empty when not training."""
    places = {int(key.split(".")[0]) for key in state}
    layers: list[torch.nn.Module] = []
    for place in range(max(places) + 1):
        if place in places:
            wide, narrow = state[f"{place}.weight"].shape[1], state[f"{place}.weight"].shape[0]
            layers.append(torch.nn.Linear(wide, narrow))
        else:
            layers.append(torch.nn.Dropout(0.1))
    return torch.nn.Sequential(*layers)


def _layers(state: Mapping[str, torch.Tensor], pattern: str) -> int:
    return len({match.group(1) for key in state if (match := re.match(pattern, key))})


def _vision_config(state: Mapping[str, torch.Tensor]) -> BlipVisionConfig:
    width, _, patch, _ = state["embeddings.patch_embedding.weight"].shape
    positions = state["embeddings.position_embedding"].shape[1] - 1
    return BlipVisionConfig(
        hidden_size=width,
        intermediate_size=state["encoder.layers.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=_layers(state, r"encoder\.layers\.(\d+)\."),
        num_attention_heads=max(1, width // _HEAD),
        image_size=patch * round(positions**0.5),
        patch_size=patch,
        layer_norm_eps=1e-6,
    )


def _text_config(state: Mapping[str, torch.Tensor], vision_width: int) -> BlipTextConfig:
    vocabulary, width = state["embeddings.word_embeddings.weight"].shape
    return BlipTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        encoder_hidden_size=vision_width,
        intermediate_size=state["encoder.layer.0.intermediate.dense.weight"].shape[0],
        num_hidden_layers=_layers(state, r"encoder\.layer\.(\d+)\."),
        num_attention_heads=max(1, width // _HEAD),
        max_position_embeddings=state["embeddings.position_embeddings.weight"].shape[0],
        bos_token_id=None,
        sep_token_id=None,
        pad_token_id=0,
    )
