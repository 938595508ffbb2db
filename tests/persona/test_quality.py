from __future__ import annotations

import pyarrow as pa

from zipp_dagster.persona.quality import TruthTables, score_personas
from zipp_dagster.persona.schema import Demographic, Demographics, Interest, Persona, Preference


def person(phrase: str, interest: str, gender: str) -> Persona:
    return Persona(
        summary="s",
        demographics=Demographics(gender=Demographic(value=gender, confidence=1.0)),
        interests=(Interest(name=interest),),
        preferences=(Preference(context="animals", facet="medium", phrase=phrase),),
    )


def users(*values: int) -> pa.Array:
    return pa.array(values, pa.uint64())


def truth() -> TruthTables:
    return TruthTables(
        tastes=pa.table(
            {
                "user_id": users(1, 2, 2),
                "context": ["animals", "animals", "places"],
                "phrases": [["aquarelle", "loose watercolor"], ["pixel art"], ["oil on canvas"]],
            }
        ),
        interests=pa.table({"user_id": users(1, 2), "name": ["baking", "chess"]}),
        demographics=pa.table(
            {"user_id": users(1, 2), "field": ["gender"] * 2, "value": ["female", "male"]}
        ),
    )


def test_precision_and_recall_go_by_meaning_and_chance_by_the_neighbour() -> None:
    people = {
        1: person("watercolor painting", "sourdough", "female"),
        2: person("ink drawing", "chess", "unknown"),
    }
    rows = {
        (r["kind"], r["metric"]): r for r in score_personas(people, truth(), seed=0).to_pylist()
    }
    assert rows["tastes", "precision"]["value"] == 0.5
    assert rows["tastes", "recall"]["value"] == 1 / 3
    assert rows["interests", "recall"]["value"] == 1.0
    assert rows["interests", "recall"]["chance"] == 0.0
    assert rows["demographics.gender", "precision"]["value"] == 1.0
    assert rows["demographics.gender", "recall"]["value"] == 0.5


def test_where_nothing_is_claimed_precision_is_null_and_not_zero() -> None:
    rows = score_personas({1: Persona(summary="s")}, truth(), seed=0).to_pylist()
    assert rows[0]["metric"] == "precision" and rows[0]["value"] is None
    assert rows[1]["metric"] == "recall" and rows[1]["value"] == 0.0


def test_the_same_seed_gives_the_same_intervals() -> None:
    people = {u: person("watercolor painting", "chess", "male") for u in (1, 2)}
    assert score_personas(people, truth(), 3).equals(score_personas(people, truth(), 3))
