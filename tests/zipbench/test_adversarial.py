"""Inputs that a benchmark must not be fooled by: each has a defined figure or a clear error."""

from __future__ import annotations

import numpy as np
import pytest

from tests.zipbench.worlds import cases_table, embed, generated_table, picture
from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.demographics import Population, demographic_scores
from zipp_dagster.zipbench.leaderboard import build_leaderboard
from zipp_dagster.zipbench.metrics import (
    EmbeddingError,
    embed_generated,
    embed_references,
    score_cases,
)
from zipp_dagster.zipbench.pluralism import pluralism_scores

SETTINGS = ZipbenchSettings(bootstrap_replicates=500)
USERS = range(40)


def vectors(seed: int) -> list[tuple[float, ...]]:
    """A person's picture each: unlike each other, with a positive cosine to begin with."""
    return [tuple(row) for row in np.random.default_rng(seed).normal(size=(len(USERS), 6)) + 1.0]


def world(methods: dict[str, list[tuple[float, ...]]], prompts: dict[str, str] | None = None):
    cases = cases_table([(f"c{u}", u, f"sha{u}") for u in USERS])
    references = {f"sha{u}": picture(*vectors(0)[u]) for u in USERS}
    made = generated_table(
        {(f"c{u}", method): picture(*made[u]) for method, made in methods.items() for u in USERS}
    )
    if prompts:
        column = [prompts[method] for method in made["method"].to_pylist()]
        made = made.set_column(made.schema.get_field_index("prompt"), "prompt", [column])
    return cases, made, references


def board(cases, made, references) -> dict[tuple, dict]:
    table = build_leaderboard(score_cases(cases, made, references, embed), SETTINGS)
    return {(r["method"], r["metric"], r["baseline"]): r for r in table.to_pylist()}


def test_pictures_identical_to_the_references_score_one_and_have_no_distance():
    cases, made, references = world({"no_persona": vectors(1), "zipp_0shot": vectors(0)})
    rows = board(cases, made, references)
    assert rows["zipp_0shot", "clip_i", None]["value"] == pytest.approx(1.0)
    table = pluralism_scores(
        cases,
        made,
        embed_generated(made, embed),
        embed_references(cases, references, embed),
        SETTINGS,
    )
    distance = {(r["method"], r["metric"], r["scope"]): r["value"] for r in table.to_pylist()}
    assert distance["zipp_0shot", "cmmd_paper", "pooled"] == pytest.approx(0.0, abs=1e-9)
    assert distance["no_persona", "cmmd_paper", "pooled"] > 0.05


def test_a_method_that_draws_other_peoples_references_has_no_lift():
    """The same pictures, handed to the wrong people: all that is left is what people share."""
    shuffled = [vectors(0)[(u + 7) % len(USERS)] for u in USERS]
    again = [vectors(0)[(u + 19) % len(USERS)] for u in USERS]
    lift = board(*world({"no_persona": shuffled, "zipp_0shot": again}))[
        "zipp_0shot", "lift", "no_persona"
    ]
    assert lift["low"] < 0 < lift["high"] and abs(lift["value"]) < 0.15


def test_a_method_that_copies_the_reference_prompt_is_seen_in_its_own_column():
    prompts = {"no_persona": "a fox", "zipp_0shot": "A fox - watercolor"}
    rows = board(*world({"no_persona": vectors(1), "zipp_0shot": vectors(2)}, prompts))
    assert rows["zipp_0shot", "prompt_copied", None]["value"] == 1.0
    assert rows["no_persona", "prompt_copied", None]["value"] == 0.0
    assert rows["zipp_0shot", "rouge_l", None]["value"] == pytest.approx(1.0)


def test_one_person_has_scores_without_interval_or_test():
    cases = cases_table([("a", 1, "sha"), ("b", 1, "sha")])
    made = generated_table(
        {(c, m): picture(1, k) for c in "ab" for k, m in enumerate(("no_persona", "zipp_0shot"))}
    )
    rows = board(cases, made, {"sha": picture(1, 0)})
    gain = rows["zipp_0shot", "clip_i", "no_persona"]
    assert gain["value"] < 0
    assert [gain[name] for name in ("low", "high", "p_value", "p_holm", "detectable")] == [None] * 5


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_an_embedding_that_is_not_a_number_stops_with_the_pictures_name(broken):
    cases, made, references = world({"no_persona": vectors(1)})
    made = made.set_column(
        made.schema.get_field_index("image"),
        "image",
        [[picture(broken, 0, 0, 0, 0, 0), *made["image"].to_pylist()[1:]]],
    )
    with pytest.raises(EmbeddingError, match="picture c0/no_persona"):
        board(cases, made, references)


def test_a_group_that_nobody_belongs_to_is_recorded_and_the_rest_is_weighted():
    import pyarrow as pa

    cases, made, references = world({"no_persona": vectors(1)})
    scores = score_cases(cases, made, references, embed)
    groups = pa.table({"user_id": pa.array(USERS, pa.uint64()), "region": ["a", "b"] * 20})
    target = Population("three", {"region": {"a": 0.25, "b": 0.25, "c": 0.5}})
    weighted = demographic_scores(scores, groups, target, SETTINGS).to_pylist()[0]
    assert "nobody is c (50.0% of the target), left out" in weighted["note"]
    assert weighted["raked"] == pytest.approx(weighted["raw"])
