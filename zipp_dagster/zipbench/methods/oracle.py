"""The upper bound: the person's own held-out prompt, drawn by the same generator."""

from __future__ import annotations

import pyarrow as pa

from zipp_dagster.zipbench.methods.base import Method, PromptContext


class ReferencePrompts:
    """The cases' reference prompts, untouched (the generator may cut long ones, as any prompt)."""

    def unavailable(self) -> str | None:
        """Always available."""
        return None

    def write(self, method: str, context: PromptContext) -> pa.Table:
        """One row a case; no persona and no language model is asked."""
        from zipp_dagster.persona.rewriting import REWRITTEN_SCHEMA

        rows = context.cases.select(["case_id", "reference_prompt"]).to_pylist()
        return pa.Table.from_pylist(
            [
                {
                    "case_id": row["case_id"],
                    "method": method,
                    "prompt": row["reference_prompt"],
                    "persona_id": None,
                    "language_model": "none",
                    "shots": 0,
                    "flags": "",
                }
                for row in rows
            ],
            schema=REWRITTEN_SCHEMA,
        )


METHOD = Method(
    name="oracle",
    label="oracle (reference prompt)",
    role="control",
    description="The held-out prompt itself: what the generator could reach with a perfect rewrite.",
    prompts=ReferencePrompts(),
    opens_reference=True,
)
