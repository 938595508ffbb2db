"""Fused numba kernels of GATv2 over CSR: online softmax, no per-edge arrays wider than one float.

What lives here: the loops over edges and rows, in float32, released from the GIL. What does not:
the dense algebra and the streaming of blocks (`inference`).

Both directions read the same CSR, users in order. A user's softmax is finished at the end of the
row. A community's softmax stays open: its running maximum, sum and weighted sum (S × (2·heads +
width) floats) are resident while all users stream past (Milakov & Gimelshein 2018). PyG needs
the [edges, width] messages instead.

Compiled code is cached beside this file, or where NUMBA_CACHE_DIR says, or in the user's cache
directory where the installation is read-only.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32, Int
from numba import njit

# Reassociation lets LLVM use vector sums. NaN and infinity keep their meaning: they must surface.
MATH = {"reassoc", "contract", "nsz", "arcp"}
SLOPE = np.float32(0.2)
ZERO, ONE = np.float32(0.0), np.float32(1.0)
LOWEST = np.float32(-3.0e38)


@njit(cache=True, nogil=True, fastmath=MATH, inline="always")
def _score(  # type: ignore[no-untyped-def]
    source, j, target, i, edge, e, edge_weight, attention, low, count
):
    # Three things keep this loop vectorised, each worth a factor of two to four: arrays are indexed
    # whole (a view per edge costs reference counts), the loop starts at 0 (else numba guards every
    # index against being negative), and the four edge features are written out.
    e0, e1, e2, e3 = edge[e, 0], edge[e, 1], edge[e, 2], edge[e, 3]
    total = ZERO
    for k in range(count):
        c = low + k
        value = (
            source[j, c]
            + target[i, c]
            + e0 * edge_weight[0, c]
            + e1 * edge_weight[1, c]
            + e2 * edge_weight[2, c]
            + e3 * edge_weight[3, c]
        )
        total += attention[c] * (value if value > ZERO else SLOPE * value)
    return total


@njit(cache=True, nogil=True, fastmath=MATH, inline="always")
def _add(  # type: ignore[no-untyped-def]
    s, source, j, maximum, total, summed, i, h, low, count
):
    # One step of the online softmax of row i, head h: rescale when a new maximum comes.
    if s > maximum[i, h]:
        scale = np.float32(math.exp(maximum[i, h] - s))
        maximum[i, h] = s
        total[i, h] = total[i, h] * scale + ONE
        for k in range(count):
            summed[i, low + k] = summed[i, low + k] * scale + source[j, low + k]
    else:
        weight = np.float32(math.exp(s - maximum[i, h]))
        total[i, h] += weight
        for k in range(count):
            summed[i, low + k] += weight * source[j, low + k]


@njit(cache=True, nogil=True, fastmath=MATH)
def user_messages(  # type: ignore[no-untyped-def]
    indptr, subreddit, edge, source, target, edge_weight, attention, heads, out, alpha
):
    """GATv2 from communities to the users of a block.

    Shapes:
        indptr int64 [u+1], subreddit int32 [e], edge float32 [e, 4], source = W_l h_s float32
        [S, D], target = W_r h_u [u, D], edge_weight [4, D], attention [D].
        Written: out [u, D] (zeros for users without edges) and alpha [e], the attention averaged
        over the heads.
    """
    width = source.shape[1]
    per_head = width // heads
    score = np.empty((max(1, np.max(indptr[1:] - indptr[:-1])), heads), dtype=np.float32)
    maximum = np.empty((len(indptr) - 1, heads), dtype=np.float32)
    total = np.zeros((len(indptr) - 1, heads), dtype=np.float32)
    share = ONE / np.float32(heads)
    for user in range(len(indptr) - 1):
        first, last = indptr[user], indptr[user + 1]
        for c in range(width):
            out[user, c] = ZERO
        for h in range(heads):
            maximum[user, h] = LOWEST
        for e in range(first, last):
            j = subreddit[e]
            for h in range(heads):
                low = h * per_head
                s = _score(source, j, target, user, edge, e, edge_weight, attention, low, per_head)
                score[e - first, h] = s
                _add(s, source, j, maximum, total, out, user, h, low, per_head)
        if last > first:
            for h in range(heads):
                inverse = ONE / total[user, h]
                for c in range(h * per_head, (h + 1) * per_head):
                    out[user, c] *= inverse
        for e in range(first, last):
            mean = ZERO
            for h in range(heads):
                weight = np.float32(math.exp(score[e - first, h] - maximum[user, h]))
                mean += weight / total[user, h]
            alpha[e] = mean * share


@njit(cache=True, nogil=True, fastmath=MATH)
def subreddit_messages(  # type: ignore[no-untyped-def]
    indptr, subreddit, edge, source, target, edge_weight, attention, heads, maximum, total, summed
):
    """GATv2 from the users of a block into the open softmax of all communities.

    Shapes:
        as `user_messages`, with source = W_l h_u [u, D], target = W_r h_s [S, D].
        Updated: maximum [S, heads] (start: `LOWEST`), total [S, heads], summed [S, D] (start: 0).
    """
    per_head = source.shape[1] // heads
    for user in range(len(indptr) - 1):
        for e in range(indptr[user], indptr[user + 1]):
            i = subreddit[e]
            for h in range(heads):
                low = h * per_head
                s = _score(source, user, target, i, edge, e, edge_weight, attention, low, per_head)
                _add(s, source, user, maximum, total, summed, i, h, low, per_head)


@njit(cache=True, nogil=True, fastmath=MATH)
def mean_inputs(indptr, subreddit, projected, degree_weight, bias, out):  # type: ignore[no-untyped-def]
    """h⁰ of a block's users: mean of the projected texts + log(1 + degree)·w + b.

    Shapes:
        projected [S, D], degree_weight [D], bias [D]; written: out [u, D].
    """
    for user in range(len(indptr) - 1):
        first, last = indptr[user], indptr[user + 1]
        for c in range(out.shape[1]):
            out[user, c] = ZERO
        for e in range(first, last):
            j = subreddit[e]
            for c in range(out.shape[1]):
                out[user, c] += projected[j, c]
        inverse = ONE / np.float32(max(last - first, 1))
        degree = np.float32(math.log1p(last - first))
        for c in range(out.shape[1]):
            out[user, c] = out[user, c] * inverse + degree * degree_weight[c] + bias[c]


@njit(cache=True, nogil=True, fastmath=MATH)
def finish_layer(states, messages, bias, gamma, beta):  # type: ignore[no-untyped-def]
    """In place: states ← LayerNorm(states + ELU(messages + bias)) · gamma + beta, row by row."""
    width = states.shape[1]
    for row in range(len(states)):
        mean = ZERO
        for c in range(width):
            value = messages[row, c] + bias[c]
            value = value if value > ZERO else np.float32(math.expm1(value))
            states[row, c] += value
            mean += states[row, c]
        mean /= np.float32(width)
        variance = ZERO
        for c in range(width):
            variance += (states[row, c] - mean) * (states[row, c] - mean)
        inverse = ONE / np.float32(math.sqrt(variance / np.float32(width) + np.float32(1e-5)))
        for c in range(width):
            states[row, c] = (states[row, c] - mean) * inverse * gamma[c] + beta[c]


@njit(cache=True, nogil=True, fastmath=MATH)
def row_products(indptr, subreddit, users, subreddits, out):  # type: ignore[no-untyped-def]
    """For each edge of a block, z_u · z_s; users [u, D], subreddits [S, D], written: out [e]."""
    for user in range(len(indptr) - 1):
        for e in range(indptr[user], indptr[user + 1]):
            total = ZERO
            for c in range(users.shape[1]):
                total += users[user, c] * subreddits[subreddit[e], c]
            out[e] = total


@njit(cache=True, nogil=True)
def row_ranks(indptr, values, out):  # type: ignore[no-untyped-def]
    """Rank of each edge among its user's into out [e]: 1 = largest value, ties in edge order."""
    longest = max(1, np.max(indptr[1:] - indptr[:-1]))
    order = np.empty(longest, dtype=np.int64)
    for user in range(len(indptr) - 1):
        first, last = indptr[user], indptr[user + 1]
        length = last - first
        for i in range(length):
            order[i] = i
        # Shell sort: rows are short, and it compiles in no time; (value, position) has no ties.
        gap = length // 2
        while gap > 0:
            for i in range(gap, length):
                item = order[i]
                key = values[first + item]
                j = i
                while j >= gap:
                    other = order[j - gap]
                    other_key = values[first + other]
                    if other_key > key or (other_key == key and other < item):
                        break
                    order[j] = other
                    j -= gap
                order[j] = item
            gap //= 2
        for i in range(length):
            out[first + order[i]] = i + 1


