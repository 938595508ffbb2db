"""Tuning gives every encoder the same grid, and finds what validation links say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.evaluation import LinkTask, evaluate
from zipp_dagster.encoder.rivals import normalised_mutual_information, svd_basis, text_content
from zipp_dagster.encoder.tuning import POPULARITY_WEIGHTS, log_degree, mixed, tune
from zipp_dagster.encoder.variants import training_variants
from zipp_dagster.graph.split import VALIDATION


class Constant:
    """The same scores for everybody."""

    def __init__(self, name: str, row: np.ndarray) -> None:
        self.name, self.row = name, row.astype(np.float32)

    def scores(self, users: np.ndarray) -> np.ndarray:
        return np.tile(self.row, (len(users), 1))


@pytest.fixture(scope="module")
def noise(data):
    return Constant("noise", np.random.default_rng(0).normal(size=data.graph.subreddits))


def test_every_variant_is_tried_with_every_weight(data, noise):
    tuned = tune([("first", noise), ("second", noise)], data.graph, data.split)
    assert len(tuned.runs) == 2 * len(POPULARITY_WEIGHTS)
    assert {run["variant"] for run in tuned.runs} == {"first", "second"}


def test_noise_gets_the_largest_weight_of_popularity(data, noise):
    assert tune([("noise", noise)], data.graph, data.split).scorer.weight == 4.0


def test_the_reported_value_is_the_mean_reciprocal_rank_of_the_evaluation(data, noise):
    task = LinkTask.of(data.graph, data.split, VALIDATION)
    task = task.subset(np.flatnonzero(task.seen))
    tuned = tune([("noise", noise)], data.graph, data.split, task)
    for run, weight in zip(tuned.runs, POPULARITY_WEIGHTS, strict=True):
        scorer = replace(mixed(noise, data.graph, data.split), weight=weight)
        expected = evaluate(scorer, task).mean("mrr")
        assert run["validation_mrr"] == pytest.approx(expected, abs=1e-6)


def test_a_better_variant_wins(data, noise):
    (_, text), *_ = text_content(data.graph, data.split, data.text)
    tuned = tune([("noise", noise), ("text", text)], data.graph, data.split)
    assert tuned.description.startswith("text")
    assert tuned.variant == 1


def test_a_refitted_scorer_keeps_the_weight(data, noise):
    tuned = tune([("noise", noise)], data.graph, data.split)
    again = tuned.refitted(noise, data.graph, data.split)
    assert again.weight == tuned.scorer.weight
    assert (again.scores(np.arange(3)) == tuned.scorer.scores(np.arange(3))).all()


def test_log_degree_counts_messages_only(data):
    messages = data.graph.subreddit[data.split.messages]
    expected = np.log1p(np.bincount(messages, minlength=data.graph.subreddits))
    assert log_degree(data.graph, data.split) == pytest.approx(expected, abs=1e-6)


# What the training of an architecture reads of the settings that variants may change.
READ = {
    "gatv2": ("lr", "weight_decay", "layers", "dropout", "id_dropout"),
    "graphsage": ("lr", "weight_decay", "layers", "dropout", "id_dropout"),
    "lightgcn": ("lr", "weight_decay", "layers"),
}


@pytest.mark.parametrize("architecture", READ)
@pytest.mark.parametrize(
    "settings",
    [
        EncoderSettings(),
        EncoderSettings(dropout=0.3, id_dropout=0.5, layers=1, weight_decay=0.0),
        EncoderSettings(dropout=0.4, id_dropout=0.6, layers=3, weight_decay=0.1),
    ],
)
def test_training_variants_start_with_the_settings_and_train_differently(settings, architecture):
    variants = training_variants(settings, 4, architecture)
    assert variants[0] == ("as set", settings)
    read = [tuple(getattr(v, name) for name in READ[architecture]) for _, v in variants]
    assert len(set(read)) == 4
    # They are as valid as the settings that a person may set.
    for _, variant in variants:
        EncoderSettings.model_validate(variant.model_dump())
    assert len(training_variants(settings, 2, architecture)) == 2


def test_mutual_information_of_columns_is_that_of_their_definition():
    """Two equal columns share everything; independent ones nothing; opposed ones are left out."""
    a = np.array([1, 1, 0, 0])
    columns = np.stack([a, a, [1, 0, 1, 0], 1 - a], axis=1)
    table = normalised_mutual_information(sparse.csr_matrix(columns.astype(np.float32))).toarray()
    assert table[0, 1] == pytest.approx(1.0)
    assert table[0, 2] == 0
    assert table[0, 3] == 0
    assert (np.diagonal(table) == 0).all()


def test_a_basis_larger_than_the_table_is_filled_with_zeros():
    table = sparse.csr_matrix(np.random.default_rng(0).random((6, 4)).astype(np.float32))
    basis = svd_basis(table, 8)
    assert basis.shape == (4, 8)
    assert np.linalg.norm(basis, axis=0)[:3] == pytest.approx(np.ones(3), abs=1e-5)
    assert (basis[:, 3:] == 0).all()
