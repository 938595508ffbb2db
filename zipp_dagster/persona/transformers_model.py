"""A causal language model in this process, by transformers: a directory or a hub id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch  # noqa: TID253 - this module's subject; nothing imports it at module top
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: TID253

from zipp_dagster.persona.config import LanguageModelSettings
from zipp_dagster.persona.language_models import Conversation, LanguageModelError, Usage


class TransformersModel:
    """Greedy or sampled generation with the tokenizer's chat template, left-padded batches."""

    def __init__(self, settings: LanguageModelSettings) -> None:
        """Loads tokenizer and weights. Raises LanguageModelError if there is no such model."""
        self._settings = settings
        self._usage = Usage()
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(
                settings.model, revision=settings.revision
            )
            loaded = AutoModelForCausalLM.from_pretrained(
                settings.model, revision=settings.revision
            )
        except (OSError, ValueError) as error:
            raise LanguageModelError(
                f"cannot load the language model {settings.model!r} "
                f"(persona.language_model.model): {error}"
            ) from error
        # Decorated methods of transformers are beyond a type checker.
        self._model: Any = cast(Any, loaded).to(settings.device).eval()
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._name = f"transformers:{Path(settings.model).name}@{_fingerprint(settings)}"

    @property
    def name(self) -> str:
        """Kind, model, and revision or fingerprint of the directory."""
        return self._name

    @property
    def usage(self) -> Usage:
        """Calls and tokens so far."""
        return self._usage

    def generate(
        self, conversations: Sequence[Conversation], schema: Mapping[str, Any] | None = None
    ) -> list[str]:
        """Answers in order. The schema is asked for in the prompt, and not enforced here.

        Prompts longer than the model's window are cut at the front of the text, with the answer's
        room kept. Batches are formed by length, so that padding stays small.
        """
        texts = [self._render(conversation) for conversation in conversations]
        answers = [""] * len(texts)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        size = self._settings.batch_size
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            for row, answer in zip(rows, self._batch([texts[i] for i in rows]), strict=True):
                answers[row] = answer
        return answers

    def _render(self, conversation: Conversation) -> str:
        turns = [{"role": message.role, "content": message.content} for message in conversation]
        if self._tokenizer.chat_template:
            return str(
                self._tokenizer.apply_chat_template(
                    turns, tokenize=False, add_generation_prompt=True
                )
            )
        return "\n\n".join(f"{t['role']}: {t['content']}" for t in turns) + "\n\nassistant:"

    def _batch(self, prompts: list[str]) -> list[str]:
        settings = self._settings
        window = getattr(self._model.config, "max_position_embeddings", None) or 1_000_000
        new_tokens = min(settings.max_new_tokens, max(8, window // 2))
        self._tokenizer.truncation_side = "left"
        inputs = self._tokenizer(
            prompts,
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=window - new_tokens,
            add_special_tokens=not self._tokenizer.chat_template,
        ).to(settings.device)
        sampling: dict[str, Any] = {"do_sample": False}
        if settings.temperature > 0:
            sampling = {"do_sample": True, "temperature": settings.temperature}
            torch.manual_seed(0)
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                max_new_tokens=new_tokens,
                pad_token_id=self._tokenizer.pad_token_id,
                **sampling,
            )
        fresh = output[:, inputs["input_ids"].shape[1] :]
        self._usage.calls += 1
        self._usage.prompt_tokens += int(inputs["attention_mask"].sum())
        self._usage.completion_tokens += int((fresh != self._tokenizer.pad_token_id).sum())
        return [
            text.strip() for text in self._tokenizer.batch_decode(fresh, skip_special_tokens=True)
        ]


def _fingerprint(settings: LanguageModelSettings) -> str:
    """The revision of a hub model; for a directory a hash of its config and file sizes."""
    folder = Path(settings.model)
    if not folder.is_dir():
        return settings.revision or "main"
    facts = [(f.name, f.stat().st_size) for f in sorted(folder.iterdir()) if f.is_file()]
    config = folder / "config.json"
    text = json.dumps(facts) + (config.read_text(encoding="utf-8") if config.exists() else "")
    return hashlib.sha256(text.encode()).hexdigest()[:12]
