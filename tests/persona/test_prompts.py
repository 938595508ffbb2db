from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zipp_dagster.persona.personas import PERSONAS_SCHEMA
from zipp_dagster.persona.prompts import (
    Control,
    base_prompt,
    benchmark_cases,
    cycle_of_users,
    matched_controls,
    token_f1,
)
from zipp_dagster.persona.schema import Persona


@pytest.mark.parametrize(
    ("title", "base"),
    [
        ("a fox, watercolor painting, soft pastel colors, misty morning", "a fox"),
        ("Watercolor painting of a fox [OC]", "a fox"),
        ("misty morning, pixel art, an owl", "an owl"),
        ("pixel art: a fox on a bench", "a fox on a bench"),
        ("a fox in watercolor", "a fox"),
        ("an owl, bright red, yellow and blue, ink drawing", "an owl"),
        ("a red and white boat in the fog", "a red and white boat"),
        ("a gothic owl", "an owl"),
        ("a castle with two towers, a river", "a castle with two towers, a river"),
        ("A Lighthouse by the Sea (1920x1080)", "a lighthouse by the sea"),
        ("stained glass window", "stained glass window"),
        ("sunset", "sunset"),
        ("", ""),
    ],
)
def test_style_words_leave_a_title_and_the_subject_stays(title: str, base: str) -> None:
    assert base_prompt(title) == base


def test_a_base_prompt_is_its_own_base_prompt() -> None:
    for title in ("a fox, ink drawing", "neon tokyo street at night, digital art"):
        assert base_prompt(base_prompt(title)) == base_prompt(title)


def test_token_f1_is_one_for_the_same_words_and_zero_for_none() -> None:
    assert token_f1("a fox, ink", "Ink: a fox!") == 1.0
    assert token_f1("a fox", "two owls") == 0.0 == token_f1("", "")


def test_the_cycle_holds_everybody_once_and_is_the_same_for_a_seed() -> None:
    users = list(range(10, 60))
    cycle = cycle_of_users(users, seed=5)
    assert sorted(cycle) == users and cycle == cycle_of_users(users, seed=5)
    assert cycle != cycle_of_users(users, seed=6)


def persona(*tastes: tuple[str, str]) -> Persona:
    """A persona that likes a phrase of each (context, facet)."""
    return Persona(
        summary="", preferences=[{"context": c, "facet": f, "phrase": "x"} for c, f in tastes]
    )


FOX, CASTLE = "a fox", "a castle"


def test_a_control_is_the_next_person_of_the_cycle_who_knows_as_much_about_the_same_subject() -> (
    None
):
    people = {
        1: persona(("animals", "palette")),
        2: persona(),
        3: persona(("animals", "medium")),
        4: persona(("animals", "palette"), ("places", "medium")),
    }
    cases = [(user, base) for user in people for base in (FOX, CASTLE)]
    found = dict(zip(cases, matched_controls(cases, people, [1, 2, 3, 4])))
    assert found[1, FOX] == Control(4, 0) and found[4, FOX] == Control(1, 0)
    # About a castle 1, 2 and 3 know nothing: they take each other's personas in turn.
    assert [found[user, CASTLE] for user in (1, 2, 3)] == [
        Control(2, 0),
        Control(3, 0),
        Control(1, 0),
    ]


def test_in_a_group_every_persona_is_used_as_a_control_as_often_as_it_is_somebodys_own() -> None:
    people = {u: persona(("animals", "palette")) for u in range(6)}
    people |= {u: persona() for u in range(6, 9)}
    found = matched_controls([(u, FOX) for u in people], people, cycle_of_users(range(9), seed=3))
    assert sorted(control.user_id for control in found) == list(people)
    assert all(control.user_id != user for user, control in zip(people, found))
    assert all((control.user_id < 6) == (user < 6) for user, control in zip(people, found))


def test_whoever_knows_most_nearly_as_much_stands_in_for_somebody_alone_in_a_group() -> None:
    people = {1: persona(("animals", "palette")), 2: persona(), 3: persona(("general", "palette"))}
    assert matched_controls([(1, FOX)], people, [1, 2, 3]) == [Control(2, 1)]
    assert matched_controls([(1, FOX)], people, [1]) == [Control(None, 0)]


def test_what_a_taste_is_never_decides_whose_persona_is_the_control() -> None:
    people = {u: persona(("animals", "palette")) for u in range(5)}
    cases = [(u, FOX) for u in people]
    chosen = matched_controls(cases, people, [4, 2, 0, 1, 3])
    people[0] = Persona(
        summary="", preferences=[{"context": "animals", "facet": "palette", "phrase": "another"}]
    )
    assert matched_controls(cases, people, [4, 2, 0, 1, 3]) == chosen


def test_cases_are_held_out_posts_of_people_with_a_usable_persona(tmp_path) -> None:
    day = datetime(2020, 1, 1)
    holdout = pa.table(
        {
            "user_id": pa.array([1, 1, 2, 3, 4], pa.uint64()),
            "post_id": ["a", "b", "c", "d", "e"],
            "title": ["a fox, ink drawing", "🦊", "a castle, pixel art", "an owl", "a boat"],
            "sha256": pa.array([None, None, "s", None, None], pa.string()),
            "created_at": pa.array([day] * 5, pa.timestamp("us")),
        }
    )
    personas = pa.Table.from_pylist(
        [
            {"user_id": 1, "quarantined": None, "profile": persona().to_json()},
            {"user_id": 2, "quarantined": None, "profile": persona().to_json()},
            {"user_id": 3, "quarantined": "e-mail in the text", "profile": "{}"},
        ],
        schema=PERSONAS_SCHEMA,
    )
    pq.write_table(holdout, tmp_path / "h.parquet")
    pq.write_table(personas, tmp_path / "p.parquet")
    table, report = benchmark_cases([tmp_path / "h.parquet"], [tmp_path / "p.parquet"], seed=0)
    assert table.select(["case_id", "base_prompt", "mismatched_user_id"]).to_pylist() == [
        {"case_id": "a", "base_prompt": "a fox", "mismatched_user_id": 2},
        {"case_id": "c", "base_prompt": "a castle", "mismatched_user_id": 1},
    ]
    assert (report.users_without_persona, report.posts_without_persona) == (2, 2)
    assert report.posts_without_title == 1
