"""The one schema of every method, metric and comparison that a table or the report may name.

A new method is one line here and one file in `methods`; a new metric is one entry here and one
function in `metrics.PER_CASE`. No score is computed here.
"""

from __future__ import annotations

from dataclasses import dataclass

from zipp_dagster.zipbench.methods import (
    drum,
    fabric,
    lora,
    mismatched,
    no_persona,
    oracle,
    shuffled,
    static_taste,
    tailored_visions,
    viper,
    zipp,
)
from zipp_dagster.zipbench.methods.base import Method


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
        no_persona.METHOD,
        mismatched.METHOD,
        shuffled.METHOD,
        static_taste.METHOD,
        tailored_visions.METHOD,
        tailored_visions.BM25,
        fabric.METHOD,
        viper.METHOD,
        drum.METHOD,
        lora.METHOD,
        zipp.ZERO_SHOT,
        zipp.ONE_SHOT,
        zipp.THREE_SHOT,
        zipp.FIVE_SHOT,
        oracle.METHOD,
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
        Metric(
            "prompt_copied",
            "copied prompts",
            False,
            False,
            "Share of prompts that are the reference prompt word for word: an upper bound, no result.",
        ),
    )
}

AGGREGATES: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "lift", "lift", True, True, "Relative gain in clip_i, paired over cases, by the mean."
        ),
        Metric(
            "win_rate",
            "win rate",
            True,
            True,
            "Share of people whose mean clip_i rises; Wilson interval, exact binomial test.",
        ),
        Metric(
            "vote_win_rate",
            "votes won",
            True,
            False,
            "Share of people's decided blind votes; intervals and p-values resample people and prompts.",
        ),
        Metric(
            "simulated_vote_win_rate",
            "simulated votes won",
            True,
            False,
            "The same of simulated raters, who stand for people in the sample world.",
        ),
        Metric(
            "bradley_terry",
            "Bradley–Terry strength",
            True,
            True,
            "Log odds of a higher clip_i than the average method, from all pairs of methods.",
        ),
        Metric(
            "rewrite_seconds", "s a prompt", False, False, "Seconds to write a prompt, by wall."
        ),
        Metric(
            "rewrite_tokens",
            "tokens a prompt",
            False,
            False,
            "Tokens that the language model read and wrote for a prompt, as it counts them.",
        ),
        Metric("draw_seconds", "s an image", False, False, "Seconds to draw an image, by wall."),
        Metric(
            "fit_seconds",
            "s a person",
            False,
            False,
            "Seconds to learn a person before the first picture, by wall; methods that do.",
        ),
    )
}
"""What the leaderboard computes of many cases."""

PRIMARY = "clip_i"
"""The metric that methods are ranked by."""

BASELINE = "no_persona"
"""Every other method is compared with this one."""

EXTRA_COMPARISONS: tuple[tuple[str, str], ...] = (
    ("zipp_0shot", "mismatched"),
    ("zipp_0shot", "shuffled"),
    ("zipp_3shot", "tailored_visions"),
)
"""Further (method, baseline) pairs: the effect of the *own* persona, and of having one at all."""


def method_order(name: str) -> tuple[int, str]:
    """Sort key: registered methods in their order, unknown ones after them by name."""
    names = list(METHODS)
    return (names.index(name) if name in METHODS else len(names), name)


def method_label(name: str) -> str:
    """The method's label in tables and plots; its own name when it is not registered."""
    return METHODS[name].label if name in METHODS else name.replace("_", " ")


def metric_label(name: str) -> str:
    """The metric's label in tables and plots; its own name when it is not registered."""
    known = METRICS.get(name) or AGGREGATES.get(name)
    return known.label if known else name.replace("_", " ")
