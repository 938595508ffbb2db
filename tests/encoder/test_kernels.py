"""The fused kernels compute what PyG's GATv2Conv computes, to 1e-5 in float32."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.nn.conv import GATv2Conv

from zipp_dagster.encoder import kernels

USERS, SUBREDDITS, HEADS, WIDTH = 60, 25, 4, 32


def bipartite(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """CSR with isolated users and communities, one-edge users, a hub user and a hub community."""
    rng = np.random.default_rng(seed)
    rows: list[list[int]] = [[] for _ in range(USERS)]
    rows[1] = [0]
    rows[2] = [SUBREDDITS - 3]
    rows[3] = list(range(SUBREDDITS - 2))
    for user in range(6, USERS):
        others = rng.choice(np.arange(1, SUBREDDITS - 2), rng.integers(0, 6), replace=False)
        rows[user] = sorted({0, *others.tolist()})
    indptr = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return indptr, np.concatenate(rows).astype(np.int32)


def setup(seed: int, scale: float = 1.0):
    indptr, columns = bipartite(seed)
    torch.manual_seed(seed)
    conv = GATv2Conv(
        (WIDTH, WIDTH), WIDTH // HEADS, heads=HEADS, edge_dim=4, add_self_loops=False, bias=False
    )
    edge = torch.randn(len(columns), 4)
    user, subreddit = torch.randn(USERS, WIDTH) * scale, torch.randn(SUBREDDITS, WIDTH) * scale
    owner = np.repeat(np.arange(USERS), np.diff(indptr))
    index = torch.from_numpy(np.stack([columns.astype(np.int64), owner]))
    return indptr, columns, conv, edge, user, subreddit, index


def weights(conv: GATv2Conv) -> tuple[np.ndarray, np.ndarray]:
    edge_weight = np.ascontiguousarray(conv.lin_edge.weight.detach().numpy().T)
    return edge_weight, conv.att.detach().numpy().reshape(-1)


# A scale of 30 makes scores of hundreds: a softmax without a running maximum overflows there.
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_messages_to_users_equal_pyg(seed, scale):
    indptr, columns, conv, edge, user, subreddit, index = setup(seed, scale)
    with torch.no_grad():
        expected, (_, alpha) = conv((subreddit, user), index, edge, return_attention_weights=True)
        source, target = conv.lin_l(subreddit).numpy(), conv.lin_r(user).numpy()
    out = np.empty((USERS, WIDTH), dtype=np.float32)
    attention = np.empty(len(columns), dtype=np.float32)
    kernels.user_messages(
        indptr, columns, edge.numpy(), source, target, *weights(conv), HEADS, out, attention
    )
    assert np.abs(out - expected.numpy()).max() <= 1e-5 * scale
    assert np.abs(attention - alpha.mean(dim=1).numpy()).max() <= 1e-5
    assert not out[0].any()  # isolated
    assert attention[indptr[1]] == pytest.approx(1.0)  # one edge


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("cut", [0, 20, USERS])
def test_messages_to_communities_equal_pyg_in_any_number_of_lanes(seed, scale, cut):
    indptr, columns, conv, edge, user, subreddit, index = setup(seed, scale)
    with torch.no_grad():
        expected = conv((user, subreddit), index.flip(0), edge).numpy()
        source, target = conv.lin_l(user).numpy(), conv.lin_r(subreddit).numpy()
    parts = []
    for low, high in ((0, cut), (cut, USERS)):
        part = kernels.open_softmax(SUBREDDITS, HEADS, WIDTH)
        first, last = indptr[low], indptr[high]
        kernels.subreddit_messages(
            indptr[low : high + 1] - first,
            columns[first:last],
            edge.numpy()[first:last],
            source[low:high],
            target,
            *weights(conv),
            HEADS,
            *part,
        )
        parts.append(part)
    merged = kernels.merge_softmax(parts)
    assert np.abs(merged - expected).max() <= 1e-5 * scale
    assert not merged[-2:].any()  # communities without any user


def test_nan_inputs_surface_in_the_output():
    indptr, columns, conv, edge, user, subreddit, _ = setup(0)
    with torch.no_grad():
        source, target = conv.lin_l(subreddit).numpy(), conv.lin_r(user).numpy()
    source[0, 0] = np.nan
    out = np.empty((USERS, WIDTH), dtype=np.float32)
    attention = np.empty(len(columns), dtype=np.float32)
    kernels.user_messages(
        indptr, columns, edge.numpy(), source, target, *weights(conv), HEADS, out, attention
    )
    assert np.isnan(out[1]).any()


def test_ranks_within_rows_put_the_largest_first_and_break_ties_by_order():
    indptr = np.array([0, 0, 4, 5, 12])
    values = np.array([1.0, 3.0, 3.0, -2.0, 7.0, 5, 1, 4, 1, 5, 9, 2])
    out = np.empty(12, dtype=np.int32)
    kernels.row_ranks(indptr, values, out)
    assert out.tolist() == [3, 1, 2, 4, 1, 2, 6, 4, 7, 3, 1, 5]
