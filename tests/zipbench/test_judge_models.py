"""The published judges' file formats, with tiny random weights in their layout."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.imaging.tiny_models import tiny_clip, tiny_tokenizer
from tests.zipbench.worlds import png
from zipp_dagster.imaging.encoders import Preparation
from zipp_dagster.zipbench.config import JudgeSettings
from zipp_dagster.zipbench.judges.base import JudgeError, Pair, judge_pairs
from zipp_dagster.zipbench.judges.loading import load_judge

PROMPTS = ["a fox", "an owl in the mist"]
IMAGES = [png((200, 30, 40), 32), png((20, 90, 220), 32)]


def test_pickscore_is_the_scaled_cosine_of_a_clip_checkpoint(tmp_path):
    judge = load_judge(
        JudgeSettings(kind="pickscore", model=str(tiny_clip(tmp_path)), device="cpu")
    )
    rewards = judge.score(PROMPTS, IMAGES)
    from transformers import AutoTokenizer, CLIPModel

    model = CLIPModel.from_pretrained(tmp_path).eval()
    pixels = Preparation.of(tmp_path).apply(IMAGES)
    ids = AutoTokenizer.from_pretrained(tmp_path)(PROMPTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(**ids, pixel_values=pixels).logits_per_image.diagonal()
    assert rewards == pytest.approx(logits.numpy(), rel=1e-4)
    assert judge.name.startswith("pickscore:")


class OpenClip(torch.nn.Module):
    """OpenCLIP's forward pass, written out: one joint input projection, pre-norm blocks, GELU."""

    def __init__(self, vocabulary: int, positions: int) -> None:
        super().__init__()
        text, vision, out = 64, 80, 24
        self.token_embedding = torch.nn.Embedding(vocabulary, text)
        self.positional_embedding = torch.nn.Parameter(torch.randn(positions, text) * 0.1)
        self.transformer = self._transformer(text)
        self.ln_final = torch.nn.LayerNorm(text)
        self.text_projection = torch.nn.Parameter(torch.randn(text, out) * 0.1)
        self.logit_scale = torch.nn.Parameter(torch.tensor(2.0))
        visual = torch.nn.Module()
        visual.conv1 = torch.nn.Conv2d(3, vision, 8, 8, bias=False)
        visual.class_embedding = torch.nn.Parameter(torch.randn(vision) * 0.1)
        visual.positional_embedding = torch.nn.Parameter(torch.randn(17, vision) * 0.1)
        visual.ln_pre, visual.ln_post = torch.nn.LayerNorm(vision), torch.nn.LayerNorm(vision)
        visual.transformer = self._transformer(vision)
        visual.proj = torch.nn.Parameter(torch.randn(vision, out) * 0.1)
        self.visual = visual

    def _transformer(self, width: int) -> torch.nn.Module:
        blocks = torch.nn.ModuleList()
        for _ in range(2):
            block = torch.nn.Module()
            block.ln_1, block.ln_2 = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
            block.attn = torch.nn.MultiheadAttention(width, 1, batch_first=True)
            block.mlp = torch.nn.Module()
            block.mlp.c_fc = torch.nn.Linear(width, 2 * width)
            block.mlp.c_proj = torch.nn.Linear(2 * width, width)
            blocks.append(block)
        whole = torch.nn.Module()
        whole.resblocks = blocks
        return whole

    def _run(self, whole: torch.nn.Module, x: torch.Tensor, mask=None) -> torch.Tensor:
        for block in whole.resblocks:
            y = block.ln_1(x)
            x = x + block.attn(y, y, y, attn_mask=mask, need_weights=False)[0]
            x = x + block.mlp.c_proj(F.gelu(block.mlp.c_fc(block.ln_2(x))))
        return x

    def text(self, ids: torch.Tensor) -> torch.Tensor:
        length = ids.shape[1]
        mask = torch.full((length, length), float("-inf")).triu(1)
        x = self.token_embedding(ids) + self.positional_embedding[:length]
        x = self.ln_final(self._run(self.transformer, x, mask))
        return x[torch.arange(len(ids)), ids.argmax(1)] @ self.text_projection

    def image(self, pixels: torch.Tensor) -> torch.Tensor:
        v = self.visual
        x = v.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([v.class_embedding.expand(len(x), 1, -1), x], 1) + v.positional_embedding
        x = self._run(v.transformer, v.ln_pre(x))
        return v.ln_post(x[:, 0]) @ v.proj


