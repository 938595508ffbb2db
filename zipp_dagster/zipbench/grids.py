"""The report's two grids: one prompt as six people see it, one person's six different prompts.

Which people and prompts are shown follows from a rule, never from how the pictures look: prompts
come from as many contexts as there are, people evenly from those whose personas have tastes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from zipp_dagster.persona.schema import Persona

Kind = Literal["same_prompt", "same_persona"]
SIZE = 6

SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("row", pa.int32()),
        ("place", pa.int32()),
        ("user_id", pa.uint64()),
        ("base_prompt", pa.string()),
        ("prompt", pa.string()),
        ("image", pa.binary()),
    ]
)


@dataclass(frozen=True)
class Cell:
    """One picture to draw: whose persona rewrites which base prompt, and where it stands."""

    kind: Kind
    row: int
    place: int
    user_id: int
    base_prompt: str

    @property
    def name(self) -> str:
        """Unique in the grids."""
        return f"{self.kind}/{self.row}/{self.place}"


def choose_cells(
    cases: pa.Table, personas: Mapping[int, tuple[str, Persona]], rows: int = 2, size: int = SIZE
) -> list[Cell]:
    """The cells of both grids, at most `rows` rows of `size`; fewer where there is less to show.

    `cases` is benchmark_prompts. Empty without a person who has a persona.
    """
    owners = dict.fromkeys(cases["user_id"].to_pylist())
    people = sorted(
        (user for user in owners if user in personas),
        key=lambda user: (-len(personas[user][1].preferences), user),
    )
    # Half of the people, those with the most tastes: a persona without any has nothing to show.
    shown = _spread(people[: max(size, (len(people) + 1) // 2)], size)
    prompts = _different_prompts(cases["base_prompt"].to_pylist(), size)
    if not shown or not prompts:
        return []
    cells = [
        Cell("same_prompt", row, place, user, prompt)
        for row, prompt in enumerate(prompts[:rows])
        for place, user in enumerate(shown)
    ]
    return cells + [
        Cell("same_persona", row, place, user, prompt)
        for row, user in enumerate(shown[:rows])
        for place, prompt in enumerate(prompts)
    ]


def _different_prompts(bases: Sequence[str], size: int) -> list[str]:
    """The first base prompt of each context, then of other subjects, in their order."""
    from zipp_dagster.persona.contexts import context_of_prompt

    different = list(dict.fromkeys(bases))
    first: dict[str, str] = {}
    for prompt in different:
        context = context_of_prompt(prompt)
        if context is not None:
            first.setdefault(context, prompt)
    chosen = list(first.values())
    return (chosen + [prompt for prompt in different if prompt not in chosen])[:size]


def _spread(people: Sequence[int], size: int) -> list[int]:
    if not people:
        return []
    places = np.linspace(0, len(people) - 1, min(size, len(people))).round().astype(int)
    return [people[place] for place in np.unique(places)]
