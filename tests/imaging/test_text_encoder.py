from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from zipp_dagster.imaging.text_encoder import fit_text_encoder, load_text_encoder

DOCUMENTS = [
    "aquarium fish tank water plants fish",
    "fish water aquarium filter tank",
    "guitar chords strings music song",
    "music song guitar amplifier strings",
    "bread flour oven baking yeast",
    "baking flour bread sourdough oven",
]


def test_documents_of_one_topic_are_nearest(tmp_path):
    encoder = fit_text_encoder(DOCUMENTS, tmp_path, dim=3)
    embedded = encoder.embed(DOCUMENTS)
    likeness = embedded @ embedded.T - 2 * np.eye(6)
    assert likeness.argmax(1).tolist() == [1, 0, 3, 2, 5, 4]
    assert np.allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)


def test_a_saved_encoder_gives_the_same_numbers(tmp_path):
    encoder = fit_text_encoder(DOCUMENTS, tmp_path, dim=3)
    again = load_text_encoder(tmp_path)
    assert (again.embed(DOCUMENTS) == encoder.embed(DOCUMENTS)).all()
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".npz"]


def test_fitting_twice_writes_the_same_bytes(tmp_path):
    fit_text_encoder(DOCUMENTS, tmp_path / "a", dim=3)
    fit_text_encoder(DOCUMENTS, tmp_path / "b", dim=3)
    for name in ("text_encoder.json", "text_encoder.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_unknown_words_give_zeros(tmp_path):
    encoder = fit_text_encoder(DOCUMENTS, tmp_path, dim=3)
    assert not encoder.embed(["zzz qqq", ""]).any()


def test_documents_without_words_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="no usable words"):
        fit_text_encoder(["1 2 3", "4 5"], tmp_path, dim=3)


def test_a_sentence_encoder_is_mean_pooled_over_real_tokens(tmp_path):
    import importlib

    importlib.import_module("tiny_models").tiny_tokenizer(tmp_path)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=3000,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(tmp_path, safe_serialization=True)
    encoder = load_text_encoder(tmp_path, device="cpu")
    alone = encoder.embed(["a cat"])
    padded = encoder.embed(["a cat", "a much longer text about a castle in the night"])[:1]
    assert alone.shape == (1, 8)
    assert np.allclose(alone, padded, atol=1e-5)
