"""FABRIC (arXiv 2307.10159): attention feedback from a person's latest pictures, no training."""

from __future__ import annotations

from typing import Any

from zipp_dagster.zipbench.config import MethodSettings
from zipp_dagster.zipbench.methods.base import ForSomePeople, Method, Rewriting
from zipp_dagster.zipbench.methods.personal import Personal


def _make(options: MethodSettings, _: Any) -> Any:
    from zipp_dagster.imaging.personal.fabric import Fabric

    return Fabric(images=options.fabric_images)


METHOD = Method(
    name="fabric",
    label="FABRIC",
    role="baseline",
    description="The generic prompt, drawn with attention to the person's latest visible pictures.",
    prompts=ForSomePeople(Rewriting("no_persona")),
    image=Personal("fabric", _make, ("fabric_images",), unet=True),
)
