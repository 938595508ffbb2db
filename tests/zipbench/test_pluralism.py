from __future__ import annotations

import numpy as np
import pytest

from tests.zipbench.worlds import cases_table, embed, generated_table, picture
from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.metrics import embed_generated, embed_references
from zipp_dagster.zipbench.pluralism import pluralism_scores, vendi_score

SETTINGS = ZipbenchSettings(bootstrap_replicates=200)


def test_the_vendi_score_counts_different_pictures():
    assert vendi_score(np.eye(4)) == pytest.approx(4.0)
    assert vendi_score(np.repeat(np.eye(4)[:1], 5, axis=0)) == pytest.approx(1.0)
    assert vendi_score(np.repeat(np.eye(4)[:2], 3, axis=0)) == pytest.approx(2.0)


def test_the_table_compares_a_method_with_what_the_same_people_posted():
    people = {f"c{user}{k}": (user, k) for user in range(6) for k in range(2)}
    cases = cases_table([(case, user, f"sha{case}") for case, (user, _) in people.items()])
    references = {f"sha{case}": picture(1, k, user / 9) for case, (user, k) in people.items()}
    made = generated_table(
        {(case, "zipp_0shot"): references[f"sha{case}"] for case in people}
        | {(case, "no_persona"): picture(1, 0, 0) for case in people}
    )
    table = pluralism_scores(
        cases,
        made,
        embed_generated(made, embed),
        embed_references(cases, references, embed),
        SETTINGS,
    )
    rows = {(r["method"], r["metric"], r["scope"]): r for r in table.to_pylist()}
    assert rows["zipp_0shot", "cmmd_paper", "pooled"]["value"] == pytest.approx(0.0, abs=1e-9)
    assert rows["no_persona", "cmmd_unbiased", "per_user"]["low"] > 0
    assert rows["no_persona", "vendi", "per_user"]["value"] == pytest.approx(1.0)
    assert rows["reference", "vendi", "per_user"]["value"] > 1.4
    sigmas = {r["sigma"] for r in rows.values() if r["metric"] == "cmmd_unbiased"}
    assert len(sigmas) == 1
    assert rows["no_persona", "cmmd_paper", "pooled"]["images"] == 12
    assert "four pictures" in rows["no_persona", "cmmd_paper", "per_user"]["note"]


def test_without_reference_pictures_the_table_is_empty():
    cases = cases_table([("a", 1, None)])
    made = generated_table({("a", "m"): picture(1, 0)})
    table = pluralism_scores(
        cases, made, embed_generated(made, embed), embed_references(cases, {}, embed), SETTINGS
    )
    assert table.num_rows == 0
