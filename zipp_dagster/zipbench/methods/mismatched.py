"""The control that shows personalisation: somebody else's persona."""

from __future__ import annotations

from zipp_dagster.zipbench.methods.base import Method, Rewriting

METHOD = Method(
    name="mismatched",
    label="mismatched persona",
    role="control",
    description="ZIPP 0-shot with another person's persona that knows as much about the subject.",
    prompts=Rewriting("mismatched"),
)
