from __future__ import annotations

from pathlib import Path

import pytest

from zipp_dagster.persona.config import LanguageModelSettings, PersonaSettings
from zipp_dagster.persona.language_models import LanguageModelError, Message, load_language_model
from zipp_dagster.persona.personas import build_personas
from zipp_dagster.persona.rewriting import rewrite_prompt


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama-class model of a few thousand random weights, with a byte-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("tiny-llm")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")
    fast.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
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
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def load(checkpoint: Path):
    settings = LanguageModelSettings(
        kind="transformers", model=str(checkpoint), batch_size=2, max_new_tokens=8
    )
    return load_language_model(settings)


def test_a_batch_answers_in_order_whatever_the_lengths(checkpoint: Path) -> None:
    model = load(checkpoint)
    asked = [[Message("user", "hello " * n)] for n in (9, 1, 5)]
    together = model.generate(asked)
    assert together == model.generate(asked)
    assert len(together) == 3 and model.usage.completion_tokens > 0
    assert model.name.startswith(f"transformers:{checkpoint.name}@")


def test_a_prompt_longer_than_the_window_is_cut_and_answered(checkpoint: Path) -> None:
    assert len(load(checkpoint).generate([[Message("user", "word " * 2000)]])) == 1


def test_a_random_model_ends_in_quarantine_and_in_the_base_prompt(
    checkpoint: Path, evidence_file, tmp_path: Path
) -> None:
    model = load(checkpoint)
    file = evidence_file({1: ["I love watercolor foxes"]})
    report = build_personas([file], model, PersonaSettings(), tmp_path / "out")
    assert report.quarantined == 1 and list(report.reasons) == ["unparseable answer"]
    prompt, flags = rewrite_prompt("a fox", None, model, PersonaSettings())
    assert prompt == "a fox" and "subject_lost" in flags


def test_a_directory_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match=str(tmp_path)):
        load(tmp_path)
