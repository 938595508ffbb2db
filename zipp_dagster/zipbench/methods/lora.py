"""A LoRA on the U-Net for each person: the customary fine-tuning, and what it costs."""

from __future__ import annotations

from typing import Any

from zipp_dagster.zipbench.config import MethodSettings
from zipp_dagster.zipbench.methods.base import ForSomePeople, Method, Rewriting
from zipp_dagster.zipbench.methods.personal import Personal


def _make(options: MethodSettings, _: Any) -> Any:
    from zipp_dagster.imaging.personal.lora import Lora

    return Lora(steps=options.lora_steps)


METHOD = Method(
    name="lora",
    label="LoRA a person",
    role="baseline",
    description="The generic prompt, drawn by a U-Net that was fine-tuned on the person's visible "
    "pictures and titles.",
    prompts=ForSomePeople(Rewriting("no_persona")),
    image=Personal("lora", _make, ("lora_steps",), needs="peft", unet=True),
)
