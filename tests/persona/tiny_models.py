"""Checkpoints of real classes with a few thousand random weights, as directories."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

SIDE, PATCH = 32, 16
CHAT = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
CHAT_WITH_IMAGES = (
    "{% for m in messages %}{{ m.role }}: {% for part in m.content %}"
    "{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}\n{% endfor %}"
)


def tiny_language_model(folder: Path) -> Path:
    """A Llama-class model with a byte-level tokenizer."""
    import torch
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    torch.set_num_threads(1)
    tokenizer = _tokenizer(["<pad>", "<eos>"])
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    LlamaForCausalLM(_text_config(len(tokenizer))).save_pretrained(folder)
    return folder


def tiny_image_text_model(folder: Path) -> Path:
    """A LLaVA-class model: CLIP vision tower, projector, Llama; its processor beside it."""
    import torch
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    torch.manual_seed(0)
    torch.set_num_threads(1)
    tokenizer = _tokenizer(["<pad>", "<eos>", "<image>"])
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
        ),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        chat_template=CHAT_WITH_IMAGES,
        num_additional_image_tokens=1,
    )
    processor.save_pretrained(folder)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=SIDE,
            patch_size=PATCH,
        ),
        text_config=_text_config(len(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    model = LlavaForConditionalGeneration(config)
    with torch.no_grad():
        # Random weights are so small that no picture would matter: make what is seen louder.
        model.model.multi_modal_projector.linear_2.weight.mul_(200)
    model.save_pretrained(folder)
    return folder


def picture(color: tuple[int, int, int]) -> bytes:
    """A plain PNG."""
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), color).save(out, "PNG")
    return out.getvalue()


def _tokenizer(special: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*special, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        additional_special_tokens=special[2:],
    )


def _text_config(vocabulary: int) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
