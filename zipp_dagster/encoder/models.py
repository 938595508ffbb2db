"""Architectures by name: built from settings for training, rebuilt from a directory.

What lives here: the one table of trainable encoders. What does not: their definitions.
"""
# ruff: noqa: TID253  (torch is this module's subject)

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import torch
from jaxtyping import Float32
from torch import nn

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.gatv2 import GATv2Encoder
from zipp_dagster.encoder.graphsage import GraphSAGE
from zipp_dagster.encoder.inputs import CommunityTensors, MessageTensors
from zipp_dagster.encoder.lightgcn import LightGCN
from zipp_dagster.encoder.model_io import ModelConfig, ModelError, StoredModel
from zipp_dagster.graph.features import log_share
from zipp_dagster.graph.sampling import Messages


def build(config: ModelConfig, dropout: float = 0.0, id_dropout: float = 0.0) -> nn.Module:
    """An untrained encoder."""
    if config.architecture == "gatv2":
        return GATv2Encoder(
            config.subreddits,
            config.text_dim,
            config.hidden,
            config.heads,
            config.layers,
            dropout,
            id_dropout,
        )
    if config.architecture == "graphsage":
        return GraphSAGE(
            config.subreddits,
            config.text_dim,
            config.hidden,
            config.layers,
            dropout,
            id_dropout,
        )
    if config.architecture == "lightgcn":
        return LightGCN(config.subreddits, config.hidden, config.layers)
    raise ModelError(f"encoder architecture {config.architecture!r} is unknown.")


def embedding_width(config: ModelConfig) -> int:
    """Columns of the embeddings that an architecture returns."""
    return config.hidden + (1 if config.architecture == "lightgcn" else 0)


def training_record(settings: EncoderSettings) -> dict[str, object]:
    """The settings that shaped a model, for its config.json."""
    return settings.model_dump(
        exclude={
            "checkpoint_seconds",
            "inference_block_users",
            "inference_lanes",
            "rankings_kept",
            "evaluation_users",
            "bootstrap",
            "tuning_variants",
            "ablation_seeds",
        }
    )


def rebuild(model: StoredModel) -> nn.Module:
    """A stored encoder as a torch module in evaluation mode (without its image head)."""
    module = build(model.config)
    state = {
        name: torch.from_numpy(tensor)
        for name, tensor in model.tensors.items()
        if not name.startswith("image_head.")
    }
    module.load_state_dict(state)
    return module.eval()


def embed_with_torch(
    model: StoredModel,
    messages: Messages,
    text: Float32[np.ndarray, "subreddits text"],
) -> tuple[Float32[np.ndarray, "users dim"], Float32[np.ndarray, "subreddits dim"]]:
    """Embed one edge list in a single pass: for tests and graphs that fit into memory."""
    degree = np.bincount(messages.subreddit, minlength=len(text))
    communities = CommunityTensors(
        torch.from_numpy(text), torch.from_numpy(log_share(degree, messages.users))
    )
    with torch.inference_mode():
        users, subreddits = rebuild(model)(
            MessageTensors.of(messages, torch.device("cpu")), communities
        )
    return users.numpy(), subreddits.numpy()


def summary(config: ModelConfig) -> dict[str, object]:
    """The config without its training record, for metadata."""
    return {key: value for key, value in asdict(config).items() if key != "training"}
