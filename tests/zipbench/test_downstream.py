"""Ablations in pictures: which variants there are, and what their table says."""

from __future__ import annotations

from datetime import datetime
from typing import get_args

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from tests.zipbench.worlds import cases_table, scores_table
from zipp_dagster.persona.config import PersonaSettings, Ranking, SnippetSettings
from zipp_dagster.persona.evidence import EvidenceInputs
from zipp_dagster.persona.lexical import LexicalModel
from zipp_dagster.persona.schema import Persona
from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.downstream import (
    NO_SCORES,
    ONLY_ONE,
    Evidence,
    Variant,
    Written,
    ablation_people,
    downstream_table,
    language_model_scores,
    write_variants,
)
from zipp_dagster.zipbench.methods.base import PromptContext

SETTINGS = ZipbenchSettings(bootstrap_replicates=200)


class Shouting(LexicalModel):
    """Another language model: it writes the same prompts with one more phrase."""

    @property
    def name(self) -> str:
        return "shouting"

    def generate(self, conversations, schema=None):
        return [answer.replace('"}', ', bold"}') for answer in super().generate(conversations)]


@pytest.fixture
def evidence(tmp_path) -> Evidence:
    """One person who says different things in two communities, and two encoders' rankings."""
    texts = {"cats": "I love watercolor paintings of cats", "boats": "I love boats in neon colors"}
    rows = [
        {"subreddit": name, "snippet_rank": n + 1, "snippet_id": f"{name}{n}"}
        | {"text": f"{text} {n}", "tokens": 12, "first_person": True}
        | dict.fromkeys(("by_length", "by_score", "by_recency", "by_novelty"), 0.5)
        for name, text in sorted(texts.items())
        for n in range(3)
    ]
    snippets = pa.Table.from_pylist(rows)
    owner = pa.array([1] * len(rows), pa.uint64())
    parquet.write_table(snippets.append_column("user_id", owner), tmp_path / "snippets.parquet")
    ranked = {
        "user_id": pa.array([1, 1], pa.uint64()),
        "subreddit": ["cats", "boats"],
        "attention": [0.9, 0.1],
        "dot": [2.0, 1.0],
        "tfidf": [1.0, 2.0],
        "count": [3, 3],
    }
    parquet.write_table(pa.table(ranked), tmp_path / "rankings.parquet")
    subreddits = {
        "subreddit": ["cats", "boats"],
        "sensitive": [False] * 2,
        "over_18_share": [0.0] * 2,
    }
    subreddits |= {"over_18": [False] * 2}
    parquet.write_table(pa.table(subreddits), tmp_path / "subreddits.parquet")
    own = {
        "encoder": ["gatv2"] * 2 + ["tfidf_svd"] * 2,
        "user_id": pa.array([1] * 4, pa.uint64()),
        "subreddit": ["cats", "boats"] * 2,
        "dot": [2.0, 1.0, 0.0, 1.0],
    }
    parquet.write_table(pa.table(own), tmp_path / "own.parquet")
    tables = EvidenceInputs(
        [tmp_path / "snippets.parquet"],
        [tmp_path / "rankings.parquet"],
        [tmp_path / "subreddits.parquet"],
    )
    scratch = tmp_path / "scratch"
    return Evidence(tables, tmp_path / "own.parquet", SnippetSettings(), scratch)


def context() -> PromptContext:
    cases = cases_table([("c1", 1, "sha1"), ("c2", 2, "sha2")])
    cases = cases.append_column("mismatched_user_id", pa.array([2, 1], pa.uint64()))
    taste = {"context": "animals", "facet": "medium", "phrase": "watercolor"}
    personas = {1: ("p1", Persona(summary="I paint.", preferences=[taste]))}
    history = pa.table(
        {
            "user_id": pa.array([1], pa.uint64()),
            "post_id": ["old"],
            "title": ["a cat, ink drawing"],
            "created_at": pa.array([datetime(2020, 1, 1)]),
        }
    )
    few = ablation_people(cases, personas, 5)
    return PromptContext(few, personas, history, LexicalModel(), PersonaSettings())


