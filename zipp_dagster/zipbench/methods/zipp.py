"""ZIPP itself: the rewriter speaks as the person, with 0 to 5 past prompts as examples."""

from __future__ import annotations

from zipp_dagster.zipbench.methods.base import Method, Rewriting

ZERO_SHOT = Method(
    name="zipp_0shot",
    label="ZIPP 0-shot",
    role="ours",
    description="The rewriter speaks as the person, from the persona alone.",
    prompts=Rewriting("zipp_0shot"),
)


def _with_shots(shots: int, words: str) -> Method:
    name = f"zipp_{shots}shot"
    return Method(
        name=name,
        label=f"ZIPP {shots}-shot",
        role="ours",
        description=f"As 0-shot, with {words} of the person as examples.",
        prompts=Rewriting(name),
    )


ONE_SHOT = _with_shots(1, "one earlier prompt")
THREE_SHOT = _with_shots(3, "three earlier prompts")
FIVE_SHOT = _with_shots(5, "five earlier prompts")
