"""How many tokens of a prompt a stored generator's text encoder would read; no torch needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from zipp_dagster.imaging.stored_models import stored_model


def token_counter(version_dir: Path) -> Callable[[str], int]:
    """A function that counts a prompt's tokens, start and end marks left out.

    `version_dir` is a version of the diffusion model, see `stored_models`.
    """
    from transformers import AutoTokenizer

    stored = stored_model(version_dir)
    tokenizer = AutoTokenizer.from_pretrained(
        str(stored.model), subfolder="tokenizer", revision=stored.revision
    )
    return lambda prompt: len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
