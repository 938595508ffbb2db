"""The one schema of every method, metric and comparison that a table or the report may name.

A new method is one entry here and one producer of prompts or images; a new metric is one entry here
and one function in `metrics.PER_CASE`. No score is computed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["ours", "baseline", "control"]


@dataclass(frozen=True)
class Method:
    """How a method is shown, and what it is compared as."""

    name: str
    label: str
    role: Role
    description: str


@dataclass(frozen=True)
class Metric:
    """How a metric is shown. `image` metrics need the evaluation encoder, and name it."""

    name: str
    label: str
    higher_is_better: bool
    image: bool
    description: str


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "no_persona",
            "no persona",
            "baseline",
            "The same rewriter improves the prompt and knows nothing about the person.",
        ),
        Method(
            "mismatched",
            "mismatched persona",
            "control",
            "ZIPP 0-shot with the persona of another benchmark user: style without the person.",
        ),
        Method(
            "zipp_0shot",
            "ZIPP 0-shot",
            "ours",
            "The rewriter speaks as the person, from the persona alone.",
        ),
        Method(
            "zipp_3shot",
            "ZIPP 3-shot",
            "ours",
            "As 0-shot, with three earlier prompts of the person as examples.",
        ),
    )
}

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "clip_i",
            "clip_i (Image-Align)",
            True,
            True,
            "Cosine of the image embeddings of the generated and the posted picture.",
        ),
        Metric(
            "clip_t",
            "clip_t",
            True,
            True,
            "Cosine of the generated picture's and the reference prompt's embeddings.",
        ),
        Metric(
            "rouge_l",
            "ROUGE-L",
            True,
            False,
            "F1 of the longest common token sequence of the rewritten and the reference prompt.",
        ),
        Metric(
            "prompt_truncated",
            "truncated prompts",
            False,
            False,
            "Share of prompts that the generator's text encoder cut off.",
        ),
    )
}

BASELINE = "no_persona"
"""Every other method is compared with this one."""

EXTRA_COMPARISONS: tuple[tuple[str, str], ...] = (("zipp_0shot", "mismatched"),)
"""Further (method, baseline) pairs: the effect of the *own* persona."""


def method_order(name: str) -> tuple[int, str]:
    """Sort key: registered methods in their order, unknown ones after them by name."""
    names = list(METHODS)
    return (names.index(name) if name in METHODS else len(names), name)


def method_label(name: str) -> str:
    """The method's label in tables and plots; its own name when it is not registered."""
    return METHODS[name].label if name in METHODS else name.replace("_", " ")


def metric_label(name: str) -> str:
    """The metric's label in tables and plots; its own name when it is not registered."""
    return METRICS[name].label if name in METRICS else name.replace("_", " ")
