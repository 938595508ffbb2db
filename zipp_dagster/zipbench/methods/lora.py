"""A LoRA on the U-Net for each person: the customary fine-tuning, and what it costs."""

from __future__ import annotations

from typing import Any

from zipp_dagster.zipbench.config import MethodSettings
from zipp_dagster.zipbench.methods.base import ForSomePeople, Method, Rewriting
from zipp_dagster.zipbench.methods.personal import Personal

_OPTIONS = ("lora_steps", "lora_batch", "lora_rate", "lora_images")


def _make(options: MethodSettings, _: Any) -> Any:
    from zipp_dagster.imaging.personal.lora import Lora

    return Lora(
        steps=options.lora_steps,
        batch=options.lora_batch,
        rate=options.lora_rate,
        images=options.lora_images,
    )


METHOD = Method(
    name="lora",
    label="LoRA a person",
    role="baseline",
    description="The generic prompt, drawn by a U-Net that was fine-tuned on the person's latest "
    "visible pictures and titles.",
    prompts=ForSomePeople(Rewriting("no_persona")),
    image=Personal("lora", _make, _OPTIONS, needs="peft", unet=True),
)
