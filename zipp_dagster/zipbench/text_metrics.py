"""How alike two prompts are: tokens, token F1, ROUGE-L."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TOKEN = re.compile(r"[a-z0-9]+")


def tokens(text: str) -> list[str]:
    """Lower-case `[a-z0-9]+` tokens, in order."""
    return _TOKEN.findall(text.lower())


def token_f1(first: str, second: str) -> float:
    """F1 of the two texts' sets of distinct tokens; 0 when either has none."""
    return set_f1(frozenset(tokens(first)), frozenset(tokens(second)))


def set_f1(first: frozenset[str], second: frozenset[str]) -> float:
    """F1 of two token sets; 0 when either is empty."""
    if not first or not second:
        return 0.0
    return 2.0 * len(first & second) / (len(first) + len(second))


def rouge_l(candidate: str, reference: str) -> float:
    """ROUGE-L F1 (longest common token sequence, balanced); 0 when either text has no token."""
    left, right = tokens(candidate), tokens(reference)
    if not left or not right:
        return 0.0
    return 2.0 * _common_subsequence(left, right) / (len(left) + len(right))


def _common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence, bit-parallel: one big-integer step a token."""
    places: dict[str, int] = {}
    for index, token in enumerate(left):
        places[token] = places.get(token, 0) | 1 << index
    full = (1 << len(left)) - 1
    row = full
    for token in right:
        hits = row & places.get(token, 0)
        row = ((row + hits) | (row - hits)) & full
    return len(left) - row.bit_count()
