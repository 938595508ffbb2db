"""The baseline of every comparison: a generic rewrite."""

from __future__ import annotations

from zipp_dagster.zipbench.methods.base import Method, Rewriting

METHOD = Method(
    name="no_persona",
    label="no persona",
    role="baseline",
    description="The same rewriter improves the prompt and knows nothing about the person.",
    prompts=Rewriting("no_persona"),
)
