"""The upper bound: the person's own held-out prompt, drawn by the same generator."""

from __future__ import annotations

import pyarrow as pa

from zipp_dagster.zipbench.methods.base import Method, PromptContext, prompt_table


class ReferencePrompts:
    """The cases' reference prompts, untouched (the generator may cut long ones, as any prompt)."""

    def unavailable(self) -> str | None:
        """Always available."""
        return None

    def write(self, method: str, context: PromptContext) -> pa.Table:
        """One row a case; no persona and no language model is asked."""
        rows = context.cases.select(["case_id", "reference_prompt"]).to_pylist()
        return prompt_table(method, {row["case_id"]: row["reference_prompt"] for row in rows})


METHOD = Method(
    name="oracle",
    label="oracle (reference prompt)",
    role="control",
    description="The held-out prompt itself: what the generator could reach with a perfect rewrite.",
    prompts=ReferencePrompts(),
    opens_reference=True,
)
