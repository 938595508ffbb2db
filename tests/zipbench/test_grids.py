from __future__ import annotations

import pyarrow as pa

from zipp_dagster.persona.schema import Persona
from zipp_dagster.zipbench.grids import choose_cells


def person(tastes: int) -> tuple[str, Persona]:
    preferences = [
        {"context": "animals", "facet": "medium", "phrase": f"style {n}"} for n in range(tastes)
    ]
    return "id", Persona(summary="", preferences=preferences)


def cases(*rows: tuple[int, str]) -> pa.Table:
    return pa.table(
        {
            "user_id": pa.array([u for u, _ in rows], pa.uint64()),
            "base_prompt": [p for _, p in rows],
        }
    )


PROMPTS = ("a fox", "an owl", "a castle", "a fox", "a steam train", "a mountain lake", "zzz")


def test_prompts_come_from_different_contexts_before_a_second_one_of_the_same():
    rows = cases(*((u, prompt) for u, prompt in enumerate(PROMPTS)))
    cells = choose_cells(rows, {u: person(1) for u in range(7)}, rows=1, size=4)
    shown = [cell.base_prompt for cell in cells if cell.kind == "same_persona"]
    assert shown == ["a fox", "a castle", "a steam train", "a mountain lake"]


def test_a_row_holds_one_prompt_through_different_people_or_one_persons_different_prompts():
    rows = cases(*((u, prompt) for u, prompt in enumerate(PROMPTS)))
    cells = choose_cells(rows, {u: person(u) for u in range(7)})
    for kind, same, differs in (
        ("same_prompt", "base_prompt", "user_id"),
        ("same_persona", "user_id", "base_prompt"),
    ):
        for row in (0, 1):
            found = [cell for cell in cells if (cell.kind, cell.row) == (kind, row)]
            assert len({getattr(cell, same) for cell in found}) == 1
            assert len({getattr(cell, differs) for cell in found}) == len(found) == 6
    assert len({cell.name for cell in cells}) == len(cells)


def test_people_without_a_persona_are_not_shown_and_nobody_gives_no_cell():
    rows = cases((1, "a fox"), (2, "an owl"))
    assert {cell.user_id for cell in choose_cells(rows, {2: person(1)})} == {2}
    assert choose_cells(rows, {}) == []
