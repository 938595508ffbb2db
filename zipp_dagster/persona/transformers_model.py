"""A language model in this process, by transformers: text or image-text, a directory or a hub id."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch  # noqa: TID253 - this module's subject; nothing imports it at module top
from transformers import (  # noqa: TID253
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
)
from transformers.models.auto.modeling_auto import (  # noqa: TID253
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
)

from zipp_dagster.persona.config import LanguageModelSettings
from zipp_dagster.persona.language_models import Conversation, LanguageModelError, Usage
from zipp_dagster.persona.model_files import model_files


class TransformersModel:
    """Greedy or sampled generation with the chat template, left-padded batches.

    An image-text checkpoint is recognised by its config and sees the images of messages. With
    `constrained`, only text that can still become JSON of the schema is ever chosen.
    """

    def __init__(self, settings: LanguageModelSettings, home: Path | None = None) -> None:
        """Loads tokenizer and weights. Raises LanguageModelError if there is no such model.

        Hashes of a directory's files are remembered under `home`.
        """
        self._settings = settings
        self._usage = Usage()
        where = {"revision": settings.revision}
        try:
            config = AutoConfig.from_pretrained(settings.model, **where)
            sees = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
            self._processor: Any = None
            if sees:
                self._processor = AutoProcessor.from_pretrained(settings.model, **where)
            self._tokenizer: Any = (
                self._processor.tokenizer
                if sees
                else AutoTokenizer.from_pretrained(settings.model, **where)
            )
            kind: Any = AutoModelForImageTextToText if sees else AutoModelForCausalLM
            loaded = kind.from_pretrained(settings.model, use_safetensors=True, **where)
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
        text_config = config.get_text_config()
        self._window = getattr(text_config, "max_position_embeddings", None) or 1_000_000
        self._constraints = _Constraints(self._tokenizer) if settings.constrained else None
        # A directory's content, a hub model's revision.
        version = model_files(settings, home)[:12] or settings.revision or "main"
        self._name = f"transformers:{Path(settings.model).name}@{version}"

    @property
    def name(self) -> str:
        """Kind, model, and revision or the first of the hash of the directory's files."""
        return self._name

    @property
    def usage(self) -> Usage:
        """Calls and tokens so far."""
        return self._usage

    @property
    def sees(self) -> bool:
        """Whether the checkpoint is an image-text model."""
        return self._processor is not None

    def generate(
        self, conversations: Sequence[Conversation], schema: Mapping[str, Any] | None = None
    ) -> list[str]:
        """Answers in order; with a schema, JSON that fits it as far as `max_new_tokens` reach.

        Prompts longer than the model's window are cut at the front of the text, with the answer's
        room kept. Batches are formed by length, so that padding stays small.
        """
        texts = [self._render(conversation) for conversation in conversations]
        images = [_images(conversation) if self.sees else [] for conversation in conversations]
        answers = [""] * len(texts)
        # Pictures apart from none: a processor takes images for all texts of a batch or for none.
        order = sorted(range(len(texts)), key=lambda i: (bool(images[i]), len(texts[i])))
        for rows in _batches(order, images, self._settings.batch_size):
            batch = self._inputs([texts[i] for i in rows], [images[i] for i in rows])
            for row, answer in zip(rows, self._answers(batch, schema), strict=True):
                answers[row] = answer
        return answers

    def _render(self, conversation: Conversation) -> str:
        turns = [
            {"role": m.role, "content": self._content(m.content, len(m.images))}
            for m in conversation
        ]
        renderer = self._processor if self.sees else self._tokenizer
        if getattr(renderer, "chat_template", None):
            return str(
                renderer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            )
        return "\n\n".join(f"{t['role']}: {t['content']}" for t in turns) + "\n\nassistant:"

    def _content(self, text: str, images: int) -> Any:
        if not self.sees:
            return text
        return [*({"type": "image"} for _ in range(images)), {"type": "text", "text": text}]

    def _inputs(self, texts: list[str], images: list[list[Any]]) -> Any:
        if any(images):
            return self._processor(text=texts, images=images, return_tensors="pt", padding=True)
        self._tokenizer.truncation_side = "left"
        return self._tokenizer(
            texts,
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=self._window - self._room(),
            add_special_tokens=not self._tokenizer.chat_template,
        )

    def _room(self) -> int:
        return min(self._settings.max_new_tokens, max(8, self._window // 2))

    def _answers(self, inputs: Any, schema: Mapping[str, Any] | None) -> list[str]:
        settings = self._settings
        inputs = inputs.to(settings.device)
        how: dict[str, Any] = {"do_sample": False}
        if settings.temperature > 0:
            how = {"do_sample": True, "temperature": settings.temperature}
            torch.manual_seed(0)
        length = inputs["input_ids"].shape[1]
        if schema is not None and self._constraints is not None:
            how["prefix_allowed_tokens_fn"] = self._constraints.allowed(schema, length)
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            output = self._model.generate(
                **inputs,
                max_new_tokens=self._room(),
                pad_token_id=self._tokenizer.pad_token_id,
                **how,
            )
        fresh = output[:, length:]
        self._usage.calls += 1
        self._usage.prompt_tokens += int(inputs["attention_mask"].sum())
        self._usage.completion_tokens += int((fresh != self._tokenizer.pad_token_id).sum())
        return [
            text.strip() for text in self._tokenizer.batch_decode(fresh, skip_special_tokens=True)
        ]


class _Constraints:
    """Which tokens keep an answer within a JSON schema, by lm-format-enforcer."""

    def __init__(self, tokenizer: Any) -> None:
        from lmformatenforcer import TokenEnforcerTokenizerData

        special = set(tokenizer.all_special_ids)
        # What a token adds after another one: decoding it alone would lose a leading space.
        base = tokenizer.encode("0", add_special_tokens=False)[-1:]
        before = len(tokenizer.decode(base))
        regular = [
            (i, tokenizer.decode([*base, i])[before:], False)
            for i in range(len(tokenizer))
            if i not in special
        ]
        self._data = TokenEnforcerTokenizerData(
            regular,
            lambda ids: tokenizer.decode(ids).rstrip("\ufffd"),
            tokenizer.eos_token_id,
            False,
            len(tokenizer),
        )

    def allowed(self, schema: Mapping[str, Any], prompt_tokens: int) -> Any:
        """A function of the batch row and its ids so far, for transformers."""
        from lmformatenforcer import JsonSchemaParser, TokenEnforcer

        parser = JsonSchemaParser(dict(schema))
        enforcer = TokenEnforcer(self._data, parser)  # gives the parser its configuration
        # Blanks say nothing: without a bound a weak model may write nothing else.
        parser.config.max_consecutive_whitespaces = 1

        def function(row: int, ids: torch.Tensor) -> list[int]:
            return list(enforcer.get_allowed_tokens(ids[prompt_tokens:].tolist()).allowed_tokens)

        return function


def _images(conversation: Conversation) -> list[Any]:
    from PIL import Image

    return [Image.open(io.BytesIO(data)).convert("RGB") for m in conversation for data in m.images]


def _batches(order: list[int], images: list[list[Any]], size: int) -> list[list[int]]:
    batches: list[list[int]] = []
    for kind in (False, True):
        rows = [i for i in order if bool(images[i]) is kind]
        batches += [rows[start : start + size] for start in range(0, len(rows), size)]
    return batches