def test_every_part_has_its_variants_and_only_people_with_a_persona_take_part(evidence):
    models = [LexicalModel(), Shouting()]
    with duckdb.connect() as connection:
        written = write_variants(context(), models, 2, evidence, connection)
    of: dict[str, list[str]] = {}
    for variant in [*written.prompts, *written.notes]:
        of.setdefault(variant.dimension, []).append(variant.name)
    assert of["encoder"] == ["gatv2", "tfidf_svd"]
    assert of["ranking"] == list(get_args(Ranking))
    assert of["budget"] == ["256", "1024", "4096"] and len(of["evidence"]) == 2
    assert sorted(of["shots"]) == ["0", "1", "3", "5"]
    assert of["language model"] == [LexicalModel().name, "shouting"] and len(of["generator"]) == 2
    assert all(prompts.keys() == {"c1"} for prompts in written.prompts.values())
    assert written.prompts[Variant("shots", "0")] == {"c1": "a fox, watercolor"}
    loud = written.prompts[Variant("language model", "shouting", 1)]
    assert loud == {"c1": "a fox, watercolor, bold"}
    # The second generator draws its own variant and the generic rewrite, nothing else.
    assert {key for _, key, _ in written.to_draw(1)} == {
        "generator: 1",
        "no_persona: model 0, generator 1",
    }


def planted() -> tuple[Written, pa.Table]:
    written, rows = Written(), []
    users = range(8)
    for number, (dimension, name, gain) in enumerate(
        [("shots", "0", 0.1), ("ranking", "dot", 0.1), ("ranking", "count", 0.0)]
    ):
        variant = Variant(dimension, name)
        written.prompts[variant] = {f"c{u}": f"prompt {number % 2}" for u in users}
        written.baselines[variant.baseline] = (0, {f"c{u}": "a fox" for u in users})
        rows += [(f"c{u}", u, variant.key, 0.5 + gain + u / 100) for u in users]
    rows += [(f"c{u}", u, Variant("", "").baseline, 0.5 + u / 100) for u in users]
    written.notes[Variant("shots", "5")] = "the rewriter offers no zipp_5shot"
    return written, scores_table(rows)


def test_a_variant_is_paired_with_the_generic_rewrite_and_says_what_is_missing():
    written, scores = planted()
    table = downstream_table(written, scores, lambda v: v.name, SETTINGS).to_pylist()
    rows = {(row["dimension"], row["variant"]): row for row in table}
    dot = rows["ranking", "dot"]
    assert (dot["cases"], dot["users"], dot["note"]) == (8, 8, None)
    assert dot["difference"] == pytest.approx(0.1) and dot["low"] == pytest.approx(0.1)
    assert dot["lift"] == pytest.approx(0.1 / np.mean([0.5 + u / 100 for u in range(8)]))
    assert rows["ranking", "count"]["difference"] == pytest.approx(0.0)
    assert (dot["changed_prompts"], rows["ranking", "count"]["changed_prompts"]) == (1.0, 0.0)
    missing = rows["shots", "5"]
    assert missing["cases"] == 0 and missing["note"] == "the rewriter offers no zipp_5shot"


def test_one_variant_alone_and_cases_without_pictures_have_a_note():
    written, _ = planted()
    written.prompts = {Variant("generator", "0"): {"c1": "a fox"}}
    written.notes = {}
    (row,) = downstream_table(
        written, scores_table([("c1", 1, "generator: 0", None)]), lambda v: "mine", SETTINGS
    ).to_pylist()
    assert row["variant"] == "mine" and row["difference"] is None
    assert row["note"] == f"{ONLY_ONE}; {NO_SCORES}"


def test_each_language_model_has_scores_of_its_own_with_and_without_persona():
    written = Written()
    rows = []
    for number, name in enumerate(("one", "two")):
        variant = Variant("language model", name, number)
        written.prompts[variant] = {"c1": "a fox"}
        written.baselines[variant.baseline] = (0, {"c1": "a fox"})
        rows += [("c1", 1, variant.key, 0.6 + number), ("c1", 1, variant.baseline, 0.5 + number)]
    scores = language_model_scores(written, scores_table(rows))
    assert list(scores) == ["one", "two"]
    found = {row["method"]: row["clip_i"] for row in scores["two"].to_pylist()}
    assert found == {"zipp_0shot": 1.6, "no_persona": 1.5}
