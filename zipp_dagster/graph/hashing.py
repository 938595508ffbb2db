"""Draws that depend on who somebody is, not on where they stand: hashes of user ids and names.

What lives here: the hash. What does not: what is drawn by it (`split`, `zipp_dagster.encoder`).

A draw by position changes for everybody when one user is added; a draw by hash changes for nobody
else. User ids are keyed pseudonyms: another pseudonym key is another draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from jaxtyping import UInt64

RANGE = 2.0**64
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix(values: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """One step of splitmix64 from each value as state (Steele et al. 2014); a bijection."""
    z = values + GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def user_keys(
    user_ids: UInt64[np.ndarray, " users"], seed: int, stream: int
) -> UInt64[np.ndarray, " users"]:
    """Uniform 64-bit keys of users, another draw for each seed and stream."""
    start = mix(mix(np.array([seed], dtype=np.uint64)) + np.uint64(stream))
    return mix(np.asarray(user_ids, dtype=np.uint64) ^ start)


def name_keys(names: Sequence[str]) -> UInt64[np.ndarray, " names"]:
    """Uniform 64-bit keys of names."""
    digests = b"".join(blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)
