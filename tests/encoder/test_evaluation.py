"""Scores of links, by hand; constant and popularity scores earn what they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from zipp_dagster.encoder.evaluation import (
    METRICS,
    DotScorer,
    LinkTask,
    evaluate,
    target_ranks,
)
from zipp_dagster.encoder.rivals import popularity
from zipp_dagster.encoder.training_setup import TrainingRun


class Fixed:
    def __init__(self, function, name="fixed"):
        self.function, self.name = function, name

    def scores(self, users):
        return self.function(users).astype(np.float32)


@pytest.fixture(scope="module")
def task(data) -> LinkTask:
    return LinkTask.of(data.graph, data.split)


def test_ranks_skip_known_communities_and_share_ties():
    scores = np.array([[5.0, 4.0, 3.0, 3.0, 1.0]])
    possible = np.array([[False, True, False, True, True]])
    assert target_ranks(scores, np.array([2]), possible).tolist() == [2.5]


def test_a_target_is_no_rival_of_itself():
    scores = np.array([[5.0, 4.0, 3.0]])
    possible = np.ones((1, 3), dtype=bool)
    assert target_ranks(scores, np.array([0]), possible).tolist() == [1.0]
    assert target_ranks(scores, np.array([2]), possible).tolist() == [3.0]
    assert possible.all()


class Answers(nn.Module):
    """An encoder that knows the validation's targets."""

    def __init__(self, targets: np.ndarray, subreddits: int) -> None:
        super().__init__()
        self.users = nn.functional.one_hot(torch.from_numpy(targets), subreddits).float()
        self.subreddits = torch.eye(subreddits)

    def forward(self, messages, communities):
        return self.users, self.subreddits


def test_the_validation_of_a_training_finds_it_perfect_too(data, settings):
    run = TrainingRun(*data.dirs, None, settings.model_copy(update={"device": "cpu"}), "gatv2")
    run.module = nn.ModuleDict({"encoder": Answers(run.validation.target, data.graph.subreddits)})
    assert run.validation.scores() == (1.0, 1.0)


def test_a_scorer_that_knows_the_targets_is_perfect(data, task):
    answer = np.zeros((data.graph.users, data.graph.subreddits))
    answer[task.user, task.target] = 1.0
    results = evaluate(Fixed(lambda users: answer[users]), task)
    assert [results.mean(metric) for metric in METRICS] == [1.0] * len(METRICS)


def test_a_constant_scorer_earns_one_half(data, task):
    results = evaluate(Fixed(lambda users: np.zeros((len(users), data.graph.subreddits))), task)
    for metric in ("auc_uniform", "auc_matched", "posting_accuracy"):
        assert results.mean(metric) == 0.5
    assert results.mean("hits10") < 0.05


def test_popularity_looks_good_among_uniform_negatives_and_not_among_matched_ones(data, task):
    results = evaluate(popularity(data.graph, data.split), task)
    assert results.mean("auc_uniform") > 0.6
    assert results.mean("auc_matched") == pytest.approx(0.5, abs=0.02)
    assert results.mean("posting_accuracy") == pytest.approx(0.5, abs=0.1)


def test_the_true_affinity_beats_popularity_everywhere(data, task):
    order = np.argsort(data.world.user_ids)
    truth = (data.world.affinity + data.world.log_popularity)[order]
    oracle = evaluate(Fixed(lambda users: truth[users]), task)
    floor = evaluate(popularity(data.graph, data.split), task)
    assert all(oracle.mean(metric) > floor.mean(metric) for metric in METRICS if metric != "hits50")


def test_results_do_not_depend_on_the_block_size(data, task):
    rng = np.random.default_rng(0)
    scorer = DotScorer(
        "random",
        rng.normal(size=(data.graph.users, 4)),
        rng.normal(size=(data.graph.subreddits, 4)),
    )
    whole, parts = (evaluate(scorer, task, block_links=size) for size in (10_000, 50))
    for metric in METRICS:
        if metric != "posting_accuracy":  # its negatives are drawn block by block
            assert whole.values[metric] == pytest.approx(parts.values[metric], nan_ok=True)


def test_groups_cover_seen_and_unseen_users(data, task):
    groups = evaluate(popularity(data.graph, data.split), task).groups()
    assert (groups["seen"] ^ groups["unseen"]).all()
    assert groups["unseen"].sum() > 20
    buckets = sum(groups[name].astype(int) for name in groups if name.startswith("degree"))
    assert (buckets == 1).all()


def test_scores_that_are_not_finite_are_refused(data, task):
    broken = Fixed(lambda users: np.full((len(users), data.graph.subreddits), np.nan), "broken")
    with pytest.raises(ValueError, match="broken: scores of shape"):
        evaluate(broken, task)
