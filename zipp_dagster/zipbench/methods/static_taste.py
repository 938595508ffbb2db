"""The text side of ViPer (arXiv 2407.17365): one taste a person, the same for every prompt."""

from __future__ import annotations

from zipp_dagster.zipbench.methods.base import Method, Rewriting

METHOD = Method(
    name="static_taste",
    label="static taste",
    role="baseline",
    description="The person's strongest tastes over all subjects, appended to every base prompt alike.",
    prompts=Rewriting("static_taste"),
)
