"""Randomly initialised checkpoints of the classes that users bring, a few hundred KB each."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Dinov2Config,
    Dinov2Model,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from zipp_dagster.imaging.tokenizer import train_tokenizer


def tiny_tokenizer(directory: Path) -> CLIPTokenizer:
    return train_tokenizer(directory, vocabulary=700)


def _t5() -> tuple[T5EncoderModel, T5Tokenizer]:
    letters = [(letter, -3.0) for letter in "▁abcdefghijklmnopqrstuvwxyz,"]
    tokenizer = T5Tokenizer(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *letters])
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2
    )
    return T5EncoderModel(config), tokenizer


def _vae(latent_channels: int = 4, **options: object) -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=4,
        sample_size=16,
        mid_block_add_attention=False,
        **options,
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


def tiny_sd3(directory: Path) -> Path:
    """A Stable Diffusion 3.5 class pipeline (two CLIP and a T5 tower) saved to a directory."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(directory.parent / "tokenizer")
    t5, t5_tokenizer = _t5()
    StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=16,
            caption_projection_dim=16,
            pooled_projection_dim=16,
            pos_embed_max_size=16,
            dual_attention_layers=(0,),
            qk_norm="rms_norm",
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=CLIPTextModelWithProjection(_text_config(tokenizer, 8)),
        tokenizer=tokenizer,
        text_encoder_2=CLIPTextModelWithProjection(_text_config(tokenizer, 8)),
        tokenizer_2=tokenizer,
        text_encoder_3=t5,
        tokenizer_3=t5_tokenizer,
    ).save_pretrained(directory, safe_serialization=True)
    return directory


def tiny_flux(directory: Path) -> Path:
    """A FLUX class pipeline (a CLIP and a T5 tower, guidance embedded) saved to a directory."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(directory.parent / "tokenizer")
    t5, t5_tokenizer = _t5()
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=_vae(shift_factor=0.1, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=CLIPTextModel(_text_config(tokenizer, 16)),
        tokenizer=tokenizer,
        text_encoder_2=t5,
        tokenizer_2=t5_tokenizer,
        transformer=FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            pooled_projection_dim=16,
            guidance_embeds=True,
            axes_dims_rope=(4, 4, 8),
        ),
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
    _save_preparation(directory)
    return directory


def tiny_dino(directory: Path) -> Path:
    """A DINOv2 class image encoder with its image preparation saved to a directory."""
    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=24, patch_size=8
    )
    Dinov2Model(config).save_pretrained(directory, safe_serialization=True)
    _save_preparation(directory)
    return directory


def tiny_sentence_encoder(directory: Path) -> Path:
    """A BERT class text encoder with its tokenizer saved to a directory."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(directory)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=128,
    )
    BertModel(config).save_pretrained(directory, safe_serialization=True)
    return directory


def _save_preparation(directory: Path) -> None:
    preparation = {
        "size": {"shortest_edge": 24},
        "do_center_crop": True,
        "crop_size": {"height": 24, "width": 24},
        "image_mean": [0.48, 0.46, 0.41],
        "image_std": [0.27, 0.26, 0.28],
    }
    (directory / "preprocessor_config.json").write_text(json.dumps(preparation))