def test_hpsv2_reads_an_openclip_state_dict_and_equals_openclips_own_arithmetic(tmp_path):
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(tmp_path / "tokenizer")
    # As in CLIP's vocabulary, the end mark has the highest number.
    assert tokenizer.eos_token_id == len(tokenizer) - 1
    net = OpenClip(len(tokenizer), 77).eval()
    file = tmp_path / "HPS_tiny.pt"
    torch.save({"state_dict": net.state_dict()}, file)
    settings = JudgeSettings(
        kind="hpsv2", model=str(file), tokenizer=str(tmp_path / "tokenizer"), device="cpu"
    )
    judge = load_judge(settings)
    pixels = Preparation(
        32, 32, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    ).apply(IMAGES)
    ids = tokenizer(PROMPTS, padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.no_grad():
        oracle = F.cosine_similarity(net.text(ids), net.image(pixels))
    assert judge.score(PROMPTS, IMAGES) == pytest.approx(oracle.numpy(), abs=1e-5)


def test_a_state_dict_of_another_model_is_an_error(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "x.pt")
    with pytest.raises(JudgeError, match=r"judge.model='.*x.pt' cannot be loaded"):
        load_judge(JudgeSettings(kind="hpsv2", model=str(tmp_path / "x.pt")))


def bert_tokenizer(directory) -> str:
    directory.mkdir()
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "a",
        "fox",
        "an",
        "owl",
        "in",
        "the",
        "mist",
    ]
    (directory / "vocab.txt").write_text("\n".join(words))
    (directory / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer"})
    )
    (directory / "config.json").write_text(json.dumps({"model_type": "bert"}))
    return str(directory)


def imagereward_state(vision: int = 64, text: int = 64, words: int = 12) -> dict[str, torch.Tensor]:
    """The authors' key names, with one layer each."""
    torch.manual_seed(1)

    def linear(name: str, out: int, wide: int) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": torch.randn(out, wide) * 0.1, f"{name}.bias": torch.zeros(out)}

    def norm(name: str, width: int) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": torch.ones(width), f"{name}.bias": torch.zeros(width)}

    v, t = "blip.visual_encoder", "blip.text_encoder"
    state = {
        f"{v}.cls_token": torch.randn(1, 1, vision),
        f"{v}.pos_embed": torch.randn(1, 17, vision) * 0.1,
        f"{v}.patch_embed.proj.weight": torch.randn(vision, 3, 8, 8) * 0.1,
        f"{v}.patch_embed.proj.bias": torch.zeros(vision),
        **norm(f"{v}.blocks.0.norm1", vision),
        **norm(f"{v}.blocks.0.norm2", vision),
        **linear(f"{v}.blocks.0.attn.qkv", 3 * vision, vision),
        **linear(f"{v}.blocks.0.attn.proj", vision, vision),
        **linear(f"{v}.blocks.0.mlp.fc1", 2 * vision, vision),
        **linear(f"{v}.blocks.0.mlp.fc2", vision, 2 * vision),
        **norm(f"{v}.norm", vision),
        f"{t}.embeddings.position_ids": torch.arange(40)[None],
        f"{t}.embeddings.word_embeddings.weight": torch.randn(words, text),
        f"{t}.embeddings.position_embeddings.weight": torch.randn(40, text) * 0.1,
        **norm(f"{t}.embeddings.LayerNorm", text),
        **linear(f"{t}.encoder.layer.0.intermediate.dense", 2 * text, text),
        **linear(f"{t}.encoder.layer.0.output.dense", text, 2 * text),
        **norm(f"{t}.encoder.layer.0.output.LayerNorm", text),
    }
    for kind, wide in (("attention", text), ("crossattention", vision)):
        stem = f"{t}.encoder.layer.0.{kind}"
        state |= linear(f"{stem}.self.query", text, text)
        state |= linear(f"{stem}.self.key", text, wide) | linear(f"{stem}.self.value", text, wide)
        state |= linear(f"{stem}.output.dense", text, text)
        state |= norm(f"{stem}.output.LayerNorm", text)
    for place, (out, wide) in {
        0: (32, text),
        2: (16, 32),
        4: (8, 16),
        6: (4, 8),
        7: (1, 4),
    }.items():
        state |= linear(f"mlp.layers.{place}", out, wide)
    return state


