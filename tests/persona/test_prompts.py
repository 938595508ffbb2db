from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zipp_dagster.persona.personas import PERSONAS_SCHEMA
from zipp_dagster.persona.prompts import base_prompt, benchmark_cases, derange, token_f1


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


@pytest.mark.parametrize("count", [2, 3, 50])
def test_a_derangement_moves_everybody_and_is_the_same_for_a_seed(count: int) -> None:
    users = list(range(10, 10 + count))
    strangers = derange(users, seed=5)
    assert sorted(strangers.values()) == users and all(a != b for a, b in strangers.items())
    assert strangers == derange(users, seed=5)
    assert derange([7], seed=5) == {}


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
            {"user_id": 1, "quarantined": None},
            {"user_id": 2, "quarantined": None},
            {"user_id": 3, "quarantined": "e-mail in the text"},
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
