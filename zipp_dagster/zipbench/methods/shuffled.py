"""The control for what a persona's words do without its meaning."""

from __future__ import annotations

from zipp_dagster.zipbench.methods.base import Method, Rewriting

METHOD = Method(
    name="shuffled",
    label="shuffled persona",
    role="control",
    description="ZIPP 0-shot with the own persona's tastes shuffled over its contexts.",
    prompts=Rewriting("shuffled"),
)
