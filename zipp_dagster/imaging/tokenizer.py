"""The byte-level BPE tokenizer of the small CLIP and the small diffusion model.

Trained on the captions of the sample world; any other text still tokenizes, byte by byte at worst.
The result is a standard `CLIPTokenizer`.
"""

# ruff: noqa: TID253  (transformers: this module's subject)
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from zipp_dagster.imaging.dataset import FILLERS
from zipp_dagster.sampleworld.captions import caption
from zipp_dagster.sampleworld.vocabulary import FACTOR_VALUES, PARAPHRASES, all_factors

MAX_TOKENS = 40  # a caption has 10 to 25; every token costs the U-Net's cross-attention time
_START, _END = "<|startoftext|>", "<|endoftext|>"
_SUFFIX = "</w>"


def train_tokenizer(directory: Path, seed: int = 0, vocabulary: int = 3000) -> CLIPTokenizer:
    """Trains the tokenizer and saves it under `directory`."""
    rng = np.random.default_rng([seed, 101])
    texts = [caption(f, rng) for f in all_factors()]
    for group in (FACTOR_VALUES, PARAPHRASES):
        texts += [p for phrases in group.values() for options in phrases.values() for p in options]
    texts += list(FILLERS)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(end_of_word_suffix=_SUFFIX))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=1,
        end_of_word_suffix=_SUFFIX,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    bpe.train_from_iterator(sorted(texts), trainer)
    model = json.loads(bpe.to_str())["model"]
    merges = [
        tuple(pair) if isinstance(pair, list) else tuple(pair.split()) for pair in model["merges"]
    ]
    pieces = [*alphabet, *(letter + _SUFFIX for letter in alphabet)]
    pieces += ["".join(pair) for pair in merges]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    for special in (_START, _END):
        vocab[special] = len(vocab)
    directory.mkdir(parents=True, exist_ok=True)
    pairs: Any = merges
    tokenizer = CLIPTokenizer(
        vocab=vocab,
        merges=pairs,
        bos_token=_START,
        eos_token=_END,
        unk_token=_END,
        pad_token=_END,
        model_max_length=MAX_TOKENS,
    )
    tokenizer.save_pretrained(directory)
    return tokenizer


def encode(tokenizer: CLIPTokenizer, texts: list[str]) -> np.ndarray:
    """Token ids padded to the maximum, int64 [n, MAX_TOKENS], as the pipeline pads them."""
    out = tokenizer(
        texts,
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="np",
    )
    return np.asarray(out["input_ids"], dtype=np.int64)