def test_imagereward_reads_the_authors_state_dict_and_follows_picture_and_prompt(tmp_path):
    file = tmp_path / "ImageReward.pt"
    torch.save(imagereward_state(), file)
    settings = JudgeSettings(
        kind="imagereward",
        model=str(file),
        tokenizer=bert_tokenizer(tmp_path / "bert"),
        device="cpu",
    )
    judge = load_judge(settings)
    rewards = judge.score([*PROMPTS, PROMPTS[0]], [*IMAGES, IMAGES[1]])
    assert rewards.shape == (3,) and np.isfinite(rewards).all()
    assert len({round(float(r), 6) for r in rewards}) == 3  # the prompt and the picture both count
    assert judge.score(PROMPTS[:1], IMAGES[:1])[0] == pytest.approx(rewards[0], abs=1e-5)
    # The published head is linear layers with dropouts between, normalised by the authors' figures.
    state = imagereward_state()
    state["mlp.layers.7.weight"] *= 0
    state["mlp.layers.7.bias"] += 0.16717362830052426 + 1.0333394966054072
    torch.save(state, file)
    assert load_judge(settings).score(PROMPTS, IMAGES) == pytest.approx([1.0, 1.0])


def test_a_tensor_that_is_missing_is_named(tmp_path):
    state = imagereward_state()
    del state["blip.text_encoder.encoder.layer.0.crossattention.self.key.weight"]
    torch.save(state, tmp_path / "i.pt")
    with pytest.raises(JudgeError, match="crossattention.self.key.weight"):
        load_judge(JudgeSettings(kind="imagereward", model=str(tmp_path / "i.pt")))


def test_an_answer_names_one_letter_or_it_cannot_be_read():
    from zipp_dagster.zipbench.judges.vlm import parse_answer

    assert [parse_answer(t) for t in ("A", "**B**.", "Answer: T")] == ["first", "second", "tie"]
    assert parse_answer("A is better than B") is None and parse_answer("both are nice") is None


def tiny_llava(directory, says: str) -> str:
    """A LLaVA-class chat model that sees two pictures and always answers with one letter."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    special = ["<pad>", "<unk>", "<s>", "</s>", "<image>"]
    words = special + ["A", "B", "T", "maybe"] + "fox prompt person likes fog".split()
    plain = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<image>"],
    )
    template = (
        "{% for m in messages %}{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}"
        "{% endfor %}{% endfor %}"
    )
    side = {"height": 24, "width": 24}
    LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": 24}, crop_size=side),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
        chat_template=template,
    ).save_pretrained(directory)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**sizes, num_hidden_layers=2, image_size=24, patch_size=8),
        text_config=LlamaConfig(
            **sizes,
            vocab_size=len(tokenizer),
            num_key_value_heads=2,
            num_hidden_layers=1,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=3,
        ),
        image_token_index=4,
    )
    model = LlavaForConditionalGeneration(config)
    with torch.no_grad():  # whatever it reads, the last state points at one word
        model.model.language_model.norm.weight.zero_()
        model.lm_head.weight.zero_()
    model.generation_config.suppress_tokens = [i for i, word in enumerate(words) if word != says]
    model.save_pretrained(directory)
    return str(directory)


@pytest.mark.parametrize(("says", "outcome"), [("A", "inconclusive"), ("maybe", "unparsed")])
def test_a_chat_model_sees_both_pictures_in_both_orders_and_its_words_are_read(
    tmp_path, says, outcome
):
    model = tiny_llava(tmp_path, says)
    judge = load_judge(JudgeSettings(kind="vlm", model=model, device="cpu", max_new_tokens=3))
    judged = judge_pairs(judge, [Pair("a fox", *IMAGES, "likes fog")])
    assert judged.outcomes == (outcome,)
