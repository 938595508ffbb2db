"""DrUM (arXiv 2508.10480): an adapter mixes a prompt's text states with those of past prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zipp_dagster.zipbench.config import MethodSettings
from zipp_dagster.zipbench.methods.base import ForSomePeople, Method, NotHere, Rewriting
from zipp_dagster.zipbench.methods.personal import Personal

_GROUPS, _SUBJECTS = 96, 8


def _make(options: MethodSettings, adapter: Any) -> Any:
    from zipp_dagster.imaging.personal.drum import Drum

    return Drum(adapter)


def _train(pipeline: Any, groups: Sequence[Sequence[str]], options: MethodSettings) -> Any:
    from zipp_dagster.imaging.personal.drum import train_adapter

    if not groups:
        raise NotHere("its adapter needs titles with a subject and a style, and there are none")
    adapter, _ = train_adapter(pipeline, groups, steps=options.drum_steps)
    return adapter


def caption_groups(titles: Sequence[str], seed: int = 0) -> list[list[str]]:
    """Captions of one style each: several people's subjects with one title's style phrases.

    Only titles with two style phrases or more give a style; none where fewer than `_SUBJECTS`
    subjects are known.
    """
    from zipp_dagster.persona.aesthetics import style_of_prompt
    from zipp_dagster.persona.prompts import base_prompt

    distinct = sorted(set(titles))
    rng = np.random.default_rng(seed)
    chosen = [distinct[int(i)] for i in rng.permutation(len(distinct))[: 20 * _GROUPS]]
    subjects = sorted({base_prompt(title) for title in chosen} - {""})
    styles = {", ".join(s.values()) for s in map(style_of_prompt, chosen) if len(s) > 1}
    if len(subjects) < _SUBJECTS:
        return []
    return [
        [f"{subjects[int(i)]}, {style}" for i in rng.permutation(len(subjects))[:_SUBJECTS]]
        for style in sorted(styles)[:_GROUPS]
    ]


METHOD = Method(
    name="drum",
    label="DrUM",
    role="baseline",
    description="The generic prompt, its text states mixed with the person's past titles' by an "
    "adapter trained on other people's titles.",
    prompts=ForSomePeople(Rewriting("no_persona")),
    image=Personal("drum", _make, ("drum_steps",), train=_train, material=caption_groups),
)
