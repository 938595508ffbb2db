"""Streaming inference is the training model's own function, in blocks, lanes and for new users."""

from __future__ import annotations

import numpy as np
import pytest

from zipp_dagster.encoder.inference import GraphInference, embed_graph
from zipp_dagster.encoder.inputs import CommunityTensors, MessageTensors
from zipp_dagster.encoder.model_io import ModelError, load_model
from zipp_dagster.graph.features import log_share
from zipp_dagster.graph.sampling import messages_of


@pytest.fixture(scope="module")
def model(trained):
    return load_model(trained.directory)


def torch_reference(model, data, keep):
    import torch

    from zipp_dagster.encoder.models import rebuild

    messages = messages_of(data.graph, np.arange(data.graph.users), keep)
    degree = np.bincount(messages.subreddit, minlength=data.graph.subreddits)
    communities = CommunityTensors(
        torch.from_numpy(data.text), torch.from_numpy(log_share(degree, data.graph.users))
    )
    with torch.inference_mode():
        out = rebuild(model).embed(MessageTensors.of(messages, torch.device("cpu")), communities)
    return [part.numpy() for part in out]


@pytest.mark.parametrize(("block_users", "lanes"), [(10_000, 1), (37, 1), (64, 3)])
def test_streamed_embeddings_equal_the_training_forward(model, data, block_users, lanes):
    keep = np.ones(data.graph.edges, dtype=bool)
    users, subreddits, alpha = torch_reference(model, data, keep)
    inference = GraphInference(model, data.graph, data.text, block_users=block_users, lanes=lanes)
    attention = np.zeros(data.graph.edges, dtype=np.float32)
    streamed = np.zeros_like(users)

    def sink(block, embeddings, weights):
        streamed[block.start : block.stop] = embeddings
        attention[block.edges] = weights

    found = inference.run(sink)
    assert np.abs(streamed - users).max() <= 1e-5
    assert np.abs(found - subreddits).max() <= 1e-5
    assert np.abs(attention - alpha).max() <= 1e-5


def test_with_a_mask_held_out_edges_are_not_read_and_users_without_messages_embed(model, data):
    keep = data.split.messages.copy()
    keep[: data.graph.indptr[5]] = False  # the first five users lose every edge
    users, subreddits, _ = torch_reference(model, data, keep)
    found = embed_graph(GraphInference(model, data.graph, data.text, keep=keep, block_users=100))
    assert np.abs(found[0] - users).max() <= 1e-5
    assert np.abs(found[1] - subreddits).max() <= 1e-5
    assert np.isfinite(found[0]).all()


def test_new_users_embed_as_in_a_full_run_without_touching_the_rest(model, data):
    inference = GraphInference(model, data.graph, data.text)
    users, _ = embed_graph(inference)
    before = [state.copy() for state in inference.states]
    embedded, attention = inference.embed_users(data.graph.block(40, 90))
    assert np.abs(embedded - users[40:90]).max() <= 1e-6
    sums = np.add.reduceat(attention, data.graph.block(40, 90).indptr[:-1])
    assert sums == pytest.approx(np.ones(50), abs=1e-5)
    assert all((a == b).all() for a, b in zip(before, inference.states, strict=True))


def test_communities_unknown_to_the_model_embed_by_their_text(model, data):
    from dataclasses import replace

    names = tuple(f"new_{name}" if i < 3 else name for i, name in enumerate(model.subreddit_names))
    renamed = replace(data.graph, subreddit_names=names)
    inference = GraphInference(model, renamed, data.text)
    assert inference.unknown == 3
    assert not model.aligned_ids(names)[:3].any()
    users, subreddits = embed_graph(inference)
    assert np.isfinite(users).all()
    assert np.isfinite(subreddits).all()


def test_text_of_another_width_is_refused_with_advice(model, data):
    with pytest.raises(ModelError, match="rebuild subreddit_features"):
        GraphInference(model, data.graph, data.text[:, :-1])
