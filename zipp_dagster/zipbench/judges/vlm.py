"""Vision-language models that compare two pictures: PIGReward, or any chat model that sees images.

PIGReward publishes weights and no inference template, so the question is ours: which of two pictures
a person with this persona would prefer for this prompt. Answers that name neither are counted.
"""

# ruff: noqa: TID253  (torch: this module's subject)
from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from zipp_dagster.imaging.pipelines import pick_device
from zipp_dagster.zipbench.config import JudgeSettings
from zipp_dagster.zipbench.judges.base import Answer, Pair

QUESTION = (
    "Two pictures, A (the first) and B (the second), were drawn for the prompt: {prompt}\n{person}"
    "Which one would this person prefer? Answer with one letter, A or B, or T if neither is better."
)
_LETTER = re.compile(r"(?:^|\W)(A|B|T)(?:\W|$)")
_ANSWERS: dict[str, Answer] = {"A": "first", "B": "second", "T": "tie"}


class VisionLanguageJudge:
    """Greedy answers, one pair at a time: the pictures of a chat do not batch over models."""

    def __init__(self, model: str, settings: JudgeSettings) -> None:
        """Loads processor and weights; OSError or ValueError without them."""
        self._processor: Any = AutoProcessor.from_pretrained(model, revision=settings.revision)
        self._device = pick_device(settings.device)
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            model, revision=settings.revision, use_safetensors=True
        )
        self._model = loaded.to(self._device).eval()
        self._tokens = settings.max_new_tokens
        self.name = f"vlm:{model}@{settings.revision or 'local'}"

    def compare(self, pairs: Sequence[Pair]) -> list[Answer]:
        """One answer a pair; None where neither letter is named, or both are."""
        return [parse_answer(self._ask(pair)) for pair in pairs]

    @torch.inference_mode()
    def _ask(self, pair: Pair) -> str:
        person = f"The person: {pair.person}\n" if pair.person else ""
        question = QUESTION.format(prompt=pair.prompt, person=person)
        content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": question}]
        text = self._processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        pictures = [Image.open(io.BytesIO(i)).convert("RGB") for i in (pair.first, pair.second)]
        inputs = self._processor(images=pictures, text=text, return_tensors="pt").to(self._device)
        output = self._model.generate(**inputs, max_new_tokens=self._tokens, do_sample=False)
        fresh = output[0, inputs["input_ids"].shape[1] :]
        return str(self._processor.decode(fresh, skip_special_tokens=True))


def parse_answer(text: str) -> Answer:
    """The letter that an answer names; None for none, or for several different ones."""
    found = set(_LETTER.findall(text))
    return _ANSWERS[found.pop()] if len(found) == 1 else None
