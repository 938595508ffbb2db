"""The trained rivals over a whole graph, a block of users at a time.

What lives here: GraphSAGE and LightGCN as passes over blocks. What does not: GATv2, which has
kernels of its own (`inference`), and one pass over an edge list that fits (`models`).

A user's state depends on the user's own messages and the communities' states only; a community's
next state on a sum over its users. So each pass streams blocks of users, makes their states again
from the communities' earlier ones, and adds up what the communities hear: one `index_select` over
all messages would be 120 GB at 240 million messages and 128 numbers.
"""
# ruff: noqa: TID253  (torch is this module's subject)

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float32
from scipy import sparse
from torch import Tensor
from torch.nn import functional

from zipp_dagster.encoder.graphsage import GraphSAGE
from zipp_dagster.encoder.inputs import CommunityTensors, MessageTensors
from zipp_dagster.encoder.model_io import ModelError, StoredModel
from zipp_dagster.encoder.models import embedding_width, rebuild
from zipp_dagster.graph.features import log_share
from zipp_dagster.graph.store import Block, InteractionGraph

Embeddings = tuple[Float32[np.ndarray, "users dim"], Float32[np.ndarray, "subreddits dim"]]


def embed_in_blocks(
    model: StoredModel,
    graph: InteractionGraph,
    text: Float32[np.ndarray, "subreddits text"],
    keep: Bool[np.ndarray, " edges"],
    block_users: int,
) -> Embeddings:
    """Embed all users and communities from the kept edges, as `models.embed_with_torch` does.

    Raises:
        ModelError: an architecture that has no such passes.
    """
    if model.config.architecture == "lightgcn":
        return _lightgcn(model, graph, keep, block_users)
    if model.config.architecture == "graphsage":
        with torch.inference_mode():
            return _graphsage(model, graph, text, keep, block_users)
    raise ModelError(f"No embedding in blocks for {model.config.architecture}.")


def _graphsage(
    model: StoredModel,
    graph: InteractionGraph,
    text: np.ndarray,
    keep: np.ndarray,
    block_users: int,
) -> Embeddings:
    module = rebuild(model)
    assert isinstance(module, GraphSAGE)
    degree = graph.subreddit_counts(keep)
    communities = CommunityTensors(
        torch.from_numpy(text), torch.from_numpy(log_share(degree, graph.users))
    )
    reached = torch.from_numpy(degree).clamp(min=1)[:, None]
    subreddit: list[Tensor] = []

    def state(messages: MessageTensors, layers: int) -> Tensor:
        """The users' states after so many layers."""
        user, first = module.inputs(messages, communities)
        if not subreddit:
            subreddit.append(first)
        for layer in range(layers):
            heard = module.user_messages(layer, user, subreddit[layer], messages)[0]
            user = module.user_norm[layer](user + functional.elu(heard))
        return user

    for layer in range(model.config.layers):
        # In double precision: a community hears millions, one block's sum after another.
        sums = torch.zeros((graph.subreddits, model.config.hidden), dtype=torch.float64)
        for block in _blocks(graph, keep, block_users):
            messages = _tensors(block)
            user = state(messages, layer).double()
            sums.index_add_(0, messages.subreddit, user.index_select(0, messages.user))
        heard = module.subreddit_messages(layer, (sums / reached).float(), subreddit[layer])
        subreddit.append(module.subreddit_norm[layer](subreddit[layer] + functional.elu(heard)))
    users = np.empty((graph.users, embedding_width(model.config)), dtype=np.float32)
    for block in _blocks(graph, keep, block_users):
        out = module.outputs(
            state(_tensors(block), model.config.layers), subreddit[-1], communities
        )
        users[block.start : block.stop] = out[0].numpy()
    return users, module.outputs(subreddit[-1][:0], subreddit[-1], communities)[1].numpy()


def _lightgcn(
    model: StoredModel, graph: InteractionGraph, keep: np.ndarray, block_users: int
) -> Embeddings:
    """The formulas of `lightgcn`: a test holds them to that module."""
    ids, layers = model.tensors["subreddit_id.weight"], model.config.layers
    share = np.exp(log_share(graph.subreddit_counts(keep), graph.users))

    def links(block: Block) -> sparse.csr_matrix:
        """The block's users × communities, weighted by 1 / √(d_u p_s)."""
        own = np.diff(block.indptr)
        weight = (np.repeat(own, own) * share[block.subreddit]).astype(np.float32) ** -0.5
        shape = (block.users, graph.subreddits)
        return sparse.csr_matrix((weight, block.subreddit, block.indptr), shape=shape)

    def two_hops(states: np.ndarray) -> np.ndarray:
        """What communities hear from users who heard these states: the mean over all users."""
        sums = np.zeros(ids.shape, dtype=np.float64)
        for block in _blocks(graph, keep, block_users):
            matrix = links(block)
            sums += matrix.T @ (matrix @ states)
        return (sums / max(graph.users, 1)).astype(np.float32)

    # Users begin with the first hop: layers 1 and 2 of communities are the same.
    subreddit = [ids]
    for layer in range(1, layers + 1):
        subreddit.append(subreddit[1] if layer == 2 else two_hops(subreddit[max(layer - 2, 0)]))
    scale = np.exp(model.tensors["log_scale"]) / np.float32(layers + 1)
    heard = sum(subreddit[:layers], start=ids) * scale
    users = np.ones((graph.users, embedding_width(model.config)), dtype=np.float32)
    for block in _blocks(graph, keep, block_users):
        users[block.start : block.stop, :-1] = links(block) @ heard
    mean = sum(subreddit, start=np.zeros_like(ids)) / np.float32(layers + 1)
    return users, np.concatenate([mean, model.tensors["offset"][:, None]], axis=1)


def _blocks(graph: InteractionGraph, keep: np.ndarray, block_users: int) -> Iterator[Block]:
    for start, stop in graph.blocks(block_users):
        yield graph.block(start, stop, keep)


def _tensors(block: Block) -> MessageTensors:
    owner = np.repeat(np.arange(block.users), np.diff(block.indptr))
    return MessageTensors(
        users=block.users,
        user=torch.from_numpy(owner),
        subreddit=torch.from_numpy(block.subreddit.astype(np.int64)),
        features=torch.from_numpy(block.features),
    )
