"""Randomly initialised checkpoints of the classes that users bring, a few hundred KB each."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from zipp_dagster.imaging.tokenizer import train_tokenizer


def tiny_tokenizer(directory: Path) -> CLIPTokenizer:
    return train_tokenizer(directory, vocabulary=700)


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
        mid_block_add_attention=False,
    )


def _text_config(tokenizer: CLIPTokenizer, width: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length,
        projection_dim=width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _unet(cross: int, **options: object) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=2,
        cross_attention_dim=cross,
        use_linear_projection=True,
        **options,
    )


def tiny_sd(directory: Path) -> Path:
    """A Stable Diffusion 1.5 class pipeline saved to a directory."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(directory.parent / "tokenizer")
    StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text_config(tokenizer, 16)),
        tokenizer=tokenizer,
        unet=_unet(16),
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(directory, safe_serialization=True)
    return directory


def tiny_sdxl(directory: Path) -> Path:
    """A Stable Diffusion XL class pipeline saved to a directory."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(directory.parent / "tokenizer")
    StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text_config(tokenizer, 8)),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(tokenizer, 8)),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=_unet(
            16,
            addition_embed_type="text_time",
            addition_time_embed_dim=4,
            projection_class_embeddings_input_dim=6 * 4 + 8,
        ),
        scheduler=EulerDiscreteScheduler(steps_offset=1),
        add_watermarker=False,
    ).save_pretrained(directory, safe_serialization=True)
    return directory


def tiny_clip(directory: Path) -> Path:
    """A CLIP class model with tokenizer and image preparation saved to a directory."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(directory)
    config = CLIPConfig(
        text_config=_text_config(tokenizer, 16).to_dict(),
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 24,
            "patch_size": 8,
            "projection_dim": 12,
        },
        projection_dim=12,
    )
    CLIPModel(config).save_pretrained(directory, safe_serialization=True)
    preparation = {
        "size": {"shortest_edge": 24},
        "do_center_crop": True,
        "crop_size": {"height": 24, "width": 24},
        "image_mean": [0.48, 0.46, 0.41],
        "image_std": [0.27, 0.26, 0.28],
    }
    (directory / "preprocessor_config.json").write_text(json.dumps(preparation))
    return directory
