"""The blocking check of `gat_evaluation`: failed training is caught, an encoder like popularity passes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from safetensors.numpy import load_file, save_file

from assets.encoder_evaluation import not_below_popularity
from zipp_dagster.encoder.ablation import evaluate_model
from zipp_dagster.encoder.comparison import SCHEMA
from zipp_dagster.platform.artifacts import CheckOutcome, Inputs
from zipp_dagster.platform.lake import Lake


def checked(table: pa.Table, folder: Path) -> CheckOutcome:
    with Lake(folder).draft("gat_evaluation", None, "0" * 32) as draft:
        parquet.write_table(table, draft.path("part-0.parquet"))
        return not_below_popularity.function(draft, Inputs({}))


def a_table(floor: float, value: float, low: float, high: float) -> pa.Table:
    """An evaluation with popularity's MRR, and the candidate's difference from it."""
    row = {"group": "all", "metric": "mrr", "links": 200, "seeds": 1, "seed_deviation": None}
    scores = [
        {**row, "encoder": "popularity", "baseline": None, "value": floor, "low": 0.0, "high": 1.0},
        {
            **row,
            "encoder": "candidate",
            "baseline": "popularity",
            "value": value,
            "low": low,
            "high": high,
        },
    ]
    return pa.Table.from_pylist(scores, SCHEMA)


@pytest.mark.parametrize(
    ("difference", "passed"),
    [
        ((0.02, 0.01, 0.03), True),
        ((-0.01, -0.06, 0.04), True),  # as good, as far as one can see
        ((-0.03, -0.05, -0.01), True),  # certainly a little worse: for the promotion to decide
        ((-0.10, -0.20, 0.00), True),  # far worse, but too few links to be certain
        ((-0.08, -0.12, -0.05), False),
    ],
)
def test_only_an_encoder_that_is_certainly_and_clearly_worse_than_popularity_fails(
    tmp_path, difference, passed
):
    outcome = checked(a_table(0.4, *difference), tmp_path)
    assert outcome.passed is passed
    assert "below -0.0400" in outcome.description


def test_a_trained_encoder_passes(data, settings, trained, tmp_path):
    table = evaluate_model(trained.directory, *data.dirs, None, settings).table
    assert checked(table, tmp_path).passed


def test_an_encoder_whose_weights_were_lost_fails(data, settings, trained, tmp_path):
    broken = tmp_path / "model"
    shutil.copytree(trained.directory, broken)
    weights, chance = load_file(broken / "model.safetensors"), np.random.default_rng(0)
    noise = {k: chance.normal(size=v.shape).astype(v.dtype) for k, v in weights.items()}
    save_file(noise, broken / "model.safetensors")
    outcome = checked(evaluate_model(broken, *data.dirs, None, settings).table, tmp_path)
    assert not outcome.passed, outcome.description
