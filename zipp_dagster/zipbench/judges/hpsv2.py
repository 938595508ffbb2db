"""HPSv2 (Wu et al., arXiv 2306.09341): an OpenCLIP ViT-H/14 tuned on human choices; the cosine.

The published file is an OpenCLIP state dict. It is read into transformers' `CLIPModel`, whose sizes
follow from the tensors, so that no other library is needed.
"""

# ruff: noqa: TID253  (torch: this module's subject)
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer, CLIPConfig, CLIPModel

from zipp_dagster.imaging.encoders import ClipEncoder, Preparation
from zipp_dagster.imaging.pipelines import pick_device
from zipp_dagster.zipbench.config import JudgeSettings
from zipp_dagster.zipbench.judges.loading import checkpoint_file

FILE = "HPS_v2.1_compressed.pt"
TOKENIZER = "openai/clip-vit-large-patch14"  # the byte-pair vocabulary of every CLIP
_MEAN, _SPREAD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_HEAD = {"text": 64, "vision": 80}  # widths of an attention head in ViT-H/14
_RENAMES = (
    (r"^visual\.class_embedding$", "vision_model.embeddings.class_embedding"),
    (r"^visual\.positional_embedding$", "vision_model.embeddings.position_embedding.weight"),
    (r"^visual\.conv1\.", "vision_model.embeddings.patch_embedding."),
    (r"^visual\.ln_pre\.", "vision_model.pre_layrnorm."),
    (r"^visual\.ln_post\.", "vision_model.post_layernorm."),
    (r"^visual\.transformer\.resblocks\.", "vision_model.encoder.layers."),
    (r"^transformer\.resblocks\.", "text_model.encoder.layers."),
    (r"^token_embedding\.", "text_model.embeddings.token_embedding."),
    (r"^positional_embedding$", "text_model.embeddings.position_embedding.weight"),
    (r"^ln_final\.", "text_model.final_layer_norm."),
    (r"\.ln_1\.", ".layer_norm1."),
    (r"\.ln_2\.", ".layer_norm2."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
    (r"\.attn\.out_proj\.", ".self_attn.out_proj."),
)


class Hpsv2:
    """An OpenCLIP checkpoint of ViT-H/14 layout; `judge.tokenizer` names another vocabulary."""

    def __init__(self, model: str, settings: JudgeSettings) -> None:
        """Loads the state dict without running any pickled code. OSError without the file."""
        path = checkpoint_file(model, settings.revision, FILE)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        clip = clip_from_openclip(loaded.get("state_dict", loaded))
        vision: Any = clip.config.vision_config
        side = int(vision.image_size)
        self._encoder = ClipEncoder(
            clip,
            AutoTokenizer.from_pretrained(settings.tokenizer or TOKENIZER),
            "hpsv2",
            path.name,
            Preparation(side, side, _MEAN, _SPREAD),
            pick_device(settings.device),
        )
        self.name = f"hpsv2:{path.stem}"

    def score(self, prompts: Sequence[str], images: Sequence[bytes]) -> NDArray[np.float64]:
        """Cosine of text and image, float64 [n]."""
        texts = self._encoder.embed_texts(prompts).astype(np.float64)
        return np.einsum("nd,nd->n", texts, self._encoder.embed_images(images).astype(np.float64))


def clip_from_openclip(state: Mapping[str, torch.Tensor]) -> CLIPModel:
    """An OpenCLIP state dict as a `CLIPModel`; RuntimeError where tensors are missing or left over."""
    state = {key.removeprefix("module."): value for key, value in state.items()}
    model = CLIPModel(_config(state))
    renamed: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        if key in ("attn_mask", "visual.attn_mask"):
            continue  # a constant, which OpenCLIP stores
        if key == "text_projection":
            renamed["text_projection.weight"] = value.T.contiguous()
        elif key == "visual.proj":
            renamed["visual_projection.weight"] = value.T.contiguous()
        else:
            renamed |= _renamed(key, value)
    model.load_state_dict(renamed, strict=True)
    return model.eval()


def _renamed(key: str, value: torch.Tensor) -> dict[str, torch.Tensor]:
    new = key
    for pattern, replacement in _RENAMES:
        new = re.sub(pattern, replacement, new)
    joined = re.search(r"\.attn\.in_proj_(weight|bias)$", new)
    if not joined:
        return {new: value}
    stem = new[: joined.start()]
    parts = value.chunk(3)  # OpenCLIP keeps query, key and value in one matrix
    return {
        f"{stem}.self_attn.{name}_proj.{joined.group(1)}": part
        for name, part in zip("qkv", parts, strict=True)
    }


def _config(state: Mapping[str, torch.Tensor]) -> CLIPConfig:
    def layers(prefix: str) -> int:
        found = [key for key in state if re.match(rf"{prefix}\.\d+\.ln_1\.weight$", key)]
        return len(found)

    vocabulary, text_width = state["token_embedding.weight"].shape
    vision_width, _, patch, _ = state["visual.conv1.weight"].shape
    positions = state["visual.positional_embedding"].shape[0] - 1
    text: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": text_width,
        "intermediate_size": state["transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        "num_hidden_layers": layers(r"transformer\.resblocks"),
        "num_attention_heads": max(1, text_width // _HEAD["text"]),
        "max_position_embeddings": state["positional_embedding"].shape[0],
        "hidden_act": "gelu",
        # OpenCLIP reads the text at its last token, which has the highest number of all.
        "eos_token_id": vocabulary - 1,
        "bos_token_id": vocabulary - 2,
        "pad_token_id": vocabulary - 1,
    }
    vision: dict[str, Any] = {
        "hidden_size": vision_width,
        "intermediate_size": state["visual.transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        "num_hidden_layers": layers(r"visual\.transformer\.resblocks"),
        "num_attention_heads": max(1, vision_width // _HEAD["vision"]),
        "image_size": patch * round(positions**0.5),
        "patch_size": patch,
        "hidden_act": "gelu",
    }
    width = state["text_projection"].shape[1]
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=width)
