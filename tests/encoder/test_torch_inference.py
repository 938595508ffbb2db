"""GraphSAGE and LightGCN over blocks of users say what they say in one pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zipp_dagster.encoder.comparison import model_scorer
from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.model_io import ModelConfig, ModelError, StoredModel
from zipp_dagster.encoder.models import build, embed_with_torch
from zipp_dagster.encoder.torch_inference import embed_in_blocks
from zipp_dagster.graph.sampling import messages_of


def untrained(data, architecture: str, layers: int) -> StoredModel:
    config = ModelConfig(
        architecture, data.graph.subreddits, data.text.shape[1], 16, 2, layers, None, "off", {}
    )
    torch.manual_seed(layers)
    state = build(config).state_dict()
    for tensor in state.values():
        tensor += 0.1 * torch.randn_like(tensor)
    tensors = {name: tensor.numpy() for name, tensor in state.items()}
    return StoredModel(config, tensors, data.graph.subreddit_names)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("architecture", ["graphsage", "lightgcn"])
def test_blocks_of_users_give_what_one_pass_gives(data, architecture, layers):
    graph, keep = data.graph, data.split.messages
    model = untrained(data, architecture, layers)
    messages = messages_of(graph, np.arange(graph.users), keep)
    expected = embed_with_torch(model, messages, data.text)
    for block_users in (7, 128, 10_000):
        found = embed_in_blocks(model, graph, data.text, keep, block_users)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.dtype == np.float32 and ours.shape == theirs.shape
            assert ours == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("architecture", ["graphsage", "lightgcn"])
def test_a_comparison_never_lays_all_messages_side_by_side(data, architecture, monkeypatch):
    """At full size one message tensor is 120 GB."""
    largest = []
    real = torch.Tensor.index_select

    def watched(self, dim, index):
        largest.append(len(index))
        return real(self, dim, index)

    monkeypatch.setattr(torch.Tensor, "index_select", watched)
    settings = EncoderSettings(inference_block_users=50)
    model = untrained(data, architecture, 2)
    model_scorer("any", model, data.graph, data.split, data.text, settings)
    most = data.graph.user_counts(data.split.messages)
    assert max(largest, default=0) <= 50 * most.max() < data.split.messages.sum()


def test_another_architecture_is_refused(data):
    model = untrained(data, "gatv2", 1)
    with pytest.raises(ModelError, match="No embedding in blocks for gatv2"):
        embed_in_blocks(model, data.graph, data.text, data.split.messages, 100)