def merge_softmax(
    parts: list[
        tuple[
            Float32[np.ndarray, "subreddits heads"],
            Float32[np.ndarray, "subreddits heads"],
            Float32[np.ndarray, "subreddits dim"],
        ]
    ],
) -> Float32[np.ndarray, "subreddits dim"]:
    """Close open softmaxes (maximum, total, summed) of several lanes; zeros where no edge came."""
    top = np.max([maximum for maximum, _, _ in parts], axis=0)
    heads = top.shape[1]
    total = np.zeros_like(top)
    summed = np.zeros_like(parts[0][2])
    per_head = summed.shape[1] // heads
    for maximum, part_total, part_summed in parts:
        scale = np.exp(maximum - top) * (part_total > 0)
        total += part_total * scale
        summed += part_summed * np.repeat(scale, per_head, axis=1)
    return summed / np.repeat(np.where(total > 0, total, ONE), per_head, axis=1)


def open_softmax(
    subreddits: int, heads: int, width: int
) -> tuple[
    Float32[np.ndarray, "subreddits heads"],
    Float32[np.ndarray, "subreddits heads"],
    Float32[np.ndarray, "subreddits dim"],
]:
    """An empty accumulator for `subreddit_messages`: maximum, total, summed."""
    return (
        np.full((subreddits, heads), LOWEST, dtype=np.float32),
        np.zeros((subreddits, heads), dtype=np.float32),
        np.zeros((subreddits, width), dtype=np.float32),
    )


def edge_slots(indptr: Int[np.ndarray, " users+1"]) -> Float32[np.ndarray, " edges"]:
    """An unfilled float32 per edge of a block."""
    return np.empty(int(indptr[-1]), dtype=np.float32)
